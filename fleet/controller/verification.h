// Verification of what units were updated to: diagnostics are ordered, results taken, silence ended (FLEET items 9 to
// 12, 14, 18). What a diagnostic runs comes from the signed release; the store only keeps that it was asked for.
//
//   ASSIGN_OR_RETURN(const bool verifying, verification.Begin(tx, unit, attempt, now));
//   …
//   RETURN_IF_ERROR(verification.TakeResult(tx, message, unit, now, verdicts));
//
// Each runs within the transaction that it is given: an attempt's step and its runs are durable together, and commands
// that were ordered are published by DiagnosticPublisher, whoever of the controllers lives.
#ifndef TANDEM_FLEET_CONTROLLER_VERIFICATION_H_
#define TANDEM_FLEET_CONTROLLER_VERIFICATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/controller/documents.h"
#include "fleet/messaging/unit_link.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

struct VerificationOptions {
  // Until an operator says otherwise.
  bool auto_rollback = true;
  // By how much known absence may put off a deadline.
  absl::Duration offline_grace = absl::ZeroDuration();
  // How long what diagnostics found is kept.
  absl::Duration keep_runs = absl::Hours(24 * 90);
};

// The answer to a provisional report, to be sent once the transaction is committed.
struct VerdictTo {
  std::string unit_id;
  // Without namespace and time: Verification::Seal().
  release::v1::Verdict verdict;
};

// Values of triggered_by.
inline constexpr char kOtaVerify[] = "ota_verify";
inline constexpr char kByOperator[] = "operator";

// Thread-safe.
class Verification {
 public:
  Verification(Documents& documents, VerificationOptions options) : documents_(documents), options_(options) {}

  const VerificationOptions& options() const { return options_; }

  // The diagnostics that verify what `attempt` has ordered the unit to: new runs, the ones before superseded, and the
  // attempt's step. `unit` is locked; `attempt` was read, locked, and is what is stored then. False: there are none,
  // and nothing was changed.
  absl::StatusOr<bool> Begin(StoreTransaction& tx, const UnitRow& unit, AttemptRow& attempt, int64_t now);

  // Runs that gate nothing: those of the releases that the unit runs, by name; empty: all. Their run_id.
  // FAILED_PRECONDITION: there are none; NOT_FOUND: no such diagnostic.
  absl::StatusOr<std::string> RunOnDemand(StoreTransaction& tx, const UnitRow& unit,
                                          const std::vector<std::string>& names, int64_t now);

  // A result, in whatever order and however often it comes. `unit` is locked, and changed but not saved.
  absl::Status TakeResult(StoreTransaction& tx, const UnitMessage& message, UnitRow& unit, int64_t now,
                          std::vector<VerdictTo>& verdicts);

  // The envelope of a verdict.
  absl::StatusOr<std::string> Seal(const VerdictTo& to, int64_t now) const;

  // There is something for Reap().
  static absl::StatusOr<bool> HasDue(StoreTransaction& tx, int64_t now);
  // Ends runs past their deadline, at most `limit`; returns how many it looked at.
  absl::StatusOr<int> Reap(StoreTransaction& tx, int64_t now, int limit, std::vector<VerdictTo>& verdicts);

 private:
  // A diagnostic of a release that the unit has.
  struct Wanted {
    int64_t release = 0;
    const release::v1::Diagnostic* diagnostic = nullptr;
    std::shared_ptr<const OpenedRelease> opened;
  };
  // By release number and the planes that it has on the unit.
  absl::StatusOr<std::vector<Wanted>> DiagnosticsFor(StoreTransaction& tx, int64_t unit, const PlaneReleases& releases,
                                                     PlaneSet planes);
  static absl::Status Order(StoreTransaction& tx, const std::vector<Wanted>& wanted, const DiagnosticRunRow& common,
                            int64_t now);
  // Decides, when nothing of the run is pending any more.
  absl::Status Settle(StoreTransaction& tx, const std::string& run_id, UnitRow& unit, int64_t now,
                      std::vector<VerdictTo>& verdicts);
  absl::Status SettlePassed(StoreTransaction& tx, AttemptRow& attempt, UnitRow& unit, int64_t now,
                            std::vector<VerdictTo>& verdicts);
  absl::Status SettleFailed(StoreTransaction& tx, AttemptRow& attempt, const std::string& why, UnitRow& unit,
                            int64_t now, std::vector<VerdictTo>& verdicts);

  Documents& documents_;
  const VerificationOptions options_;
};

// For a provisional report of this attempt.
VerdictTo MakeVerdict(const UnitRow& unit, const AttemptRow& attempt, bool verified, const std::string& reason);

// The rungs on which a release goes back: sets of planes, one after the other.
std::vector<uint32_t> LadderOf(const release::v1::Release& release, PlaneSet planes);
// 0 for the first; only of rollbacks.
size_t RungOf(AttemptKind kind);
AttemptKind KindOfRung(size_t rung);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_VERIFICATION_H_
