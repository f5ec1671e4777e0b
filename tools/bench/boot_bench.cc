#include "tools/bench/boot_bench.h"

#include <algorithm>
#include <vector>

#include "bootloader/core/slot_policy.h"
#include "common/time/clock.h"

namespace tandem::bench {
namespace {

constexpr int kDecisions = 10000;

struct Copies {
  boot::EncodedRecord first;
  boot::EncodedRecord second;
};

// Every kind of record comes by: on trial, confirmed, unbootable.
Copies MakeCopies(uint32_t number) {
  boot::BootRecord record{.sequence = number, .active = number % 2 == 0 ? boot::Slot::kA : boot::Slot::kB};
  record.confirmed = 3;
  if (number % 3 == 0) (void)boot::SetTrial(record, boot::Other(record.active), 3);
  if (number % 5 == 0) (void)boot::MarkUnbootable(record, record.active);
  boot::BootRecord next = record;
  ++next.sequence;
  return {boot::Encode(record), boot::Encode(next)};
}

}  // namespace

BootBenchResult RunBootBench() {
  Clock& clock = Clock::Real();
  std::vector<absl::Duration> took;
  took.reserve(kDecisions);
  uint32_t booted = 0;
  for (uint32_t i = 0; i < kDecisions; ++i) {
    const Copies copies = MakeCopies(i);
    const absl::Duration begin = clock.Monotonic();
    const boot::Decision decision = boot::Decide(boot::Choose(copies.first, copies.second));
    took.push_back(clock.Monotonic() - begin);
    booted += decision.slot != boot::Slot::kNone ? 1 : 0;
  }
  std::sort(took.begin(), took.end());
  // A decision for recovery would be shorter; there is none among them.
  if (booted != kDecisions) return {absl::InfiniteDuration(), absl::InfiniteDuration()};
  return {took[took.size() / 2], took.back()};
}

}  // namespace tandem::bench
