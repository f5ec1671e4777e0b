// Counters: read, and rebuilt from the rows.
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

absl::Status CountUnits(StoreTransaction& tx) {
  RETURN_IF_ERROR(tx.sql.Query(
      "SELECT COUNT(*), COALESCE(SUM(online), 0), COALESCE(SUM(stale), 0), COALESCE(SUM(revoked), 0), "
      "COALESCE(SUM(CASE WHEN storm = '' THEN 0 ELSE 1 END), 0), COALESCE(SUM(CASE WHEN held = '' THEN 0 ELSE 1 END), "
      "0) FROM units",
      {}, [&](const SqlRow& row) {
        tx.Count("units", row.Int(0));
        tx.Count("online", row.Int(1));
        tx.Count("stale", row.Int(2));
        tx.Count("revoked", row.Int(3));
        tx.Count("storm", row.Int(4));
        tx.Count("held", row.Int(5));
      }));
  for (const std::string_view plane : kPlaneNames) {
    const std::string column = absl::StrCat("run_", std::string(plane));
    RETURN_IF_ERROR(tx.sql.Query(
        absl::StrCat("SELECT ", column, ", COUNT(*) FROM units GROUP BY ", column), {},
        [&](const SqlRow& row) { tx.Count(absl::StrCat("run/", std::string(plane), "/", row.Int(0)), row.Int(1)); }));
  }
  return absl::OkStatus();
}

absl::Status CountAttempts(StoreTransaction& tx) {
  RETURN_IF_ERROR(
      tx.sql.Query("SELECT rollout, ring, kind, state, COUNT(*) FROM attempts GROUP BY rollout, ring, kind, state", {},
                   [&](const SqlRow& row) {
                     const auto kind = static_cast<AttemptKind>(row.Int(2));
                     const std::string state(Name(static_cast<AttemptState>(row.Int(3))));
                     const std::string prefix = RingCounterPrefix(row.Int(0), row.Int(1));
                     const std::string name =
                         kind == AttemptKind::kForward ? state : absl::StrCat(std::string(Name(kind)), "/", state);
                     tx.Count(prefix + name, row.Int(4));
                   }));
  RETURN_IF_ERROR(
      tx.sql.Query("SELECT rollout, ring, score, control_score, COUNT(*) FROM attempts WHERE kind = 0 AND score > 0 "
                   "GROUP BY rollout, ring, score, control_score",
                   {}, [&](const SqlRow& row) {
                     const std::string prefix = RingCounterPrefix(row.Int(0), row.Int(1));
                     const bool failed = row.Int(2) == static_cast<int64_t>(AttemptScore::kFail);
                     tx.Count(prefix + (failed ? "score/fail" : "score/pass"), row.Int(4));
                     if (row.Int(3) == 0) return;
                     const bool control_failed = row.Int(3) == static_cast<int64_t>(AttemptScore::kFail);
                     tx.Count(absl::StrCat(prefix, "pair/", failed ? 1 : 0, control_failed ? 1 : 0), row.Int(4));
                   }));
  return tx.sql.Query(
      "SELECT rollout, ring, COUNT(*) FROM attempts WHERE control > 0 GROUP BY rollout, ring", {},
      [&](const SqlRow& row) { tx.Count(RingCounterPrefix(row.Int(0), row.Int(1)) + "controls", row.Int(2)); });
}

}  // namespace

absl::Status RebuildCounters(StoreTransaction& tx) {
  RETURN_IF_ERROR(tx.sql.Run("DELETE FROM counters", {}).status());
  RETURN_IF_ERROR(CountUnits(tx));
  return CountAttempts(tx);
}

absl::StatusOr<int64_t> Counter(StoreTransaction& tx, const std::string& name) {
  int64_t value = 0;
  RETURN_IF_ERROR(tx.sql.Query("SELECT value FROM counters WHERE name = ?1", {name},
                               [&](const SqlRow& row) { value = row.Int(0); }));
  return value;
}

absl::StatusOr<std::map<std::string, int64_t>> Counters(StoreTransaction& tx, const std::string& prefix) {
  std::map<std::string, int64_t> values;
  // '~' is above every character of our names.
  RETURN_IF_ERROR(tx.sql.Query("SELECT name, value FROM counters WHERE name >= ?1 AND name < ?2",
                               {prefix, absl::StrCat(prefix, "~")},
                               [&](const SqlRow& row) { values[row.Text(0).substr(prefix.size())] = row.Int(1); }));
  return values;
}

}  // namespace tandem::fleet
