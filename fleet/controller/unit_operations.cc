#include "fleet/controller/unit_operations.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

// Of a unit, newest first: its newest update is among them.
constexpr int kNewestAttempts = 50;

absl::Status RequireReason(const std::string& reason) {
  if (!reason.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("say why, for those who read the audit log: `reason` is empty");
}

const char* OnOff(bool on) { return on ? "on" : "off"; }

}  // namespace

absl::Status UnitOperations::Hold(StoreTransaction& tx, const std::string& unit_id, bool held,
                                  const std::string& reason, const std::string& actor, int64_t now) {
  RETURN_IF_ERROR(RequireReason(reason));
  UnitTable units(tx);
  ASSIGN_OR_RETURN(const UnitRow before, units.Get(unit_id, /*lock=*/true));
  UnitRow after = before;
  after.held = held ? absl::StrCat(reason, " (", actor, ")") : "";
  if (!held) after.storm.clear();
  if (before == after) return absl::OkStatus();
  RETURN_IF_ERROR(units.Save(before, after));
  return Audit(tx, {.at = now,
                    .actor = actor,
                    .event = held ? "unit.held" : "unit.updates_enabled",
                    .severity = 2,
                    .object = absl::StrCat("unit/", unit_id),
                    .old_value = AuditJson({{"held", before.held}, {"storm", before.storm}}),
                    .new_value = AuditJson({{"reason", reason}})});
}

absl::Status UnitOperations::RollBack(StoreTransaction& tx, const std::string& unit_id, PlaneSet planes,
                                      const std::string& reason, const std::string& actor, int64_t now) {
  RETURN_IF_ERROR(RequireReason(reason));
  ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(unit_id, /*lock=*/true));
  AttemptTable attempts(tx);
  ASSIGN_OR_RETURN(const std::vector<AttemptRow> newest, attempts.OfUnit(unit.number, kNewestAttempts));
  if (!newest.empty() && IsRollback(newest[0].kind) && IsOpen(newest[0].state)) {
    return absl::FailedPreconditionError(
        absl::StrCat("unit ", unit_id, " is on its way back already, by attempt ", newest[0].number));
  }
  // The one that brought what the unit is ordered to now.
  std::optional<AttemptRow> found;
  RolloutRow rollout;
  PlaneSet which = 0;
  for (const AttemptRow& attempt : newest) {
    if (attempt.kind != AttemptKind::kForward || attempt.sequence == 0) continue;
    ASSIGN_OR_RETURN(rollout, RolloutTable(tx).Get(attempt.rollout));
    which = 0;
    for (int plane = 0; plane < kPlanes; ++plane) {
      const bool asked = planes == 0 || Has(planes, plane);
      if (asked && Has(rollout.planes, plane) && unit.desired[plane] == rollout.release) which |= PlaneSet{1} << plane;
    }
    if (which == 0) continue;
    found = attempt;
    break;
  }
  if (!found.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("unit ", unit_id, " has no update of this fleet that it could go back from in these planes"));
  }
  ASSIGN_OR_RETURN(const v1::RolloutSpec spec, ReadSpec(rollout));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> release, documents_.Release(tx, rollout.release));
  ASSIGN_OR_RETURN(const PlaneReleases back, way_back_.Where(tx, *found, rollout.release, which, now));
  if (back == PlaneReleases{}) {
    return absl::FailedPreconditionError(absl::StrCat("unit ", unit_id, " ran nothing before release ",
                                                      release->row.release_id,
                                                      " that it may be ordered to in these planes"));
  }
  ASSIGN_OR_RETURN(const int64_t number, way_back_.Order(tx,
                                                         {.rollout = rollout,
                                                          .spec = spec,
                                                          .release = *release,
                                                          .forward = *found,
                                                          .planes = which,
                                                          .why = absl::StrCat("taken back by ", actor, ": ", reason)},
                                                         now));
  ASSIGN_OR_RETURN(const AttemptRow before, attempts.Get(found->number, /*lock=*/true));
  AttemptRow after = before;
  // A plane that stays would be forgotten when the release is taken back.
  if (which == rollout.planes) after.rolled_back_by = number;
  RETURN_IF_ERROR(attempts.Save(before, after));
  return Audit(tx, {.at = now,
                    .actor = actor,
                    .event = "unit.rolled_back",
                    .severity = 2,
                    .object = absl::StrCat("unit/", unit_id),
                    .old_value = AuditJson({{"release", release->row.release_id}}),
                    .new_value = AuditJson({{"attempt", absl::StrCat(number)}, {"reason", reason}})});
}

absl::StatusOr<std::string> UnitOperations::RunDiagnostics(StoreTransaction& tx, const std::string& unit_id,
                                                           const std::vector<std::string>& names,
                                                           const std::string& actor, int64_t now) {
  ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(unit_id, /*lock=*/true));
  ASSIGN_OR_RETURN(std::string run_id, verification_.RunOnDemand(tx, unit, names, now));
  RETURN_IF_ERROR(
      Audit(tx, {.at = now,
                 .actor = actor,
                 .event = "unit.diagnostics_run",
                 .object = absl::StrCat("unit/", unit_id),
                 .new_value = AuditJson({{"run_id", run_id}, {"diagnostics", absl::StrJoin(names, ", ")}})}));
  return run_id;
}

absl::StatusOr<StormGuard> UnitOperations::Guard(StoreTransaction& tx, int64_t now) {
  ASSIGN_OR_RETURN(const StormGuard guard,
                   StormGuardTable(tx, verification_.options().auto_rollback).Get(/*lock=*/false));
  return AfterTime(guard, now);
}

absl::Status UnitOperations::SetAutoRollback(StoreTransaction& tx, bool on, const std::string& reason,
                                             const std::string& actor, int64_t now) {
  RETURN_IF_ERROR(RequireReason(reason));
  StormGuardTable table(tx, verification_.options().auto_rollback);
  ASSIGN_OR_RETURN(const StormGuard before, table.Get(/*lock=*/true));
  const StormGuard after = AfterSwitch(before, on);
  if (before == after) return absl::OkStatus();
  RETURN_IF_ERROR(table.Save(before, after));
  return Audit(tx, {.at = now,
                    .actor = actor,
                    .event = on ? "project.auto_rollback.enabled" : "project.auto_rollback.disabled",
                    .severity = 2,
                    .object = "project",
                    .old_value = AuditJson({{"auto_rollback", OnOff(MayRollBack(before, now))}}),
                    .new_value = AuditJson({{"auto_rollback", OnOff(on)}, {"reason", reason}})});
}

absl::StatusOr<bool> UnitOperations::StormIsOver(StoreTransaction& tx, int64_t now) {
  ASSIGN_OR_RETURN(const StormGuard guard,
                   StormGuardTable(tx, verification_.options().auto_rollback).Get(/*lock=*/false));
  return AfterTime(guard, now) != guard;
}

absl::Status UnitOperations::EndStorm(StoreTransaction& tx, int64_t now) {
  StormGuardTable table(tx, verification_.options().auto_rollback);
  ASSIGN_OR_RETURN(const StormGuard before, table.Get(/*lock=*/true));
  const StormGuard after = AfterTime(before, now);
  if (before == after) return absl::OkStatus();
  RETURN_IF_ERROR(table.Save(before, after));
  return Audit(tx, {.at = now,
                    .actor = kControllerActor,
                    .event = "project.auto_rollback.enabled",
                    .severity = 2,
                    .object = "project",
                    .old_value = AuditJson({{"auto_rollback", "off"}}),
                    .new_value = AuditJson({{"auto_rollback", OnOff(MayRollBack(after, now))},
                                            {"reason", "the storm guard's 24 hours are over"}})});
}

}  // namespace tandem::fleet
