// A thin wrapper over SQLite with the settings that Tandem's databases need: WAL, synchronous=FULL.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<Database> db, Database::Open("/var/lib/tandem/cm/outbox.db"));
//   RETURN_IF_ERROR(db->Execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, name TEXT)"));
//   RETURN_IF_ERROR(db->Run("INSERT INTO t (name) VALUES (?)", {name}));
//   RETURN_IF_ERROR(db->Query("SELECT id, name FROM t WHERE id > ?", {7}, [&](const Row& row) { ... }));
#ifndef TANDEM_COMMON_STORAGE_SQLITE_H_
#define TANDEM_COMMON_STORAGE_SQLITE_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace tandem {

// Bytes that are no text.
struct SqlBytes {
  std::string bytes;
};

using SqlValue = std::variant<int64_t, std::string, SqlBytes>;

// One result row; valid during the callback.
class Row {
 public:
  explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
  int64_t Int(int column) const;
  // Text or blob.
  std::string Text(int column) const;

 private:
  sqlite3_stmt* statement_;
};

// Not thread-safe: one owner.
class Database {
 public:
  // Opens or makes the file. DATA_LOSS when it is not a sound database (checked at once).
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);

  // As Open() of a file that this process has opened, and so checked, before: the check reads all of it.
  static absl::StatusOr<std::unique_ptr<Database>> OpenUnchecked(const std::string& path);

  // As Open(), but a damaged file is moved aside to `path`.corrupt, logged, and a fresh one is made.
  static absl::StatusOr<std::unique_ptr<Database>> OpenOrReplaceDamaged(const std::string& path);

  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // One or several statements without parameters.
  absl::Status Execute(const std::string& sql);
  // One statement with ? parameters. Errors carry the database's words: RESOURCE_EXHAUSTED: disk full; DATA_LOSS:
  // damaged.
  absl::Status Run(const std::string& sql, std::initializer_list<SqlValue> values = {});
  absl::Status Query(const std::string& sql, std::initializer_list<SqlValue> values,
                     const std::function<void(const Row&)>& row) {
    return Query(sql, std::span<const SqlValue>(values.begin(), values.size()), row);
  }
  absl::Status Query(const std::string& sql, std::span<const SqlValue> values,
                     const std::function<void(const Row&)>& row);
  // Rows that the last Run() changed.
  int64_t changes() const;

 private:
  explicit Database(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  absl::Status Error(const std::string& what) const;

  sqlite3* db_;
  const std::string path_;
  // Prepared statements that are not running just now.
  std::unordered_map<std::string, sqlite3_stmt*> prepared_;
};

// BEGIN IMMEDIATE at once, ROLLBACK at the end unless Commit() was called.
class Transaction {
 public:
  explicit Transaction(Database& db) : db_(db), status_(db.Execute("BEGIN IMMEDIATE")) {}
  ~Transaction() {
    if (status_.ok() && !committed_) db_.Execute("ROLLBACK").IgnoreError();
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  const absl::Status& status() const { return status_; }
  absl::Status Commit() {
    absl::Status status = db_.Execute("COMMIT");
    committed_ = status.ok();
    return status;
  }

 private:
  Database& db_;
  absl::Status status_;
  bool committed_ = false;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_STORAGE_SQLITE_H_
