// What the fleet knows, in a database: transactions with retry, and the tables they work on.
//
//   ASSIGN_OR_RETURN(auto database, OpenSqlite("/var/lib/tandem/fleet"));
//   ASSIGN_OR_RETURN(auto store, Store::Open(std::move(database)));
//   RETURN_IF_ERROR(store->Write("register", [&](StoreTransaction& tx) {
//     return UnitTable(tx).Register(registration, now).status();
//   }));
//
// Controllers keep nothing that is not in here: any number of them may work on one PostgreSQL, and each may die at any
// instant. After OK from Write() everything it did survives a power cut; after an error nothing of it happened.
#ifndef TANDEM_FLEET_STORE_STORE_H_
#define TANDEM_FLEET_STORE_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/store/sql_connection.h"

namespace tandem::fleet {

// One transaction. Not thread-safe; valid during the function it was given to.
class StoreTransaction {
 public:
  explicit StoreTransaction(SqlConnection& connection) : sql(connection) {}

  // A counter changes by so much: kept in memory, and written once, in order, with the commit, so that two transactions
  // never wait for each other's counters crosswise.
  void Count(const std::string& name, int64_t by) {
    if (by != 0) counts_[name] += by;
  }
  absl::Status WriteCounts();

  // Runs `done` once all of this is durable; never, when it fails.
  void AfterCommit(std::function<void()> done) { after_commit_.push_back(std::move(done)); }
  void Committed() {
    for (const auto& done : after_commit_) done();
  }

  SqlConnection& sql;

 private:
  std::vector<std::function<void()>> after_commit_;
  std::map<std::string, int64_t> counts_;
};

// Thread-safe.
class Store {
 public:
  using Work = std::function<absl::Status(StoreTransaction& tx)>;

  // Brings the schema up to date.
  static absl::StatusOr<std::unique_ptr<Store>> Open(std::unique_ptr<SqlDatabase> database);
  ~Store();

  // Runs `work` in a transaction and commits when it returns OK. Runs it again, a bounded number of times, when another
  // transaction came in between: so it must do nothing but work on `tx` and set what it set before. Errors carry
  // `what`.
  absl::Status Write(std::string_view what, const Work& work);
  // A consistent view.
  absl::Status Read(std::string_view what, const Work& work);

  // A name that one controller at a time has, until it lets go or dies. Null: somebody else has it.
  absl::StatusOr<std::unique_ptr<SqlDatabase::Lock>> TryLock(const std::string& name);

  // Writes of this process that were committed; rises.
  uint64_t writes() const;
  // Returns when writes() is above `seen`, or after `timeout`.
  void WaitForWrite(uint64_t seen, absl::Duration timeout) const;

  std::string about() const { return database_->about(); }
  int writers() const { return database_->writers(); }

 private:
  // Connections of one sort, handed out one user at a time.
  class Pool;

  explicit Store(std::unique_ptr<SqlDatabase> database);
  absl::Status RunOnce(SqlConnection& connection, bool write, const Work& work);

  const std::unique_ptr<SqlDatabase> database_;
  const std::unique_ptr<Pool> writers_;
  const std::unique_ptr<Pool> readers_;
  mutable std::mutex mutex_;
  mutable std::condition_variable written_;
  uint64_t writes_ = 0;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_STORE_H_
