// How fast a fleet takes a bad release back, and what its reaper costs.
#ifndef TANDEM_TOOLS_BENCH_VERIFICATION_BENCH_H_
#define TANDEM_TOOLS_BENCH_VERIFICATION_BENCH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/bench/fleet_bench.h"

namespace tandem::bench {

// A controller, a broker and so many simulated units; all but a few have a release verified, when these few fail it.
struct WayBackResult {
  // From the verdict in the store to the broker's word that it has the first, and the last, order back.
  absl::Duration first;
  absl::Duration last;
  uint64_t orders = 0;
};
absl::StatusOr<WayBackResult> RunWayBack(FleetStore store, uint32_t units);

// One pass of the reaper over so many pending runs, none or some of which are past their deadline.
struct ReaperResult {
  absl::Duration none_due;
  absl::Duration some_due;
};
absl::StatusOr<ReaperResult> RunReaper(FleetStore store, uint32_t runs, uint32_t due);

struct VerificationBenchOptions {
  bool quick = false;
  // Seconds; 0: no limit.
  double max_first = 0;
  double max_last = 0;
  double max_reap = 0;
};
// Prints a table. OUT_OF_RANGE: a figure is above its limit.
absl::Status RunVerificationBench(const VerificationBenchOptions& options);

}  // namespace tandem::bench

#endif  // TANDEM_TOOLS_BENCH_VERIFICATION_BENCH_H_
