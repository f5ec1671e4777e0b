#include "common/storage/sqlite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace tandem {
namespace {

using testing::HasSubstr;

class SqliteTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "sqlite_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    path_ = folder + "/test.db";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string One(Database& db, const std::string& sql) {
    std::string text;
    EXPECT_TRUE(db.Query(sql, {}, [&](const Row& row) { text = row.Text(0); }).ok());
    return text;
  }

  std::string folder_;
  std::string path_;
};

TEST_F(SqliteTest, KeepsWhatWasWrittenWithFullSync) {
  {
    absl::StatusOr<std::unique_ptr<Database>> db = Database::Open(path_);
    ASSERT_TRUE(db.ok()) << db.status();
    ASSERT_TRUE((*db)->Execute("CREATE TABLE t (n INTEGER, s TEXT)").ok());
    ASSERT_TRUE((*db)->Run("INSERT INTO t VALUES (?, ?)", {int64_t{-7}, std::string("a\0b", 3)}).ok());
    EXPECT_EQ((*db)->changes(), 1);
  }
  absl::StatusOr<std::unique_ptr<Database>> db = Database::Open(path_);
  int rows = 0;
  ASSERT_TRUE((*db)
                  ->Query("SELECT n, s FROM t WHERE n < ?", {int64_t{0}},
                          [&](const Row& row) {
                            ++rows;
                            EXPECT_EQ(row.Int(0), -7);
                            EXPECT_EQ(row.Text(1), std::string("a\0b", 3));
                          })
                  .ok());
  EXPECT_EQ(rows, 1);
  EXPECT_EQ(One(**db, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(One(**db, "PRAGMA synchronous"), "2");
}

TEST_F(SqliteTest, ATransactionWithoutCommitChangesNothing) {
  std::unique_ptr<Database> db = *Database::Open(path_);
  ASSERT_TRUE(db->Execute("CREATE TABLE t (n INTEGER PRIMARY KEY)").ok());
  {
    Transaction transaction(*db);
    ASSERT_TRUE(transaction.status().ok());
    ASSERT_TRUE(db->Execute("INSERT INTO t VALUES (1)").ok());
  }
  EXPECT_EQ(One(*db, "SELECT COUNT(*) FROM t"), "0");
  {
    Transaction transaction(*db);
    ASSERT_TRUE(db->Execute("INSERT INTO t VALUES (1)").ok());
    ASSERT_TRUE(transaction.Commit().ok());
  }
  EXPECT_EQ(One(*db, "SELECT COUNT(*) FROM t"), "1");
}

TEST_F(SqliteTest, ADamagedDatabaseIsKeptAsideAndAFreshOneStarted) {
  std::ofstream(path_) << std::string(4096, 'x');
  EXPECT_EQ(Database::Open(path_).status().code(), absl::StatusCode::kDataLoss);
  absl::StatusOr<std::unique_ptr<Database>> db = Database::OpenOrReplaceDamaged(path_);
  ASSERT_TRUE(db.ok()) << db.status();
  EXPECT_TRUE(std::filesystem::exists(path_ + ".corrupt"));
  EXPECT_TRUE((*db)->Execute("CREATE TABLE t (n INTEGER)").ok());
}

TEST_F(SqliteTest, ErrorsNameTheFile) {
  EXPECT_THAT(std::string(Database::Open(folder_ + "/no/folder.db").status().message()), HasSubstr("no/folder"));
  std::unique_ptr<Database> db = *Database::Open(path_);
  EXPECT_THAT(std::string(db->Execute("nonsense").message()), HasSubstr("test.db"));
}

}  // namespace
}  // namespace tandem
