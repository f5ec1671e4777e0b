#include "fleet/store/sqlite_database.h"

#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "common/storage/folder_lock.h"
#include "common/storage/sqlite.h"

namespace tandem::fleet {
namespace {

class SqliteRow : public SqlRow {
 public:
  explicit SqliteRow(const Row& row) : row_(row) {}
  int64_t Int(int column) const override { return row_.Int(column); }
  std::string Text(int column) const override { return row_.Text(column); }
  std::string Bytes(int column) const override { return row_.Text(column); }

 private:
  const Row& row_;
};

class SqliteConnection : public SqlConnection {
 public:
  explicit SqliteConnection(std::unique_ptr<Database> db) : db_(std::move(db)) {}

  absl::Status Begin(bool write) override { return db_->Run(write ? "BEGIN IMMEDIATE" : "BEGIN"); }
  absl::Status Commit() override { return db_->Run("COMMIT"); }
  void Rollback() override { db_->Run("ROLLBACK").IgnoreError(); }

  absl::Status Query(const std::string& sql, std::span<const SqlValue> values,
                     const std::function<void(const SqlRow&)>& row) override {
    return db_->Query(sql, values, [&](const Row& found) { row(SqliteRow(found)); });
  }
  absl::StatusOr<int64_t> Run(const std::string& sql, std::span<const SqlValue> values) override {
    RETURN_IF_ERROR(db_->Query(sql, values, [](const Row&) {}));
    return db_->changes();
  }
  absl::Status Execute(const std::string& sql) override { return db_->Execute(sql); }

  // BEGIN IMMEDIATE lets one writer in at a time.
  std::string ForUpdate() const override { return ""; }
  std::string ForUpdateSkipLocked() const override { return ""; }

 private:
  std::unique_ptr<Database> db_;
};

// One process has the folder, so names need to be unique within it only.
class Names {
 public:
  bool Add(const std::string& name) {
    std::lock_guard lock(mutex_);
    return held_.insert(name).second;
  }
  void Remove(const std::string& name) {
    std::lock_guard lock(mutex_);
    held_.erase(name);
  }

 private:
  std::mutex mutex_;
  std::set<std::string> held_;
};

class NameLock : public SqlDatabase::Lock {
 public:
  NameLock(std::shared_ptr<Names> names, std::string name) : names_(std::move(names)), name_(std::move(name)) {}
  ~NameLock() override { names_->Remove(name_); }
  bool held() override { return true; }

 private:
  const std::shared_ptr<Names> names_;
  const std::string name_;
};

class SqliteDatabase : public SqlDatabase {
 public:
  SqliteDatabase(std::string path, FolderLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}

  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect() override {
    ASSIGN_OR_RETURN(std::unique_ptr<Database> db, checked_ ? Database::OpenUnchecked(path_) : Database::Open(path_));
    checked_ = true;
    // 32 MiB of pages per connection; the operating system caches the rest.
    RETURN_IF_ERROR(db->Execute("PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 4000;"));
    return std::make_unique<SqliteConnection>(std::move(db));
  }
  absl::StatusOr<std::unique_ptr<Lock>> TryLock(const std::string& name) override {
    if (!names_->Add(name)) return nullptr;
    return std::make_unique<NameLock>(names_, name);
  }
  int writers() const override { return 1; }
  std::string about() const override { return absl::StrCat("SQLite ", path_); }
  std::string number_key_type() const override { return "INTEGER PRIMARY KEY AUTOINCREMENT"; }
  std::string bytes_type() const override { return "BLOB"; }
  std::string ordered_text_type() const override { return "TEXT"; }

 private:
  const std::string path_;
  const FolderLock lock_;
  const std::shared_ptr<Names> names_ = std::make_shared<Names>();
  bool checked_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenSqlite(const std::string& folder) {
  ASSIGN_OR_RETURN(FolderLock lock, FolderLock::Take(folder));
  return std::make_unique<SqliteDatabase>(JoinPath(folder, "fleet.db"), std::move(lock));
}

}  // namespace tandem::fleet
