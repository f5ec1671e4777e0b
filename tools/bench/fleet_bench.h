// What a fleet's controller does in a second, and what it costs: a real broker, controllers in processes of their own,
// and a load in another, all on this machine.
#ifndef TANDEM_TOOLS_BENCH_FLEET_BENCH_H_
#define TANDEM_TOOLS_BENCH_FLEET_BENCH_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem::bench {

enum class FleetStore { kSqlite, kPostgres };

struct ReportsCase {
  FleetStore store = FleetStore::kSqlite;
  int controllers = 1;
  uint32_t units = 10'000;
  absl::Duration length = absl::Seconds(5);
};

// Four of five messages are heartbeats, one is feedback, which wants an acknowledgement. The load keeps a bounded
// number of messages unanswered, so nothing is lost in a queue and the figure is what goes through.
struct ReportsResult {
  double stored_per_second = 0;
  double acknowledged_per_second = 0;
  // Of all controllers, for one message.
  absl::Duration controller_cpu;
  double messages_per_group = 0;
  uint64_t controller_resident = 0;
  uint64_t database_bytes = 0;
  absl::Duration registration;
};
absl::StatusOr<ReportsResult> RunReports(const ReportsCase& bench_case);

struct OrdersResult {
  // From the rollout's creation, whose only ring is all units, to the broker's word that it has the last assignment.
  absl::Duration all_published;
  absl::Duration controller_cpu;
};
absl::StatusOr<OrdersResult> RunOrders(FleetStore store, uint32_t units);

struct FleetBenchOptions {
  bool quick = false;
  int runs = 3;
  uint32_t most_units = 1'000'000;
  double min_reports = 0;
  double max_ratio = 0;
};
// Prints a table. OUT_OF_RANGE: a figure is below its limit.
absl::Status RunFleetBench(const FleetBenchOptions& options);

}  // namespace tandem::bench

#endif  // TANDEM_TOOLS_BENCH_FLEET_BENCH_H_
