#include "fleet/store/store.h"

#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/backoff.h"
#include "common/status/status.h"
#include "fleet/store/schema.h"

namespace tandem::fleet {
namespace {

constexpr int kReaders = 4;
// With the delays below some seconds: longer than any transaction of ours.
constexpr int kTries = 12;

}  // namespace

absl::Status StoreTransaction::WriteCounts() {
  for (const auto& [name, by] : std::exchange(counts_, {})) {
    if (by == 0) continue;
    RETURN_IF_ERROR(sql.Run("INSERT INTO counters (name, value) VALUES (?1, ?2) "
                            "ON CONFLICT (name) DO UPDATE SET value = counters.value + excluded.value",
                            {name, by})
                        .status());
  }
  return absl::OkStatus();
}

class Store::Pool {
 public:
  Pool(SqlDatabase& database, int size) : database_(database), left_(size) {}

  // Waits for a free one.
  absl::StatusOr<std::unique_ptr<SqlConnection>> Take() {
    std::unique_lock lock(mutex_);
    freed_.wait(lock, [this] { return left_ > 0; });
    --left_;
    if (!free_.empty()) {
      std::unique_ptr<SqlConnection> connection = std::move(free_.back());
      free_.pop_back();
      return connection;
    }
    lock.unlock();
    absl::StatusOr<std::unique_ptr<SqlConnection>> connection = database_.Connect();
    if (!connection.ok()) Return(nullptr);
    return connection;
  }
  void Return(std::unique_ptr<SqlConnection> connection) {
    std::lock_guard lock(mutex_);
    ++left_;
    if (connection != nullptr) free_.push_back(std::move(connection));
    freed_.notify_one();
  }

 private:
  SqlDatabase& database_;
  std::mutex mutex_;
  std::condition_variable freed_;
  int left_;
  std::vector<std::unique_ptr<SqlConnection>> free_;
};

Store::Store(std::unique_ptr<SqlDatabase> database)
    : database_(std::move(database)),
      writers_(std::make_unique<Pool>(*database_, database_->writers())),
      readers_(std::make_unique<Pool>(*database_, kReaders)) {}

Store::~Store() = default;

absl::StatusOr<std::unique_ptr<Store>> Store::Open(std::unique_ptr<SqlDatabase> database) {
  auto store = std::unique_ptr<Store>(new Store(std::move(database)));
  // Two controllers that start together on an empty database: one waits for the other's schema.
  Backoff backoff({.first = absl::Milliseconds(20), .max = absl::Milliseconds(500)});
  absl::Status migrated;
  for (int tries = 0; tries < kTries; ++tries) {
    ASSIGN_OR_RETURN(std::unique_ptr<SqlConnection> connection, store->writers_->Take());
    migrated = Migrate(*store->database_, *connection);
    store->writers_->Return(std::move(connection));
    if (migrated.ok()) return store;
    if (absl::IsDataLoss(migrated) || absl::IsFailedPrecondition(migrated) || absl::IsPermissionDenied(migrated)) break;
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(backoff.Next()));
  }
  return migrated;
}

absl::Status Store::RunOnce(SqlConnection& connection, bool write, const Work& work) {
  absl::Status status = connection.Begin(write);
  if (status.ok()) {
    StoreTransaction tx(connection);
    status = work(tx);
    if (status.ok()) status = tx.WriteCounts();
    if (status.ok()) status = connection.Commit();
    if (status.ok()) tx.Committed();
  }
  if (!status.ok()) connection.Rollback();
  return status;
}

absl::Status Store::Write(std::string_view what, const Work& work) {
  // Made when it is needed: its seed costs more than a small transaction.
  std::optional<Backoff> backoff;
  ASSIGN_OR_RETURN(std::unique_ptr<SqlConnection> connection, writers_->Take());
  absl::Status status;
  for (int tries = 0; tries < kTries; ++tries) {
    status = RunOnce(*connection, /*write=*/true, work);
    if (!absl::IsCancelled(status)) break;
    if (!backoff.has_value()) backoff.emplace(BackoffOptions{.first = absl::Milliseconds(5), .max = absl::Seconds(1)});
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(backoff->Next()));
  }
  writers_->Return(std::move(connection));
  if (status.ok()) {
    std::lock_guard lock(mutex_);
    ++writes_;
    written_.notify_all();
  }
  return Annotate(status, std::string(what));
}

absl::Status Store::Read(std::string_view what, const Work& work) {
  ASSIGN_OR_RETURN(std::unique_ptr<SqlConnection> connection, readers_->Take());
  const absl::Status status = RunOnce(*connection, /*write=*/false, work);
  readers_->Return(std::move(connection));
  return Annotate(status, std::string(what));
}

absl::StatusOr<std::unique_ptr<SqlDatabase::Lock>> Store::TryLock(const std::string& name) {
  return database_->TryLock(name);
}

uint64_t Store::writes() const {
  std::lock_guard lock(mutex_);
  return writes_;
}

void Store::WaitForWrite(uint64_t seen, absl::Duration timeout) const {
  std::unique_lock lock(mutex_);
  written_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [&] { return writes_ > seen; });
}

}  // namespace tandem::fleet
