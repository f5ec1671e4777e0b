// One connection to a database that speaks SQL: SQLite (sqlite_connection.h), PostgreSQL (postgres_connection.h), and a
// decorator that fails on purpose (faulty_connection.h). The same statements run on all; they are written once, in the
// tables of this folder, with ?1, ?2, … for parameters.
//
// Types: INTEGER columns are 64 bits; TEXT; BLOB. No NULLs: nothing is 0, "" or no bytes.
#ifndef TANDEM_FLEET_STORE_SQL_CONNECTION_H_
#define TANDEM_FLEET_STORE_SQL_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/sqlite.h"

namespace tandem::fleet {

// One result row; valid during the callback.
class SqlRow {
 public:
  virtual ~SqlRow() = default;
  virtual int64_t Int(int column) const = 0;
  virtual std::string Text(int column) const = 0;
  virtual std::string Bytes(int column) const = 0;
};

// Not thread-safe: one user at a time. Errors carry the database's words. UNAVAILABLE: no connection just now.
// CANCELLED: another transaction came in between; the whole transaction may be tried again. RESOURCE_EXHAUSTED: disk
// full. DATA_LOSS: damaged. ALREADY_EXISTS: a unique key.
class SqlConnection {
 public:
  virtual ~SqlConnection() = default;

  // Snapshot reads (write = false), or one that may write.
  virtual absl::Status Begin(bool write) = 0;
  virtual absl::Status Commit() = 0;
  // Also after an error, and when nothing was begun.
  virtual void Rollback() = 0;

  // Within a transaction. `sql` must be one of a bounded set of texts: it is prepared once.
  virtual absl::Status Query(const std::string& sql, std::span<const SqlValue> values,
                             const std::function<void(const SqlRow&)>& row) = 0;
  // Returns how many rows were changed.
  virtual absl::StatusOr<int64_t> Run(const std::string& sql, std::span<const SqlValue> values) = 0;
  // Several statements without parameters: migrations.
  virtual absl::Status Execute(const std::string& sql) = 0;

  // What a SELECT ends with to lock its rows until the end of the transaction; empty where transactions that write run
  // one at a time anyway.
  virtual std::string ForUpdate() const = 0;
  // The same, without waiting for rows that somebody else has locked: they are left out.
  virtual std::string ForUpdateSkipLocked() const = 0;

  absl::Status Query(const std::string& sql, std::initializer_list<SqlValue> values,
                     const std::function<void(const SqlRow&)>& row) {
    return Query(sql, std::span<const SqlValue>(values.begin(), values.size()), row);
  }
  absl::StatusOr<int64_t> Run(const std::string& sql, std::initializer_list<SqlValue> values) {
    return Run(sql, std::span<const SqlValue>(values.begin(), values.size()));
  }
};

// Makes connections to one database; thread-safe.
class SqlDatabase {
 public:
  virtual ~SqlDatabase() = default;
  virtual absl::StatusOr<std::unique_ptr<SqlConnection>> Connect() = 0;
  // Held until it is destroyed, or its owner dies. Null: somebody else has it.
  class Lock {
   public:
    virtual ~Lock() = default;
    // False: it was lost, with the connection that it hung on.
    virtual bool held() = 0;
  };
  virtual absl::StatusOr<std::unique_ptr<Lock>> TryLock(const std::string& name) = 0;
  // Connections that may write at the same time.
  virtual int writers() const = 0;
  // "SQLite /var/lib/tandem/fleet.db": for people.
  virtual std::string about() const = 0;
  // Words of the schema that differ: the type of a number that counts itself up, of bytes, and of a text that is
  // ordered byte by byte.
  virtual std::string number_key_type() const = 0;
  virtual std::string bytes_type() const = 0;
  virtual std::string ordered_text_type() const = 0;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_SQL_CONNECTION_H_
