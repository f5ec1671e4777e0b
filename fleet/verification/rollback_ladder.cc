#include "fleet/verification/rollback_ladder.h"

namespace tandem::fleet {

std::vector<uint32_t> LadderOf(std::span<const int> order, uint32_t planes) {
  std::vector<uint32_t> ladder;
  uint32_t back = 0;
  for (const int plane : order) {
    const uint32_t next = back | (planes & (1U << static_cast<unsigned>(plane)));
    if (next == back) continue;
    back = next;
    ladder.push_back(back);
  }
  if (back != planes) ladder.push_back(planes);
  return ladder;
}

}  // namespace tandem::fleet
