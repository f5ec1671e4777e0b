#include "fleet/store/postgres_database.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <pqxx/pqxx>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

// Transactions at a time, per controller.
constexpr int kWriters = 4;

absl::Status ToStatus(const std::exception& error, const std::string& what) {
  const std::string text = absl::StrCat("PostgreSQL: ", what, ": ", error.what());
  if (dynamic_cast<const pqxx::broken_connection*>(&error) != nullptr) return absl::UnavailableError(text);
  if (dynamic_cast<const pqxx::in_doubt_error*>(&error) != nullptr) return absl::UnavailableError(text);
  if (dynamic_cast<const pqxx::transaction_rollback*>(&error) != nullptr) return absl::CancelledError(text);
  if (dynamic_cast<const pqxx::unique_violation*>(&error) != nullptr) return absl::AlreadyExistsError(text);
  if (const auto* sql = dynamic_cast<const pqxx::sql_error*>(&error); sql != nullptr) {
    const std::string& state = sql->sqlstate();
    if (state == "40001" || state == "40P01") return absl::CancelledError(text);
    // Disk full; out of memory; too many connections.
    if (absl::StartsWith(state, "53")) return absl::ResourceExhaustedError(text);
    // The server ends, or ended the session: 57P01 to 57P03; connection exceptions.
    if (absl::StartsWith(state, "57P") || absl::StartsWith(state, "08")) return absl::UnavailableError(text);
  }
  return absl::InternalError(text);
}

// "?1" is "$1" here.
std::string Dialect(const std::string& sql) { return absl::StrReplaceAll(sql, {{"?", "$"}}); }

// Everything travels as text.
std::string ToText(const SqlValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return absl::StrCat(*number);
  if (const auto* blob = std::get_if<SqlBytes>(&value)) return absl::StrCat("\\x", absl::BytesToHexString(blob->bytes));
  // A text of PostgreSQL cannot hold it.
  return absl::StrReplaceAll(std::get<std::string>(value), {{absl::string_view("\0", 1), "\xEF\xBF\xBD"}});
}

class PostgresRow : public SqlRow {
 public:
  explicit PostgresRow(const pqxx::row& row) : row_(row) {}
  int64_t Int(int column) const override {
    const pqxx::field field = row_[column];
    return field.is_null() ? 0 : field.as<int64_t>();
  }
  std::string Text(int column) const override { return row_[column].c_str(); }
  std::string Bytes(int column) const override {
    const std::string text = row_[column].c_str();
    return absl::StartsWith(text, "\\x") ? absl::HexStringToBytes(text.substr(2)) : text;
  }

 private:
  const pqxx::row& row_;
};

class PostgresConnection : public SqlConnection {
 public:
  explicit PostgresConnection(std::string url) : url_(std::move(url)) {}

  absl::Status Begin(bool write) override {
    try {
      if (connection_ == nullptr || !connection_->is_open()) {
        prepared_.clear();
        connection_ = std::make_unique<pqxx::connection>(url_);
        connection_->set_client_encoding("UTF8");
      }
      if (write) {
        transaction_ = std::make_unique<pqxx::work>(*connection_);
      } else {
        transaction_ = std::make_unique<pqxx::transaction<pqxx::repeatable_read, pqxx::read_only>>(*connection_);
      }
      return absl::OkStatus();
    } catch (const std::exception& error) {
      Rollback();
      connection_ = nullptr;
      // Whatever it is, it may work later; a wrong URL was found at the start.
      return absl::UnavailableError(absl::StrCat("PostgreSQL: connect: ", error.what()));
    }
  }
  absl::Status Commit() override {
    return Guard("commit", [&] {
      transaction_->commit();
      transaction_ = nullptr;
      return absl::OkStatus();
    });
  }
  void Rollback() override {
    try {
      transaction_ = nullptr;
    } catch (const std::exception&) {
      // Its connection is gone, and the server has rolled back.
    }
  }

  absl::Status Query(const std::string& sql, std::span<const SqlValue> values,
                     const std::function<void(const SqlRow&)>& row) override {
    return Guard(sql, [&] {
      for (const pqxx::row& found : Exec(sql, values)) row(PostgresRow(found));
      return absl::OkStatus();
    });
  }
  absl::StatusOr<int64_t> Run(const std::string& sql, std::span<const SqlValue> values) override {
    int64_t changed = 0;
    RETURN_IF_ERROR(Guard(sql, [&] {
      changed = static_cast<int64_t>(Exec(sql, values).affected_rows());
      return absl::OkStatus();
    }));
    return changed;
  }
  absl::Status Execute(const std::string& sql) override {
    return Guard(sql, [&] {
      transaction_->exec(sql);
      return absl::OkStatus();
    });
  }

  std::string ForUpdate() const override { return " FOR UPDATE"; }
  std::string ForUpdateSkipLocked() const override { return " FOR UPDATE SKIP LOCKED"; }

 private:
  template <typename F>
  absl::Status Guard(const std::string& what, F f) {
    if (transaction_ == nullptr) return absl::FailedPreconditionError("PostgreSQL: no transaction");
    try {
      return f();
    } catch (const std::exception& error) {
      absl::Status status = ToStatus(error, what);
      if (absl::IsUnavailable(status)) {
        Rollback();
        connection_ = nullptr;
      }
      return status;
    }
  }
  pqxx::result Exec(const std::string& sql, std::span<const SqlValue> values) {
    auto [found, fresh] = prepared_.try_emplace(sql);
    if (fresh) {
      found->second = absl::StrCat("s", prepared_.size());
      try {
        connection_->prepare(found->second, Dialect(sql));
      } catch (...) {
        prepared_.erase(found);
        throw;
      }
    }
    std::vector<std::string> texts;
    texts.reserve(values.size());
    std::ranges::transform(values, std::back_inserter(texts), ToText);
    return transaction_->exec_prepared(found->second, pqxx::prepare::make_dynamic_params(texts));
  }

  const std::string url_;
  std::unique_ptr<pqxx::connection> connection_;
  std::unique_ptr<pqxx::transaction_base> transaction_;
  // SQL text to the name of its prepared statement.
  std::unordered_map<std::string, std::string> prepared_;
};

// All named locks of this controller: advisory locks of one session, which end with it.
class LockSession {
 public:
  explicit LockSession(std::string url) : url_(std::move(url)) {}

  // The generation of the session that has it now; nullopt: another session, or another user in this process, has it.
  absl::StatusOr<std::optional<uint64_t>> Take(const std::string& name) {
    std::lock_guard lock(mutex_);
    // A session gets its own lock twice.
    if (held_.contains(name)) return std::nullopt;
    try {
      if (connection_ == nullptr || !connection_->is_open()) {
        held_.clear();
        ++generation_;
        connection_ = std::make_unique<pqxx::connection>(url_);
      }
      if (!Ask("SELECT pg_try_advisory_lock", name)) return std::nullopt;
      held_.insert(name);
      return generation_;
    } catch (const std::exception& error) {
      connection_ = nullptr;
      held_.clear();
      ++generation_;
      return absl::UnavailableError(absl::StrCat("PostgreSQL: lock ", name, ": ", error.what()));
    }
  }
  void Release(const std::string& name, uint64_t generation) {
    std::lock_guard lock(mutex_);
    if (generation != generation_ || held_.erase(name) == 0) return;
    try {
      Ask("SELECT pg_advisory_unlock", name);
    } catch (const std::exception&) {
      // Its session is gone, and the lock with it.
      connection_ = nullptr;
      held_.clear();
      ++generation_;
    }
  }
  bool Held(uint64_t generation) {
    std::lock_guard lock(mutex_);
    return generation == generation_;
  }

 private:
  // The lock is a number; a collision would make one of two wait for the other, no more.
  bool Ask(const std::string& function, const std::string& name) {
    const uint64_t number = std::stoull(HexEncode(Sha256(absl::StrCat("tandem ", name))).substr(0, 15), nullptr, 16);
    pqxx::nontransaction query(*connection_);
    return query.exec1(absl::StrCat(function, "(", number, ")"))[0].as<bool>();
  }

  const std::string url_;
  std::mutex mutex_;
  std::unique_ptr<pqxx::connection> connection_;
  std::set<std::string> held_;
  // Rises when a session, and all its locks, is lost.
  uint64_t generation_ = 0;
};

class AdvisoryLock : public SqlDatabase::Lock {
 public:
  AdvisoryLock(std::shared_ptr<LockSession> session, std::string name, uint64_t generation)
      : session_(std::move(session)), name_(std::move(name)), generation_(generation) {}
  ~AdvisoryLock() override { session_->Release(name_, generation_); }
  bool held() override { return session_->Held(generation_); }

 private:
  const std::shared_ptr<LockSession> session_;
  const std::string name_;
  const uint64_t generation_;
};

class PostgresDatabase : public SqlDatabase {
 public:
  PostgresDatabase(std::string url, std::string about)
      : url_(std::move(url)), about_(std::move(about)), locks_(std::make_shared<LockSession>(url_)) {}

  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect() override {
    return std::make_unique<PostgresConnection>(url_);
  }
  absl::StatusOr<std::unique_ptr<Lock>> TryLock(const std::string& name) override {
    ASSIGN_OR_RETURN(const std::optional<uint64_t> generation, locks_->Take(name));
    if (!generation.has_value()) return nullptr;
    return std::make_unique<AdvisoryLock>(locks_, name, *generation);
  }
  int writers() const override { return kWriters; }
  std::string about() const override { return about_; }
  std::string number_key_type() const override { return "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"; }
  std::string bytes_type() const override { return "BYTEA"; }
  std::string ordered_text_type() const override { return "TEXT COLLATE \"C\""; }

 private:
  const std::string url_;
  const std::string about_;
  const std::shared_ptr<LockSession> locks_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenPostgres(const std::string& url) {
  try {
    pqxx::connection probe(url);
    const std::string about = absl::StrCat("PostgreSQL ", probe.dbname(), " at ",
                                           probe.hostname() == nullptr ? "the local socket" : probe.hostname());
    return std::make_unique<PostgresDatabase>(url, about);
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("PostgreSQL: ", error.what()));
  }
}

}  // namespace tandem::fleet
