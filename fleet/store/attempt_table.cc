#include "fleet/store/attempt_table.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

constexpr char kAttemptColumns[] =
    "number, rollout, ring, unit, kind, state, reason, sequence, tries, score, score_at, epoch, seq, before_firmware, "
    "before_model, before_config, control, rolled_back_by, created_at, changed_at, control_score, good_firmware, "
    "good_model, good_config, run_id";

AttemptRow ReadAttempt(const SqlRow& row) {
  return {.number = row.Int(0),
          .rollout = row.Int(1),
          .ring = row.Int(2),
          .unit = row.Int(3),
          .kind = static_cast<AttemptKind>(row.Int(4)),
          .state = static_cast<AttemptState>(row.Int(5)),
          .reason = row.Text(6),
          .sequence = row.Int(7),
          .tries = row.Int(8),
          .score = static_cast<AttemptScore>(row.Int(9)),
          .score_at = row.Int(10),
          .order = {row.Int(11), row.Int(12)},
          .before = {row.Int(13), row.Int(14), row.Int(15)},
          .control = row.Int(16),
          .control_score = static_cast<AttemptScore>(row.Int(20)),
          .rolled_back_by = row.Int(17),
          .created_at = row.Int(18),
          .changed_at = row.Int(19),
          .good = {row.Int(21), row.Int(22), row.Int(23)},
          .run_id = row.Text(24)};
}

int64_t Number(AttemptState state) { return static_cast<int64_t>(state); }
int64_t Number(AttemptKind kind) { return static_cast<int64_t>(kind); }

std::string StateCounter(const AttemptRow& attempt) {
  const std::string state(Name(attempt.state));
  const std::string prefix = RingCounterPrefix(attempt.rollout, attempt.ring);
  if (attempt.kind == AttemptKind::kForward) return prefix + state;
  return absl::StrCat(prefix, std::string(Name(attempt.kind)), "/", state);
}

void CountScore(StoreTransaction& tx, const AttemptRow& attempt, int64_t by) {
  if (attempt.kind != AttemptKind::kForward || attempt.score == AttemptScore::kNone) return;
  const std::string prefix = RingCounterPrefix(attempt.rollout, attempt.ring);
  const bool failed = attempt.score == AttemptScore::kFail;
  tx.Count(prefix + (failed ? "score/fail" : "score/pass"), by);
  if (attempt.control_score == AttemptScore::kNone) return;
  tx.Count(absl::StrCat(prefix, "pair/", failed ? 1 : 0, attempt.control_score == AttemptScore::kFail ? 1 : 0), by);
}

}  // namespace

std::string AllRingsCounterPrefix(int64_t rollout) { return absl::StrCat("ring/", rollout, "/"); }
std::string RingCounterPrefix(int64_t rollout, int64_t ring) { return absl::StrCat("ring/", rollout, "/", ring, "/"); }

absl::StatusOr<std::vector<AttemptRow>> AttemptTable::Select(const std::string& where,
                                                             std::initializer_list<SqlValue> values) {
  std::vector<AttemptRow> attempts;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kAttemptColumns, " FROM attempts WHERE ", where), values,
                                [&](const SqlRow& row) { attempts.push_back(ReadAttempt(row)); }));
  return attempts;
}

absl::StatusOr<std::optional<int64_t>> AttemptTable::Add(const AttemptRow& a) {
  std::optional<int64_t> number;
  RETURN_IF_ERROR(tx_.sql.Query(
      "INSERT INTO attempts (rollout, ring, unit, kind, state, reason, sequence, tries, score, score_at, epoch, seq, "
      "before_firmware, before_model, before_config, control, rolled_back_by, created_at, changed_at, good_firmware, "
      "good_model, good_config) VALUES "
      "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22) "
      "ON CONFLICT (rollout, unit, kind, tries) DO NOTHING RETURNING number",
      {a.rollout,      a.ring,           a.unit,
       Number(a.kind), Number(a.state),  a.reason,
       a.sequence,     a.tries,          static_cast<int64_t>(a.score),
       a.score_at,     a.order.epoch,    a.order.seq,
       a.before[0],    a.before[1],      a.before[2],
       a.control,      a.rolled_back_by, a.created_at,
       a.changed_at,   a.good[0],        a.good[1],
       a.good[2]},
      [&](const SqlRow& row) { number = row.Int(0); }));
  if (number.has_value()) {
    tx_.Count(StateCounter(a), 1);
    if (a.control != 0) tx_.Count(RingCounterPrefix(a.rollout, a.ring) + "controls", 1);
  }
  return number;
}

absl::StatusOr<AttemptRow> AttemptTable::Get(int64_t number, bool lock) {
  ASSIGN_OR_RETURN(std::vector<AttemptRow> found,
                   Select(absl::StrCat("number = ?1", lock ? tx_.sql.ForUpdate() : ""), {number}));
  if (found.empty()) return absl::NotFoundError(absl::StrCat("there is no attempt ", number));
  return std::move(found[0]);
}

absl::Status AttemptTable::Save(const AttemptRow& before, const AttemptRow& after) {
  if (before == after) return absl::OkStatus();
  if (before.state != after.state) {
    tx_.Count(StateCounter(before), -1);
    tx_.Count(StateCounter(after), 1);
  }
  if (before.score != after.score || before.control_score != after.control_score) {
    CountScore(tx_, before, -1);
    CountScore(tx_, after, 1);
  }
  return tx_.sql
      .Run(
          "UPDATE attempts SET state = ?2, reason = ?3, sequence = ?4, tries = ?5, score = ?6, score_at = ?7, epoch = "
          "?8, seq = ?9, before_firmware = ?10, before_model = ?11, before_config = ?12, rolled_back_by = ?13, "
          "changed_at = ?14, control = ?15, control_score = ?16, good_firmware = ?17, good_model = ?18, good_config = "
          "?19, run_id "
          "= ?20 WHERE number = ?1",
          {after.number,         Number(after.state),
           after.reason,         after.sequence,
           after.tries,          static_cast<int64_t>(after.score),
           after.score_at,       after.order.epoch,
           after.order.seq,      after.before[0],
           after.before[1],      after.before[2],
           after.rolled_back_by, after.changed_at,
           after.control,        static_cast<int64_t>(after.control_score),
           after.good[0],        after.good[1],
           after.good[2],        after.run_id})
      .status();
}

absl::StatusOr<std::vector<AttemptRow>> AttemptTable::InState(int64_t rollout, int64_t ring, AttemptKind kind,
                                                              AttemptState state, int64_t after, int limit) {
  return Select("rollout = ?1 AND ring = ?2 AND state = ?3 AND kind = ?4 AND number > ?5 ORDER BY number LIMIT ?6",
                {rollout, ring, Number(state), Number(kind), after, int64_t{limit}});
}

absl::Status AttemptTable::CloseQueued(int64_t rollout, int rings, AttemptState to, const std::string& reason,
                                       int64_t now) {
  for (int ring = 0; ring < rings; ++ring) {
    ASSIGN_OR_RETURN(
        const int64_t closed,
        tx_.sql.Run("UPDATE attempts SET state = ?3, reason = ?4, changed_at = ?5 WHERE rollout = ?1 AND ring = ?2 AND "
                    "state = 0 AND kind = 0",
                    {rollout, int64_t{ring}, Number(to), reason, now}));
    tx_.Count(RingCounterPrefix(rollout, ring) + std::string(Name(AttemptState::kQueued)), -closed);
    tx_.Count(RingCounterPrefix(rollout, ring) + std::string(Name(to)), closed);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AttemptRow>> AttemptTable::ToTakeBack(int64_t rollout, std::vector<AttemptState> states,
                                                                 int64_t after, int limit) {
  const std::string in =
      absl::StrJoin(states, ", ", [](std::string* out, AttemptState state) { absl::StrAppend(out, Number(state)); });
  return Select(
      absl::StrCat("rollout = ?1 AND kind = 0 AND rolled_back_by = 0 AND sequence > 0 AND number > ?2 AND state IN (",
                   in, ") ORDER BY number LIMIT ?3"),
      {rollout, after, int64_t{limit}});
}

absl::StatusOr<bool> AttemptTable::HasDue(int64_t now) {
  bool found = false;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT number FROM attempts WHERE score_at > 0 AND score_at <= ?1 LIMIT 1", {now},
                                [&](const SqlRow&) { found = true; }));
  return found;
}

absl::StatusOr<std::vector<AttemptRow>> AttemptTable::Due(int64_t now, int limit) {
  return Select(
      absl::StrCat("score_at > 0 AND score_at <= ?1 ORDER BY score_at LIMIT ?2", tx_.sql.ForUpdateSkipLocked()),
      {now, int64_t{limit}});
}

absl::StatusOr<std::vector<AttemptRow>> AttemptTable::OfUnit(int64_t unit, int limit) {
  return Select("unit = ?1 ORDER BY number DESC LIMIT ?2", {unit, int64_t{limit}});
}

absl::StatusOr<std::optional<AttemptRow>> AttemptTable::OfUnitInRollout(int64_t unit, int64_t rollout) {
  ASSIGN_OR_RETURN(std::vector<AttemptRow> found,
                   Select("unit = ?1 AND rollout = ?2 ORDER BY number DESC LIMIT 1", {unit, rollout}));
  return found.empty() ? std::nullopt : std::make_optional(std::move(found[0]));
}

absl::StatusOr<std::vector<AttemptRow>> AttemptTable::List(int64_t rollout, int64_t ring,
                                                           std::optional<AttemptState> state, int64_t after,
                                                           int limit) {
  return Select(
      "rollout = ?1 AND (?2 < 0 OR ring = ?2) AND (?3 < 0 OR state = ?3) AND number > ?4 ORDER BY number LIMIT ?5",
      {rollout, ring, state.has_value() ? Number(*state) : int64_t{-1}, after, int64_t{limit}});
}

absl::StatusOr<std::vector<AttemptRow>> AttemptTable::Verified(int64_t rollout, std::optional<AttemptState> state,
                                                               int64_t after, int limit) {
  return Select("rollout = ?1 AND run_id <> '' AND (?2 < 0 OR state = ?2) AND number > ?3 ORDER BY number LIMIT ?4",
                {rollout, state.has_value() ? Number(*state) : int64_t{-1}, after, int64_t{limit}});
}

absl::StatusOr<std::optional<AttemptRow>> AttemptTable::Find(int64_t rollout, int64_t unit, AttemptKind kind,
                                                             int64_t tries) {
  ASSIGN_OR_RETURN(std::vector<AttemptRow> found, Select("rollout = ?1 AND unit = ?2 AND kind = ?3 AND tries = ?4",
                                                         {rollout, unit, Number(kind), tries}));
  return found.empty() ? std::nullopt : std::make_optional(std::move(found[0]));
}

absl::StatusOr<bool> AttemptTable::IsMember(int64_t rollout, int64_t unit) {
  bool found = false;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT 1 FROM attempts WHERE rollout = ?1 AND unit = ?2 LIMIT 1", {rollout, unit},
                                [&](const SqlRow&) { found = true; }));
  return found;
}

absl::StatusOr<int64_t> AttemptTable::CountOpen(int64_t rollout) {
  int64_t open = 0;
  RETURN_IF_ERROR(
      tx_.sql.Query("SELECT COALESCE(SUM(value), 0) FROM counters WHERE name >= ?1 AND name < ?2 AND (name LIKE "
                    "'%/asked' OR name LIKE '%/updating' OR name LIKE '%/provisional' OR name LIKE '%/verifying' OR "
                    "name LIKE '%/verifying_trial' OR name LIKE '%/cleared')",
                    {absl::StrCat("ring/", rollout, "/"), absl::StrCat("ring/", rollout, "/~")},
                    [&](const SqlRow& row) { open = row.Int(0); }));
  return open;
}

absl::Status AssignmentTable::Put(const AssignmentRow& assignment) {
  RETURN_IF_ERROR(tx_.sql
                      .Run("INSERT INTO assignments (unit, sequence, expires, envelope) VALUES (?1, ?2, ?3, ?4) "
                           "ON CONFLICT (unit) DO UPDATE SET sequence = excluded.sequence, expires = excluded.expires, "
                           "envelope = excluded.envelope",
                           {assignment.unit, assignment.sequence, assignment.expires, SqlBytes{assignment.envelope}})
                      .status());
  return Enqueue(assignment.unit, assignment.sequence);
}

absl::Status AssignmentTable::Clear(int64_t unit, int64_t sequence) {
  RETURN_IF_ERROR(tx_.sql.Run("DELETE FROM assignments WHERE unit = ?1", {unit}).status());
  return Enqueue(unit, sequence);
}

absl::StatusOr<std::optional<AssignmentRow>> AssignmentTable::Get(int64_t unit) {
  std::optional<AssignmentRow> found;
  RETURN_IF_ERROR(tx_.sql.Query(
      "SELECT unit, sequence, expires, envelope FROM assignments WHERE unit = ?1", {unit}, [&](const SqlRow& row) {
        found = {.unit = row.Int(0), .sequence = row.Int(1), .expires = row.Int(2), .envelope = row.Bytes(3)};
      }));
  return found;
}

absl::StatusOr<std::vector<AssignmentRow>> AssignmentTable::Expiring(int64_t time, int limit) {
  std::vector<AssignmentRow> found;
  RETURN_IF_ERROR(tx_.sql.Query(
      "SELECT unit, sequence, expires, envelope FROM assignments WHERE expires < ?1 ORDER BY expires LIMIT ?2",
      {time, int64_t{limit}}, [&](const SqlRow& row) {
        found.push_back({.unit = row.Int(0), .sequence = row.Int(1), .expires = row.Int(2), .envelope = row.Bytes(3)});
      }));
  return found;
}

absl::Status AssignmentTable::Enqueue(int64_t unit, int64_t sequence) {
  ASSIGN_OR_RETURN(const int64_t changed,
                   tx_.sql.Run("UPDATE publish_queue SET sequence = ?2 WHERE unit = ?1", {unit, sequence}));
  if (changed != 0) return absl::OkStatus();
  return tx_.sql
      .Run(
          "INSERT INTO publish_queue (unit, sequence) VALUES (?1, ?2) "
          "ON CONFLICT (unit) DO UPDATE SET sequence = excluded.sequence",
          {unit, sequence})
      .status();
}

absl::StatusOr<bool> AssignmentTable::HasUnclaimed(int64_t now) {
  bool found = false;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT unit FROM publish_queue WHERE claimed_until <= ?1 LIMIT 1", {now},
                                [&](const SqlRow&) { found = true; }));
  return found;
}

absl::StatusOr<std::vector<PublishClaim>> AssignmentTable::Claim(const std::string& claimant, int64_t now,
                                                                 int64_t until, int limit) {
  std::vector<PublishClaim> claims;
  RETURN_IF_ERROR(tx_.sql.Query(
      absl::StrCat("UPDATE publish_queue SET claimed_until = ?1, claimed_by = ?2 WHERE unit IN (SELECT unit FROM "
                   "publish_queue WHERE claimed_until <= ?3 ORDER BY unit LIMIT ?4",
                   tx_.sql.ForUpdateSkipLocked(), ") RETURNING unit, sequence"),
      {until, claimant, now, int64_t{limit}},
      [&](const SqlRow& row) { claims.push_back({.unit = row.Int(0), .sequence = row.Int(1)}); }));
  return claims;
}

absl::StatusOr<bool> AssignmentTable::Published(const PublishClaim& claim, const std::string& claimant) {
  ASSIGN_OR_RETURN(const int64_t gone, tx_.sql.Run("DELETE FROM publish_queue WHERE unit = ?1 AND sequence = ?2",
                                                   {claim.unit, claim.sequence}));
  if (gone != 0) return true;
  RETURN_IF_ERROR(Unclaim(claim.unit, claimant, 0));
  return false;
}

absl::Status AssignmentTable::Unclaim(int64_t unit, const std::string& claimant, int64_t at) {
  return tx_.sql
      .Run("UPDATE publish_queue SET claimed_until = ?3, claimed_by = '' WHERE unit = ?1 AND claimed_by = ?2",
           {unit, claimant, at})
      .status();
}

absl::Status AssignmentTable::UnclaimAll(const std::string& claimant) {
  return tx_.sql.Run("UPDATE publish_queue SET claimed_until = 0, claimed_by = '' WHERE claimed_by = ?1", {claimant})
      .status();
}

absl::StatusOr<int64_t> AssignmentTable::QueueLength() {
  int64_t length = 0;
  RETURN_IF_ERROR(
      tx_.sql.Query("SELECT COUNT(*) FROM publish_queue", {}, [&](const SqlRow& row) { length = row.Int(0); }));
  return length;
}

}  // namespace tandem::fleet
