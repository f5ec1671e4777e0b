// Diagnostic runs, the failures that nobody has acted upon yet, and the project's storm guard.
#ifndef TANDEM_FLEET_STORE_VERIFICATION_TABLE_H_
#define TANDEM_FLEET_STORE_VERIFICATION_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "fleet/verification/storm_guard.h"

namespace tandem::fleet {

class DiagnosticRunTable {
 public:
  explicit DiagnosticRunTable(StoreTransaction& tx) : tx_(tx) {}

  absl::StatusOr<int64_t> Add(const DiagnosticRunRow& run);
  // What a message may change: state, deadline, publish_at, result and the like.
  absl::Status Save(const DiagnosticRunRow& run);
  // Also those of its parts, "{run_id}.1" and so on; in the order of their names.
  absl::StatusOr<std::vector<DiagnosticRunRow>> OfRun(const std::string& run_id);
  absl::StatusOr<std::optional<DiagnosticRunRow>> Find(const std::string& run_id, const std::string& diagnostic);
  // Newest first.
  absl::StatusOr<std::vector<DiagnosticRunRow>> OfUnit(int64_t unit, int limit);
  // What is pending of a run, its parts included, becomes `to`; returns how many.
  absl::StatusOr<int64_t> ClosePending(const std::string& run_id, RunState to, const std::string& reason, int64_t now);
  // Pending past their deadline, by deadline. Not locked: their units are to be locked before them.
  absl::StatusOr<std::vector<DiagnosticRunRow>> Due(int64_t now, int limit);
  // There may be something for Claim().
  absl::StatusOr<bool> HasToPublish(int64_t now);
  // Pending ones that are to be published by now; nobody else gets them until `until`.
  absl::StatusOr<std::vector<DiagnosticRunRow>> Claim(int64_t now, int64_t until, int limit);
  // The broker has what was claimed, by number and `until` of the claim: unless it is to be published once more
  // meanwhile.
  absl::Status Published(const std::vector<std::pair<int64_t, int64_t>>& claims);
  // What is pending of a unit is published again: it may have missed it.
  absl::Status PublishAgain(int64_t unit, int64_t now);
  // Removes what is over and older than `before`.
  absl::Status Prune(int64_t unit, int64_t before);

 private:
  absl::StatusOr<std::vector<DiagnosticRunRow>> Select(const std::string& where,
                                                       std::initializer_list<SqlValue> values);

  StoreTransaction& tx_;
};

// Attempts that failed their verification, until somebody has acted upon it.
class VerificationFailureTable {
 public:
  explicit VerificationFailureTable(StoreTransaction& tx) : tx_(tx) {}
  absl::Status Add(int64_t attempt);
  // Oldest attempt first.
  absl::StatusOr<std::vector<int64_t>> List(int limit);
  absl::Status Remove(int64_t attempt);

 private:
  StoreTransaction& tx_;
};

// The store's one storm guard. What was never written is as `switched_on` of the configuration says.
class StormGuardTable {
 public:
  StormGuardTable(StoreTransaction& tx, bool switched_on) : tx_(tx), switched_on_(switched_on) {}
  // Locked until the transaction ends, when it writes.
  absl::StatusOr<StormGuard> Get(bool lock);
  absl::Status Save(const StormGuard& before, const StormGuard& after);

 private:
  StoreTransaction& tx_;
  const bool switched_on_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_VERIFICATION_TABLE_H_
