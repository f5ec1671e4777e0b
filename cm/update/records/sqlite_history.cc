#include "cm/update/records/sqlite_history.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {

using local::v1::UpdateDetail;
using local::v1::UpdateSummary;

absl::StatusOr<std::unique_ptr<SqliteHistory>> SqliteHistory::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> db, Database::OpenOrReplaceDamaged(path));
  // The summary is a protobuf message: a newer version only adds fields.
  RETURN_IF_ERROR(db->Execute(R"(
    CREATE TABLE IF NOT EXISTS updates (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, summary BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL,
                                       phase TEXT NOT NULL, text TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS events_by_update ON events (id);)"));
  return std::unique_ptr<SqliteHistory>(new SqliteHistory(std::move(db)));
}

void SqliteHistory::Record(const UpdateSummary& summary) {
  absl::Status status = db_->Run(
      "INSERT INTO updates (id, summary) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET summary = excluded.summary",
      {summary.update_id(), summary.SerializeAsString()});
  if (status.ok()) {
    status = db_->Run(
        "DELETE FROM events WHERE id IN (SELECT id FROM updates WHERE number <= (SELECT MAX(number) FROM updates) - ?)",
        {int64_t{kHistoryLimit}});
  }
  if (status.ok()) {
    status =
        db_->Run("DELETE FROM updates WHERE number <= (SELECT MAX(number) FROM updates) - ?", {int64_t{kHistoryLimit}});
  }
  if (!status.ok()) LogError("history not written", {{"update", summary.update_id()}, {"error", ToPersonText(status)}});
}

void SqliteHistory::AddEvent(const std::string& update_id, absl::Time at, const std::string& phase,
                             const std::string& text) {
  const absl::Status status = db_->Run("INSERT INTO events (id, at, phase, text) VALUES (?, ?, ?, ?)",
                                       {update_id, absl::ToUnixMillis(at), phase, text});
  if (!status.ok()) LogError("history not written", {{"update", update_id}, {"error", ToPersonText(status)}});
}

absl::StatusOr<std::vector<UpdateSummary>> SqliteHistory::List(uint32_t limit) {
  std::vector<UpdateSummary> updates;
  RETURN_IF_ERROR(
      db_->Query("SELECT summary FROM updates ORDER BY number DESC LIMIT ?", {int64_t{limit}}, [&](const Row& row) {
        UpdateSummary summary;
        if (summary.ParseFromString(row.Text(0))) updates.push_back(std::move(summary));
      }));
  return updates;
}

absl::StatusOr<UpdateDetail> SqliteHistory::Get(const std::string& prefix) {
  std::vector<UpdateSummary> found;
  // substr, not LIKE: an id may hold any character.
  RETURN_IF_ERROR(db_->Query(
      "SELECT summary FROM updates WHERE id = ?1 OR substr(id, 1, length(?1)) = ?1 ORDER BY id = ?1 DESC, number DESC "
      "LIMIT 2",
      {prefix}, [&](const Row& row) {
        UpdateSummary summary;
        if (summary.ParseFromString(row.Text(0))) found.push_back(std::move(summary));
      }));
  if (found.empty()) {
    return absl::NotFoundError(prefix.empty() ? "no update has run on this unit yet"
                                              : absl::StrCat("no update's id begins with \"", prefix, "\""));
  }
  if (found.size() > 1 && !prefix.empty() && found[0].update_id() != prefix) {
    return absl::InvalidArgumentError(absl::StrCat("several updates begin with \"", prefix, "\", such as ",
                                                   found[0].update_id(), " and ", found[1].update_id()));
  }
  UpdateDetail detail;
  *detail.mutable_summary() = found[0];
  RETURN_IF_ERROR(db_->Query("SELECT at, phase, text FROM events WHERE id = ? ORDER BY number", {found[0].update_id()},
                             [&](const Row& row) {
                               local::v1::UpdateEvent& event = *detail.add_events();
                               event.mutable_at()->set_seconds(row.Int(0) / 1000);
                               event.mutable_at()->set_nanos(static_cast<int32_t>(row.Int(0) % 1000 * 1'000'000));
                               event.set_phase(row.Text(1));
                               event.set_text(row.Text(2));
                             }));
  return detail;
}

}  // namespace tandem::cm
