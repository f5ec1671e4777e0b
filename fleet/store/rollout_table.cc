#include "fleet/store/rollout_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

constexpr char kRolloutColumns[] =
    "number, spec, release, planes, state, paused, promote_asked, ring, reason, on_abort, tokens_at, tokens_milli, "
    "created_at, created_by, changed_at, revision, superseded_by";
constexpr char kRingColumns[] =
    "rollout, ring, state, members, verdict, reason, evidence, started_at, scored_at, ended_at";

RolloutRow ReadRollout(const SqlRow& row) {
  return {.number = row.Int(0),
          .spec = row.Bytes(1),
          .release = row.Int(2),
          .planes = row.Int(3),
          .state = static_cast<RolloutState>(row.Int(4)),
          .paused = row.Int(5) != 0,
          .promote_asked = row.Int(6) != 0,
          .ring = row.Int(7),
          .reason = row.Text(8),
          .on_abort = row.Int(9),
          .tokens_at = row.Int(10),
          .tokens_milli = row.Int(11),
          .created_at = row.Int(12),
          .created_by = row.Text(13),
          .changed_at = row.Int(14),
          .revision = row.Int(15),
          .superseded_by = row.Int(16)};
}

RingRow ReadRing(const SqlRow& row) {
  return {.rollout = row.Int(0),
          .ring = row.Int(1),
          .state = static_cast<RingState>(row.Int(2)),
          .members = row.Int(3),
          .verdict = row.Text(4),
          .reason = row.Text(5),
          .evidence = row.Bytes(6),
          .started_at = row.Int(7),
          .scored_at = row.Int(8),
          .ended_at = row.Int(9)};
}

StopRow ReadStop(const SqlRow& row) {
  return {.number = row.Int(0), .target = row.Text(1), .reason = row.Text(2), .actor = row.Text(3), .at = row.Int(4)};
}

// Scheduled, filling, rolling, aborting; and complete, which goes on for units that join.
constexpr char kActive[] = "(state IN (0, 1, 2, 3) OR (state = 5 AND superseded_by = 0))";
constexpr char kNotOver[] = "state IN (0, 1, 2, 3)";

}  // namespace

absl::StatusOr<std::vector<RolloutRow>> RolloutTable::Select(const std::string& where,
                                                             std::initializer_list<SqlValue> values) {
  std::vector<RolloutRow> rollouts;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kRolloutColumns, " FROM rollouts WHERE ", where), values,
                                [&](const SqlRow& row) { rollouts.push_back(ReadRollout(row)); }));
  return rollouts;
}

absl::StatusOr<int64_t> RolloutTable::Create(const RolloutRow& r, int rings) {
  int64_t number = 0;
  RETURN_IF_ERROR(
      tx_.sql.Query("INSERT INTO rollouts (spec, release, planes, state, reason, on_abort, created_at, created_by, "
                    "changed_at) VALUES "
                    "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7) RETURNING number",
                    {SqlBytes{r.spec}, r.release, r.planes, static_cast<int64_t>(r.state), r.reason, r.on_abort,
                     r.created_at, r.created_by},
                    [&](const SqlRow& row) { number = row.Int(0); }));
  for (int ring = 0; ring < rings; ++ring) {
    RETURN_IF_ERROR(
        tx_.sql
            .Run("INSERT INTO rings (rollout, ring, evidence) VALUES (?1, ?2, ?3)", {number, int64_t{ring}, SqlBytes{}})
            .status());
  }
  return number;
}

absl::StatusOr<RolloutRow> RolloutTable::Get(int64_t number) {
  ASSIGN_OR_RETURN(std::vector<RolloutRow> found, Select("number = ?1", {number}));
  if (found.empty()) return absl::NotFoundError(absl::StrCat("there is no rollout ", number));
  return std::move(found[0]);
}

absl::Status RolloutTable::Save(const RolloutRow& before, RolloutRow& after) {
  if (before == after) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      const int64_t changed,
      tx_.sql.Run(
          "UPDATE rollouts SET state = ?2, paused = ?3, promote_asked = ?4, ring = ?5, reason = ?6, on_abort = "
          "?7, tokens_at = ?8, tokens_milli = ?9, changed_at = ?10, superseded_by = ?11, revision = revision + 1 "
          "WHERE number = ?1 AND revision = ?12",
          {after.number, static_cast<int64_t>(after.state), int64_t{after.paused}, int64_t{after.promote_asked},
           after.ring, after.reason, after.on_abort, after.tokens_at, after.tokens_milli, after.changed_at,
           after.superseded_by, before.revision}));
  if (changed == 0) {
    return absl::AbortedError(
        absl::StrCat("rollout ", after.number, " was changed by somebody else in the meantime; read it again"));
  }
  after.revision = before.revision + 1;
  return absl::OkStatus();
}

absl::Status RolloutTable::Lock(const RolloutRow& rollout) {
  int64_t revision = -1;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT revision FROM rollouts WHERE number = ?1", tx_.sql.ForUpdate()),
                                {rollout.number}, [&](const SqlRow& row) { revision = row.Int(0); }));
  if (revision == rollout.revision) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("rollout ", rollout.number, " was changed by somebody else in the meantime"));
}

absl::Status RolloutTable::Tell(const RolloutRow& rollout, const std::string& reason, int64_t now) {
  return tx_.sql
      .Run("UPDATE rollouts SET reason = ?3, changed_at = ?4 WHERE number = ?1 AND revision = ?2",
           {rollout.number, rollout.revision, reason, now})
      .status();
}

absl::Status RolloutTable::SaveTokens(const RolloutRow& rollout) {
  return tx_.sql
      .Run("UPDATE rollouts SET tokens_at = ?3, tokens_milli = ?4 WHERE number = ?1 AND revision = ?2",
           {rollout.number, rollout.revision, rollout.tokens_at, rollout.tokens_milli})
      .status();
}

absl::Status RolloutTable::Reinstate(int64_t superseded_by) {
  return tx_.sql
      .Run("UPDATE rollouts SET superseded_by = 0, revision = revision + 1 WHERE superseded_by = ?1 AND state = 5",
           {superseded_by})
      .status();
}

absl::StatusOr<std::vector<RolloutRow>> RolloutTable::Active() {
  return Select(absl::StrCat(kActive, " ORDER BY number"), {});
}

absl::StatusOr<std::vector<RolloutRow>> RolloutTable::OfRelease(int64_t release) {
  return Select("release = ?1 ORDER BY number DESC", {release});
}

absl::StatusOr<std::vector<RolloutRow>> RolloutTable::List(bool active, int64_t before, int limit) {
  return Select(absl::StrCat("(?1 = 0 OR number < ?1)", active ? absl::StrCat(" AND ", kNotOver) : "",
                             " ORDER BY number DESC LIMIT ?2"),
                {before, int64_t{limit}});
}

absl::StatusOr<std::vector<RingRow>> RolloutTable::Rings(int64_t rollout) {
  std::vector<RingRow> rings;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kRingColumns, " FROM rings WHERE rollout = ?1 ORDER BY ring"),
                                {rollout}, [&](const SqlRow& row) { rings.push_back(ReadRing(row)); }));
  return rings;
}

absl::StatusOr<RingRow> RolloutTable::GetRing(int64_t rollout, int64_t ring) {
  std::vector<RingRow> rings;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kRingColumns, " FROM rings WHERE rollout = ?1 AND ring = ?2"),
                                {rollout, ring}, [&](const SqlRow& row) { rings.push_back(ReadRing(row)); }));
  if (rings.empty()) return absl::NotFoundError(absl::StrCat("rollout ", rollout, " has no ring ", ring));
  return std::move(rings[0]);
}

absl::Status RolloutTable::SaveRing(const RingRow& before, const RingRow& after) {
  if (before == after) return absl::OkStatus();
  return tx_.sql
      .Run(
          "UPDATE rings SET state = ?3, members = ?4, verdict = ?5, reason = ?6, evidence = ?7, started_at = ?8, "
          "ended_at = ?9 WHERE rollout = ?1 AND ring = ?2",
          {after.rollout, after.ring, static_cast<int64_t>(after.state), after.members, after.verdict, after.reason,
           SqlBytes{after.evidence}, after.started_at, after.ended_at})
      .status();
}

absl::Status RolloutTable::TouchScored(int64_t rollout, int64_t ring, int64_t now) {
  return tx_.sql
      .Run("UPDATE rings SET scored_at = ?3 WHERE rollout = ?1 AND ring = ?2 AND scored_at < ?3", {rollout, ring, now})
      .status();
}

absl::StatusOr<int64_t> StopTable::Add(const StopRow& stop) {
  int64_t number = 0;
  RETURN_IF_ERROR(
      tx_.sql.Query("INSERT INTO stops (target, reason, actor, at) VALUES (?1, ?2, ?3, ?4) RETURNING number",
                    {stop.target, stop.reason, stop.actor, stop.at}, [&](const SqlRow& row) { number = row.Int(0); }));
  return number;
}

absl::StatusOr<std::vector<StopRow>> StopTable::List() {
  std::vector<StopRow> stops;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT number, target, reason, actor, at FROM stops WHERE lifted = 0 ORDER BY number",
                                {}, [&](const SqlRow& row) { stops.push_back(ReadStop(row)); }));
  return stops;
}

absl::StatusOr<StopRow> StopTable::Lift(int64_t number) {
  std::vector<StopRow> stops;
  RETURN_IF_ERROR(tx_.sql.Query(
      "UPDATE stops SET lifted = 1 WHERE number = ?1 AND lifted = 0 RETURNING number, target, reason, actor, at",
      {number}, [&](const SqlRow& row) { stops.push_back(ReadStop(row)); }));
  if (stops.empty()) return absl::NotFoundError(absl::StrCat("no stop ", number, " is in force"));
  return std::move(stops[0]);
}

}  // namespace tandem::fleet
