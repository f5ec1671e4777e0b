#include "fleet/api/change_marks.h"

#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "fleet/store/access_table.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

constexpr int kMaxRollouts = 50;
constexpr int kMaxAudited = 100;
constexpr int kUnitRuns = 50;

uint64_t GuardMark(const StormGuard& guard) {
  uint64_t mark = absl::HashOf(guard.switched_on, guard.disabled_until);
  for (const StormGuard::Failure& failure : guard.streak) mark = absl::HashOf(mark, failure.release, failure.at);
  return mark;
}

absl::StatusOr<uint64_t> FleetMark(StoreTransaction& tx) {
  uint64_t mark = 0;
  for (const char* name : {"units", "online", "stale", "revoked", "storm", "held"}) {
    ASSIGN_OR_RETURN(const int64_t value, Counter(tx, name));
    mark = absl::HashOf(mark, value);
  }
  ASSIGN_OR_RETURN(const auto versions, Counters(tx, "run/"));
  // What it is when nobody has set it does not matter to a comparison.
  ASSIGN_OR_RETURN(const StormGuard guard, StormGuardTable(tx, /*switched_on=*/true).Get(/*lock=*/false));
  return absl::HashOf(mark, versions, GuardMark(guard));
}

absl::StatusOr<uint64_t> RolloutMark(StoreTransaction& tx, const RolloutRow& row) {
  uint64_t mark = absl::HashOf(row.state, row.paused, row.ring, row.reason, row.revision, row.changed_at);
  ASSIGN_OR_RETURN(const auto rings, RolloutTable(tx).Rings(row.number));
  for (const RingRow& ring : rings) {
    mark = absl::HashOf(mark, ring.state, ring.members, ring.verdict, ring.reason, ring.evidence);
  }
  ASSIGN_OR_RETURN(const auto counters, Counters(tx, AllRingsCounterPrefix(row.number)));
  return absl::HashOf(mark, counters);
}

absl::StatusOr<uint64_t> UnitMark(StoreTransaction& tx, const std::string& unit_id) {
  const absl::StatusOr<UnitRow> row = UnitTable(tx).Get(unit_id, /*lock=*/false);
  if (absl::IsNotFound(row.status())) return 0;
  RETURN_IF_ERROR(row.status());
  uint64_t mark =
      absl::HashOf(row->revoked, row->online, row->stale, row->last_seen, row->reported_hash, row->reported_sequence,
                   row->runs, row->desired_sequence, row->published_sequence, row->storm, row->held);
  RETURN_IF_ERROR(UnitTable(tx).Events(
      row->number, 1, [&](UnitEventRow&& event) { mark = absl::HashOf(mark, event.order.epoch, event.order.seq); }));
  ASSIGN_OR_RETURN(const auto attempts, AttemptTable(tx).OfUnit(row->number, 1));
  for (const AttemptRow& attempt : attempts) {
    mark = absl::HashOf(mark, attempt.number, attempt.state, attempt.reason, attempt.changed_at);
  }
  ASSIGN_OR_RETURN(const auto runs, DiagnosticRunTable(tx).OfUnit(row->number, kUnitRuns));
  for (const DiagnosticRunRow& run : runs) {
    mark = absl::HashOf(mark, run.number, run.state, run.deadline, run.late_outcome);
  }
  return mark;
}

absl::Status ReadAudit(StoreTransaction& tx, int64_t from, ChangeMarks& marks) {
  AuditTable audit(tx);
  ASSIGN_OR_RETURN(const auto newest, audit.List("", /*oldest_first=*/false, 0, 1));
  marks.audit = newest.empty() ? 0 : newest[0].number;
  if (from == 0 || marks.audit == from) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto entries, audit.List("", /*oldest_first=*/true, from, kMaxAudited + 1));
  for (const AuditRow& entry : entries) marks.audited.insert(entry.object);
  if (entries.size() > kMaxAudited) marks.audited = {std::string(kEverythingChanged)};
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ChangeMarks> ReadChangeMarks(StoreTransaction& tx, const Watched& watched, int64_t audit) {
  ChangeMarks marks;
  ASSIGN_OR_RETURN(marks.fleet, FleetMark(tx));
  RolloutTable rollouts(tx);
  ASSIGN_OR_RETURN(const auto active, rollouts.List(/*active=*/true, 0, kMaxRollouts));
  for (const RolloutRow& row : active) {
    ASSIGN_OR_RETURN(marks.rollouts[row.number], RolloutMark(tx, row));
  }
  for (const int64_t number : watched.rollouts) {
    if (marks.rollouts.contains(number)) continue;
    const absl::StatusOr<RolloutRow> row = rollouts.Get(number);
    if (absl::IsNotFound(row.status())) continue;
    RETURN_IF_ERROR(row.status());
    ASSIGN_OR_RETURN(marks.rollouts[number], RolloutMark(tx, *row));
  }
  for (const std::string& unit_id : watched.units) {
    ASSIGN_OR_RETURN(marks.units[unit_id], UnitMark(tx, unit_id));
  }
  RETURN_IF_ERROR(ReadAudit(tx, audit, marks));
  return marks;
}

std::set<std::string> Differences(const ChangeMarks& before, const ChangeMarks& after) {
  std::set<std::string> names = after.audited;
  if (before.audit != after.audit) names.insert("audit");
  if (before.fleet != after.fleet) names.insert("fleet");
  for (const auto& [number, mark] : after.rollouts) {
    const auto found = before.rollouts.find(number);
    if (found == before.rollouts.end() || found->second != mark) names.insert(absl::StrCat("rollout/", number));
  }
  for (const auto& [number, mark] : before.rollouts) {
    if (!after.rollouts.contains(number)) names.insert(absl::StrCat("rollout/", number));
  }
  for (const auto& [unit_id, mark] : after.units) {
    const auto found = before.units.find(unit_id);
    if (found != before.units.end() && found->second != mark) names.insert("unit/" + unit_id);
  }
  return names;
}

}  // namespace tandem::fleet
