// Measures uploads to simulated devices: how much of what the framing leaves of a line becomes bytes of an image.
#ifndef TANDEM_TOOLS_BENCH_MCU_BENCH_H_
#define TANDEM_TOOLS_BENCH_MCU_BENCH_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/bench/simulated_device.h"

namespace tandem::bench {

struct McuBenchCase {
  LineModel line;
  // Of the device.
  uint32_t buffer_size = 1024;
  uint32_t buffer_count = 8;

  // "serial 115200, 5ms".
  std::string Name() const;
};

struct McuBenchOptions {
  // Each upload is as large as the line carries in about this time.
  absl::Duration length = absl::Seconds(2);
  // Medians of so many, the clients in turns.
  int runs = 5;
  // Next to ours a client that has one small request in flight, as simple tools have.
  bool compare = true;
};

struct McuBenchResult {
  // Bytes of the image per second.
  double ours = 0;
  double simple = 0;
  // What the line carries of the image when it is never idle; nullopt: the line has no rate.
  std::optional<double> cap;

  // Of the cap; 100 when there is none.
  double Percent() const { return cap.has_value() ? ours / *cap * 100 : 100; }
};

// The lines of the table that is published.
std::vector<McuBenchCase> PublishedMcuCases();

// An error when an upload fails.
absl::StatusOr<McuBenchResult> RunMcuBench(const McuBenchCase& bench_case, const McuBenchOptions& options);

}  // namespace tandem::bench

#endif  // TANDEM_TOOLS_BENCH_MCU_BENCH_H_
