// What the store's tests stand on: a store on each of the databases, SQLite always, PostgreSQL where it is installed
// (tools/setup installs it).
#ifndef TANDEM_TESTS_SUPPORT_STORE_FIXTURE_H_
#define TANDEM_TESTS_SUPPORT_STORE_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "common/status/status.h"
#include "fleet/store/postgres_database.h"
#include "fleet/store/sqlite_database.h"
#include "fleet/store/store.h"
#include "fleet/store/unit_table.h"
#include "tests/support/postgres.h"

namespace tandem::fleet {

// One server for the whole program: it takes a second to start.
inline Postgres& Server() {
  static auto& server = *new absl::StatusOr<std::unique_ptr<Postgres>>(Postgres::Start());
  if (!server.ok()) {
    ADD_FAILURE() << server.status();
    std::abort();
  }
  return **server;
}

enum class Kind { kSqlite, kPostgres };

class StoreTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/store_XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    if (GetParam() == Kind::kPostgres) {
      const auto url = Server().CreateDatabase();
      ASSERT_TRUE(url.ok()) << url.status();
      url_ = *url;
    }
    store_ = Open();
  }
  void TearDown() override {
    store_ = nullptr;
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<Store> Open() {
    auto database = GetParam() == Kind::kSqlite ? OpenSqlite(folder_) : OpenPostgres(url_);
    EXPECT_TRUE(database.ok()) << database.status();
    auto store = Store::Open(*std::move(database));
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  void Write(const Store::Work& work) {
    const absl::Status status = store_->Write("test", work);
    EXPECT_TRUE(status.ok()) << status;
  }
  int64_t Count(const std::string& name) {
    int64_t value = -1;
    const absl::Status status = store_->Read("test", [&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(value, Counter(tx, name));
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
    return value;
  }
  void Register(const std::string& unit_id) {
    Write([&](StoreTransaction& tx) {
      return UnitTable(tx)
          .Register({.attributes = {.unit_id = unit_id, .hardware = "gw-2", .region = "eu"}}, 100)
          .status();
    });
  }
  UnitRow Unit(const std::string& unit_id) {
    UnitRow unit;
    Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(unit, UnitTable(tx).Get(unit_id, /*lock=*/true));
      return absl::OkStatus();
    });
    return unit;
  }

  std::string folder_;
  std::string url_;
  std::unique_ptr<Store> store_;
};

inline std::string DatabaseName(const testing::TestParamInfo<Kind>& info) {
  return info.param == Kind::kSqlite ? "Sqlite" : "Postgres";
}

}  // namespace tandem::fleet

#endif  // TANDEM_TESTS_SUPPORT_STORE_FIXTURE_H_
