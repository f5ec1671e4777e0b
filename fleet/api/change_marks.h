// What tells cheaply that something an operator may look at has changed, whichever controller changed it.
//
//   ASSIGN_OR_RETURN(const ChangeMarks now, ReadChangeMarks(tx, {.units = {"gw-17"}}, before.audit));
//   for (const std::string& name : Differences(before, now)) …      "fleet", "rollout/7", "unit/gw-17", "release/r2"
#ifndef TANDEM_FLEET_API_CHANGE_MARKS_H_
#define TANDEM_FLEET_API_CHANGE_MARKS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

// Everything may have changed.
inline constexpr std::string_view kEverythingChanged = "*";

// What is looked at beside the fleet's counters, the rollouts that are not over, and the audit log.
struct Watched {
  std::set<std::string> units;
  std::set<int64_t> rollouts;
};

// Hashes of this process: good only to be compared.
struct ChangeMarks {
  uint64_t fleet = 0;
  std::map<int64_t, uint64_t> rollouts;
  std::map<std::string, uint64_t> units;
  // Newest entry of the audit log, and what the entries above the earlier one were about; kEverythingChanged when they
  // are too many to name.
  int64_t audit = 0;
  std::set<std::string> audited;
};

// Reads some rows for each rollout and unit, never the fleet. `audit`: of the marks before; 0: none are there yet.
absl::StatusOr<ChangeMarks> ReadChangeMarks(StoreTransaction& tx, const Watched& watched, int64_t audit);

// Names of what differs: "fleet", "audit", and objects of the audit log. A rollout or unit that is in only one of the
// two differs when it is a rollout: it began or ended.
std::set<std::string> Differences(const ChangeMarks& before, const ChangeMarks& after);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_CHANGE_MARKS_H_
