// How long the bootloader's decision takes: both copies of the boot record are checked, and the table is searched.
#ifndef TANDEM_TOOLS_BENCH_BOOT_BENCH_H_
#define TANDEM_TOOLS_BENCH_BOOT_BENCH_H_

#include "absl/time/time.h"

namespace tandem::bench {

struct BootBenchResult {
  absl::Duration median;
  // The longest of all, interruptions by the machine included.
  absl::Duration longest;
};

// With the code of bootloader/core, on this machine; some 10,000 decisions over different records.
BootBenchResult RunBootBench();

}  // namespace tandem::bench

#endif  // TANDEM_TOOLS_BENCH_BOOT_BENCH_H_
