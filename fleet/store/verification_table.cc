#include "fleet/store/verification_table.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

constexpr char kVerificationColumns[] =
    "number, run_id, unit, attempt, release, diagnostic, triggered_by, state, timeout_secs, created_at, deadline, "
    "extended, publish_at, finished_at, reason, result, late_outcome";

DiagnosticRunRow ReadRun(const SqlRow& row) {
  return {.number = row.Int(0),
          .run_id = row.Text(1),
          .unit = row.Int(2),
          .attempt = row.Int(3),
          .release = row.Int(4),
          .diagnostic = row.Text(5),
          .triggered_by = row.Text(6),
          .state = static_cast<RunState>(row.Int(7)),
          .timeout_secs = row.Int(8),
          .created_at = row.Int(9),
          .deadline = row.Int(10),
          .extended = row.Int(11),
          .publish_at = row.Int(12),
          .finished_at = row.Int(13),
          .reason = row.Text(14),
          .result = row.Bytes(15),
          .late_outcome = row.Text(16)};
}

int64_t Number(RunState state) { return static_cast<int64_t>(state); }

// "7:1800000000 9:1800003600"
std::string StreakText(const std::vector<StormGuard::Failure>& streak) {
  return absl::StrJoin(streak, " ", [](std::string* out, const StormGuard::Failure& failure) {
    absl::StrAppend(out, failure.release, ":", failure.at);
  });
}

absl::StatusOr<std::vector<StormGuard::Failure>> ReadStreak(const std::string& text) {
  std::vector<StormGuard::Failure> streak;
  for (const absl::string_view entry : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(entry, absl::MaxSplits(':', 1));
    StormGuard::Failure failure;
    if (!absl::SimpleAtoi(parts.first, &failure.release) || !absl::SimpleAtoi(parts.second, &failure.at)) {
      return absl::DataLossError(absl::StrCat("the storm guard's streak cannot be read: \"", text, "\""));
    }
    streak.push_back(failure);
  }
  return streak;
}

}  // namespace

absl::StatusOr<std::vector<DiagnosticRunRow>> DiagnosticRunTable::Select(const std::string& where,
                                                                         std::initializer_list<SqlValue> values) {
  std::vector<DiagnosticRunRow> runs;
  RETURN_IF_ERROR(tx_.sql.Query(absl::StrCat("SELECT ", kVerificationColumns, " FROM diagnostic_runs WHERE ", where),
                                values, [&](const SqlRow& row) { runs.push_back(ReadRun(row)); }));
  return runs;
}

absl::StatusOr<int64_t> DiagnosticRunTable::Add(const DiagnosticRunRow& r) {
  int64_t number = 0;
  RETURN_IF_ERROR(tx_.sql.Query(
      "INSERT INTO diagnostic_runs (run_id, unit, attempt, release, diagnostic, triggered_by, state, timeout_secs, "
      "created_at, deadline, publish_at, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) RETURNING "
      "number",
      {r.run_id, r.unit, r.attempt, r.release, r.diagnostic, r.triggered_by, Number(r.state), r.timeout_secs,
       r.created_at, r.deadline, r.publish_at, SqlBytes{r.result}},
      [&](const SqlRow& row) { number = row.Int(0); }));
  return number;
}

absl::Status DiagnosticRunTable::Save(const DiagnosticRunRow& r) {
  return tx_.sql
      .Run(
          "UPDATE diagnostic_runs SET state = ?2, deadline = ?3, extended = ?4, publish_at = ?5, finished_at = ?6, "
          "reason = ?7, result = ?8, late_outcome = ?9 WHERE number = ?1",
          {r.number, Number(r.state), r.deadline, r.extended, r.publish_at, r.finished_at, r.reason, SqlBytes{r.result},
           r.late_outcome})
      .status();
}

absl::StatusOr<std::vector<DiagnosticRunRow>> DiagnosticRunTable::OfRun(const std::string& run_id) {
  return Select("(run_id = ?1 OR (run_id > ?2 AND run_id < ?3)) ORDER BY diagnostic, run_id",
                {run_id, absl::StrCat(run_id, "."), absl::StrCat(run_id, "/")});
}

absl::StatusOr<std::optional<DiagnosticRunRow>> DiagnosticRunTable::Find(const std::string& run_id,
                                                                         const std::string& diagnostic) {
  ASSIGN_OR_RETURN(std::vector<DiagnosticRunRow> found,
                   Select("run_id = ?1 AND diagnostic = ?2", {run_id, diagnostic}));
  return found.empty() ? std::nullopt : std::make_optional(std::move(found[0]));
}

absl::StatusOr<std::vector<DiagnosticRunRow>> DiagnosticRunTable::OfUnit(int64_t unit, int limit) {
  return Select("unit = ?1 ORDER BY number DESC LIMIT ?2", {unit, int64_t{limit}});
}

absl::StatusOr<int64_t> DiagnosticRunTable::ClosePending(const std::string& run_id, RunState to,
                                                         const std::string& reason, int64_t now) {
  return tx_.sql.Run(
      "UPDATE diagnostic_runs SET state = ?2, reason = ?3, finished_at = ?4, publish_at = 0 WHERE (run_id = ?1 OR "
      "(run_id > ?5 AND run_id < ?6)) AND state = 0",
      {run_id, Number(to), reason, now, absl::StrCat(run_id, "."), absl::StrCat(run_id, "/")});
}

absl::StatusOr<std::vector<DiagnosticRunRow>> DiagnosticRunTable::Due(int64_t now, int limit) {
  return Select("state = 0 AND deadline <= ?1 ORDER BY deadline LIMIT ?2", {now, int64_t{limit}});
}

absl::StatusOr<bool> DiagnosticRunTable::HasToPublish(int64_t now) {
  bool found = false;
  RETURN_IF_ERROR(
      tx_.sql.Query("SELECT 1 FROM diagnostic_runs WHERE publish_at > 0 AND publish_at <= ?1 AND deadline > ?1 LIMIT 1",
                    {now}, [&](const SqlRow&) { found = true; }));
  return found;
}

absl::StatusOr<std::vector<DiagnosticRunRow>> DiagnosticRunTable::Claim(int64_t now, int64_t until, int limit) {
  ASSIGN_OR_RETURN(
      std::vector<DiagnosticRunRow> claimed,
      Select(absl::StrCat("publish_at > 0 AND publish_at <= ?1 AND deadline > ?1 ORDER BY publish_at LIMIT ?2",
                          tx_.sql.ForUpdateSkipLocked()),
             {now, int64_t{limit}}));
  for (DiagnosticRunRow& run : claimed) {
    run.publish_at = until;
    RETURN_IF_ERROR(
        tx_.sql.Run("UPDATE diagnostic_runs SET publish_at = ?2 WHERE number = ?1", {run.number, until}).status());
  }
  return claimed;
}

absl::Status DiagnosticRunTable::Published(const std::vector<std::pair<int64_t, int64_t>>& claims) {
  // Never waits for whoever stores a result just now, which ends the publishing as well: nor does that one for us.
  const std::string sql = absl::StrCat(
      "UPDATE diagnostic_runs SET publish_at = 0 WHERE number IN (SELECT number FROM diagnostic_runs WHERE number = ?1 "
      "AND publish_at = ?2",
      tx_.sql.ForUpdateSkipLocked(), ")");
  for (const auto& [number, until] : claims) RETURN_IF_ERROR(tx_.sql.Run(sql, {number, until}).status());
  return absl::OkStatus();
}

absl::Status DiagnosticRunTable::PublishAgain(int64_t unit, int64_t now) {
  return tx_.sql.Run("UPDATE diagnostic_runs SET publish_at = ?2 WHERE unit = ?1 AND state = 0", {unit, now}).status();
}

absl::Status DiagnosticRunTable::Prune(int64_t unit, int64_t before) {
  return tx_.sql.Run("DELETE FROM diagnostic_runs WHERE unit = ?1 AND created_at < ?2 AND state > 0", {unit, before})
      .status();
}

absl::Status VerificationFailureTable::Add(int64_t attempt) {
  return tx_.sql
      .Run("INSERT INTO verification_failures (attempt) VALUES (?1) ON CONFLICT (attempt) DO NOTHING", {attempt})
      .status();
}

absl::StatusOr<std::vector<int64_t>> VerificationFailureTable::List(int limit) {
  std::vector<int64_t> attempts;
  RETURN_IF_ERROR(tx_.sql.Query("SELECT attempt FROM verification_failures ORDER BY attempt LIMIT ?1", {int64_t{limit}},
                                [&](const SqlRow& row) { attempts.push_back(row.Int(0)); }));
  return attempts;
}

absl::Status VerificationFailureTable::Remove(int64_t attempt) {
  return tx_.sql.Run("DELETE FROM verification_failures WHERE attempt = ?1", {attempt}).status();
}

absl::StatusOr<StormGuard> StormGuardTable::Get(bool lock) {
  StormGuard guard{.switched_on = switched_on_};
  if (lock) {
    // So that there is a row to lock.
    RETURN_IF_ERROR(
        tx_.sql
            .Run("INSERT INTO project (number, auto_rollback, streak, disabled_until) VALUES (1, ?1, '', 0) "
                 "ON CONFLICT (number) DO NOTHING",
                 {int64_t{switched_on_}})
            .status());
  }
  std::string streak;
  RETURN_IF_ERROR(
      tx_.sql.Query(absl::StrCat("SELECT auto_rollback, streak, disabled_until FROM project WHERE number = 1",
                                 lock ? tx_.sql.ForUpdate() : ""),
                    {}, [&](const SqlRow& row) {
                      guard.switched_on = row.Int(0) != 0;
                      streak = row.Text(1);
                      guard.disabled_until = row.Int(2);
                    }));
  ASSIGN_OR_RETURN(guard.streak, ReadStreak(streak));
  return guard;
}

absl::Status StormGuardTable::Save(const StormGuard& before, const StormGuard& after) {
  if (before == after) return absl::OkStatus();
  return tx_.sql
      .Run("UPDATE project SET auto_rollback = ?1, streak = ?2, disabled_until = ?3 WHERE number = 1",
           {int64_t{after.switched_on}, StreakText(after.streak), after.disabled_until})
      .status();
}

}  // namespace tandem::fleet
