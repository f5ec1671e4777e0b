#include "cm/cloud/sqlite_outbox.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

// Columns are only ever added: the software of the other slot reads this database, too.
constexpr char kSchema[] = R"(
  CREATE TABLE IF NOT EXISTS message (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    msg_id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    topic TEXT NOT NULL,
    json TEXT NOT NULL,
    droppable INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
)";

// NULL in rows that the other slot's software added.
constexpr char kAddOnceKey[] = "ALTER TABLE message ADD COLUMN once_key TEXT";

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteOutbox>> SqliteOutbox::Open(const std::string& path, OutboxOptions options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> db, Annotate(Database::OpenOrReplaceDamaged(path), "outbox"));
  std::unique_ptr<SqliteOutbox> outbox(new SqliteOutbox(std::move(db), options));
  RETURN_IF_ERROR(Annotate(outbox->Load(), "outbox"));
  return outbox;
}

absl::Status SqliteOutbox::Load() {
  RETURN_IF_ERROR(db_->Execute(kSchema));
  bool has_once_key = false;
  RETURN_IF_ERROR(db_->Query("SELECT 1 FROM pragma_table_info('message') WHERE name = 'once_key'", {},
                             [&](const Row&) { has_once_key = true; }));
  if (!has_once_key) RETURN_IF_ERROR(db_->Execute(kAddOnceKey));
  RETURN_IF_ERROR(db_->Query("SELECT row, epoch FROM message ORDER BY row", {}, [&](const Row& row) {
    schedule_.Add(row.Int(0));
    newest_epoch_ = std::max(newest_epoch_, static_cast<uint64_t>(row.Int(1)));
  }));
  return db_->Query("SELECT value FROM counter WHERE name = 'dropped'", {},
                    [&](const Row& row) { dropped_ = static_cast<uint64_t>(row.Int(0)); });
}

absl::Status SqliteOutbox::Add(const OutboxMessage& message) {
  int64_t added = 0;
  std::vector<int64_t> dropped_rows;
  Transaction transaction(*db_);
  RETURN_IF_ERROR(Annotate(transaction.status(), "outbox"));
  bool waits = false;
  RETURN_IF_ERROR(db_->Query("SELECT 1 FROM message WHERE once_key = ? AND once_key != ''", {message.once_key},
                             [&](const Row&) { waits = true; }));
  if (waits) return absl::OkStatus();
  RETURN_IF_ERROR(
      db_->Query("INSERT INTO message (epoch, seq, msg_id, type, topic, json, droppable, once_key) "
                 "VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING row",
                 {static_cast<int64_t>(message.epoch), static_cast<int64_t>(message.seq), message.msg_id, message.type,
                  message.topic, message.json, static_cast<int64_t>(message.droppable), message.once_key},
                 [&](const Row& row) { added = row.Int(0); }));
  RETURN_IF_ERROR(DropOverLimit(dropped_rows));
  RETURN_IF_ERROR(Annotate(transaction.Commit(), "outbox"));

  schedule_.Add(added);
  newest_epoch_ = std::max(newest_epoch_, message.epoch);
  for (const int64_t dropped : dropped_rows) schedule_.Remove(dropped);
  if (!dropped_rows.empty()) {
    dropped_ += dropped_rows.size();
    LogWarning("outbox full, oldest feedback dropped", {{"dropped", absl::StrCat(dropped_)}});
  }
  return absl::OkStatus();
}

absl::Status SqliteOutbox::DropOverLimit(std::vector<int64_t>& dropped_rows) {
  const uint64_t count = schedule_.size() + 1;
  if (count <= options_.limit) return absl::OkStatus();
  RETURN_IF_ERROR(db_->Query(
      "DELETE FROM message WHERE row IN (SELECT row FROM message WHERE droppable = 1 ORDER BY row LIMIT ?) "
      "RETURNING row",
      {static_cast<int64_t>(count - options_.limit)}, [&](const Row& row) { dropped_rows.push_back(row.Int(0)); }));
  return db_->Run("INSERT INTO counter VALUES ('dropped', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                  {static_cast<int64_t>(dropped_ + dropped_rows.size())});
}

absl::StatusOr<std::vector<OutboxMessage>> SqliteOutbox::TakeDue(absl::Duration now, int limit) {
  std::vector<OutboxMessage> due;
  for (const int64_t id : schedule_.TakeDue(now, limit)) {
    RETURN_IF_ERROR(db_->Query("SELECT epoch, seq, msg_id, type, topic, json, droppable FROM message WHERE row = ?",
                               {id}, [&](const Row& row) {
                                 due.push_back({.epoch = static_cast<uint64_t>(row.Int(0)),
                                                .seq = static_cast<uint64_t>(row.Int(1)),
                                                .msg_id = row.Text(2),
                                                .type = row.Text(3),
                                                .topic = row.Text(4),
                                                .json = row.Text(5),
                                                .droppable = row.Int(6) != 0});
                               }));
  }
  return due;
}

absl::Status SqliteOutbox::Acknowledge(const std::vector<std::string>& msg_ids) {
  std::vector<int64_t> removed;
  Transaction transaction(*db_);
  RETURN_IF_ERROR(Annotate(transaction.status(), "outbox"));
  for (const std::string& msg_id : msg_ids) {
    RETURN_IF_ERROR(db_->Query("DELETE FROM message WHERE msg_id = ? RETURNING row", {msg_id},
                               [&](const Row& row) { removed.push_back(row.Int(0)); }));
  }
  RETURN_IF_ERROR(Annotate(transaction.Commit(), "outbox"));
  for (const int64_t row : removed) schedule_.Remove(row);
  return absl::OkStatus();
}

}  // namespace tandem::cm
