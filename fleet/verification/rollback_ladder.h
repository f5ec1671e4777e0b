// How a release of several planes is taken back: rung by rung, as its rollback policy says, until the unit passes its
// diagnostics. A ladder has at most as many rungs as there are planes.
//
//   const std::vector<uint32_t> ladder = LadderOf({2, 1}, /*planes=*/0b111);   // {0b100, 0b110, 0b111}
//
// Planes are bits: 0 firmware, 1 model, 2 config. Pure.
#ifndef TANDEM_FLEET_VERIFICATION_ROLLBACK_LADDER_H_
#define TANDEM_FLEET_VERIFICATION_ROLLBACK_LADDER_H_

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::fleet {

// The planes that are back on each rung, all those of the rungs below included; the last one has all of `planes`.
// `order`: which goes first, by bit number; those that it does not name go last, together. Empty: one rung.
std::vector<uint32_t> LadderOf(std::span<const int> order, uint32_t planes);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_VERIFICATION_ROLLBACK_LADDER_H_
