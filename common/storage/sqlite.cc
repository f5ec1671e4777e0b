#include "common/storage/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem {
namespace {

// More different statements than a program has; beyond it nothing is kept.
constexpr size_t kMaxPrepared = 512;

absl::StatusCode CodeOf(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kUnavailable;
    case SQLITE_PERM:
    case SQLITE_READONLY:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

// `values` outlive the statement's run.
void Bind(sqlite3_stmt* statement, std::span<const SqlValue> values) {
  int index = 1;
  for (const SqlValue& value : values) {
    if (const auto* number = std::get_if<int64_t>(&value)) {
      sqlite3_bind_int64(statement, index, *number);
    } else if (const auto* blob = std::get_if<SqlBytes>(&value)) {
      sqlite3_bind_blob(statement, index, blob->bytes.data(), static_cast<int>(blob->bytes.size()), SQLITE_STATIC);
    } else {
      const auto& text = std::get<std::string>(value);
      sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    }
    ++index;
  }
}

}  // namespace

int64_t Row::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Row::Text(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return bytes == nullptr ? std::string() : std::string(bytes, sqlite3_column_bytes(statement_, column));
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenUnchecked(const std::string& path) {
  // SQLite would make it readable for all; its other files get the same mode. What cannot be made it reports itself.
  if (!path.empty() && path[0] != ':') FileSystem::Real().Open(path, FileSystem::OpenMode::kCreate).IgnoreError();
  sqlite3* handle = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  auto db = std::unique_ptr<Database>(new Database(handle, path));
  if (opened != SQLITE_OK) return db->Error("open");
  sqlite3_busy_timeout(handle, 5000);
  RETURN_IF_ERROR(db->Execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"));
  return db;
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> db, OpenUnchecked(path));
  std::string check;
  RETURN_IF_ERROR(db->Query("PRAGMA quick_check(1)", {}, [&](const Row& row) { check = row.Text(0); }));
  if (check != "ok") return absl::DataLossError(absl::StrCat("database ", path, ": ", check));
  return db;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenOrReplaceDamaged(const std::string& path) {
  absl::StatusOr<std::unique_ptr<Database>> db = Open(path);
  if (!absl::IsDataLoss(db.status())) return db;
  FileSystem& fs = FileSystem::Real();
  const std::string aside = path + ".corrupt";
  LogError("database damaged; kept aside, a fresh one is made",
           {{"path", path}, {"aside", aside}, {"error", ToPersonText(db.status())}});
  RETURN_IF_ERROR(fs.Rename(path, aside));
  RETURN_IF_ERROR(fs.Remove(path + "-wal"));
  RETURN_IF_ERROR(fs.Remove(path + "-shm"));
  RETURN_IF_ERROR(fs.SyncFolder(ParentFolder(path)));
  return Open(path);
}

Database::~Database() {
  for (const auto& [sql, statement] : prepared_) sqlite3_finalize(statement);
  sqlite3_close_v2(db_);
}

absl::Status Database::Error(const std::string& what) const {
  return {CodeOf(sqlite3_extended_errcode(db_)),
          absl::StrCat("database ", path_, ": ", what, ": ", sqlite3_errmsg(db_))};
}

absl::Status Database::Execute(const std::string& sql) {
  if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return Error(sql);
}

absl::Status Database::Run(const std::string& sql, std::initializer_list<SqlValue> values) {
  return Query(sql, values, [](const Row&) {});
}

absl::Status Database::Query(const std::string& sql, std::span<const SqlValue> values,
                             const std::function<void(const Row&)>& row) {
  sqlite3_stmt* statement = nullptr;
  // Taken out while it runs: a row's callback may run the same text.
  if (const auto found = prepared_.find(sql); found != prepared_.end()) {
    statement = found->second;
    prepared_.erase(found);
  } else if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
    return Error(sql);
  }
  Bind(statement, values);
  int stepped = sqlite3_step(statement);
  for (; stepped == SQLITE_ROW; stepped = sqlite3_step(statement)) row(Row(statement));
  absl::Status status = stepped == SQLITE_DONE ? absl::OkStatus() : Error(sql);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  if (prepared_.size() >= kMaxPrepared || !prepared_.emplace(sql, statement).second) sqlite3_finalize(statement);
  return status;
}

int64_t Database::changes() const { return sqlite3_changes64(db_); }

}  // namespace tandem
