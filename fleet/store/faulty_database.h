// A database that fails, or dies, at a chosen write, for tests of what stands above it.
//
//   auto plan = std::make_shared<FaultPlan>();
//   FaultyDatabase database(*OpenSqlite(folder), plan);
//   plan->DieAt(17, FaultPlan::When::kAfterCommit);
#ifndef TANDEM_FLEET_STORE_FAULTY_DATABASE_H_
#define TANDEM_FLEET_STORE_FAULTY_DATABASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "fleet/store/sql_connection.h"

namespace tandem::fleet {

// What goes wrong. One thread.
class FaultPlan {
 public:
  enum class When {
    // In the middle of the transaction that would be number n: nothing of it is there.
    kBeforeCommit,
    // All of it is there, and nobody heard.
    kAfterCommit,
  };

  // From the n-th transaction that writes on (1 is the next one), everything fails, until Revive().
  void DieAt(int64_t n, When when) {
    die_at_ = writes_ + n;
    when_ = when;
  }
  void Revive() {
    die_at_ = 0;
    dead_ = false;
  }
  bool dead() const { return dead_; }
  int64_t writes() const { return writes_; }

  absl::Status BeforeCommit() {
    ++writes_;
    if (die_at_ != 0 && writes_ == die_at_ && when_ == When::kBeforeCommit) dead_ = true;
    return Alive();
  }
  absl::Status AfterCommit() {
    if (die_at_ != 0 && writes_ == die_at_ && when_ == When::kAfterCommit) dead_ = true;
    return Alive();
  }
  absl::Status Alive() const { return dead_ ? absl::UnavailableError("killed by the test") : absl::OkStatus(); }

 private:
  int64_t writes_ = 0;
  int64_t die_at_ = 0;
  When when_ = When::kBeforeCommit;
  bool dead_ = false;
};

class FaultyConnection : public SqlConnection {
 public:
  FaultyConnection(std::unique_ptr<SqlConnection> real, std::shared_ptr<FaultPlan> plan)
      : real_(std::move(real)), plan_(std::move(plan)) {}

  absl::Status Begin(bool write) override {
    writes_ = write;
    if (absl::Status alive = plan_->Alive(); !alive.ok()) return alive;
    return real_->Begin(write);
  }
  absl::Status Commit() override {
    if (!writes_) return real_->Commit();
    if (absl::Status alive = plan_->BeforeCommit(); !alive.ok()) return alive;
    if (absl::Status committed = real_->Commit(); !committed.ok()) return committed;
    return plan_->AfterCommit();
  }
  void Rollback() override { real_->Rollback(); }
  absl::Status Query(const std::string& sql, std::span<const SqlValue> values,
                     const std::function<void(const SqlRow&)>& row) override {
    if (absl::Status alive = plan_->Alive(); !alive.ok()) return alive;
    return real_->Query(sql, values, row);
  }
  absl::StatusOr<int64_t> Run(const std::string& sql, std::span<const SqlValue> values) override {
    if (absl::Status alive = plan_->Alive(); !alive.ok()) return alive;
    return real_->Run(sql, values);
  }
  absl::Status Execute(const std::string& sql) override { return real_->Execute(sql); }
  std::string ForUpdate() const override { return real_->ForUpdate(); }
  std::string ForUpdateSkipLocked() const override { return real_->ForUpdateSkipLocked(); }

 private:
  const std::unique_ptr<SqlConnection> real_;
  const std::shared_ptr<FaultPlan> plan_;
  bool writes_ = false;
};

class FaultyDatabase : public SqlDatabase {
 public:
  FaultyDatabase(std::unique_ptr<SqlDatabase> real, std::shared_ptr<FaultPlan> plan)
      : real_(std::move(real)), plan_(std::move(plan)) {}

  absl::StatusOr<std::unique_ptr<SqlConnection>> Connect() override {
    absl::StatusOr<std::unique_ptr<SqlConnection>> connection = real_->Connect();
    if (!connection.ok()) return connection;
    return std::make_unique<FaultyConnection>(*std::move(connection), plan_);
  }
  absl::StatusOr<std::unique_ptr<Lock>> TryLock(const std::string& name) override { return real_->TryLock(name); }
  int writers() const override { return real_->writers(); }
  std::string about() const override { return real_->about(); }
  std::string number_key_type() const override { return real_->number_key_type(); }
  std::string bytes_type() const override { return real_->bytes_type(); }
  std::string ordered_text_type() const override { return real_->ordered_text_type(); }

 private:
  const std::unique_ptr<SqlDatabase> real_;
  const std::shared_ptr<FaultPlan> plan_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_FAULTY_DATABASE_H_
