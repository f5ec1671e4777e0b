#include "cm/cloud/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cm/cloud/memory_outbox.h"
#include "cm/cloud/sqlite_outbox.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

OutboxMessage Message(const std::string& id, bool droppable = true) {
  return {.epoch = 4, .seq = 1, .msg_id = id, .type = "feedback", .topic = "a/b", .json = "{}", .droppable = droppable};
}

std::vector<std::string> Ids(Outbox& outbox, absl::Duration now) {
  std::vector<std::string> ids;
  absl::StatusOr<std::vector<OutboxMessage>> due = outbox.TakeDue(now, 100);
  EXPECT_TRUE(due.ok()) << due.status();
  for (const OutboxMessage& message : *due) ids.push_back(message.msg_id);
  return ids;
}

class OutboxFolder : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "outbox_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Outbox> OpenSqlite(uint64_t limit = 100) {
    absl::StatusOr<std::unique_ptr<SqliteOutbox>> outbox = SqliteOutbox::Open(folder_ + "/outbox.db", {.limit = limit});
    EXPECT_TRUE(outbox.ok()) << outbox.status();
    return *std::move(outbox);
  }

  std::string folder_;
};

// What every outbox does.
template <typename OutboxType>
class OutboxTest : public OutboxFolder {
 protected:
  std::unique_ptr<Outbox> Make(uint64_t limit = 100) {
    if constexpr (std::is_same_v<OutboxType, MemoryOutbox>) {
      return std::make_unique<MemoryOutbox>(OutboxOptions{.limit = limit});
    } else {
      return OpenSqlite(limit);
    }
  }
};
using Implementations = testing::Types<SqliteOutbox, MemoryOutbox>;
TYPED_TEST_SUITE(OutboxTest, Implementations);

TYPED_TEST(OutboxTest, KeepsMessagesUntilTheyAreAcknowledged) {
  std::unique_ptr<Outbox> outbox = this->Make();
  EXPECT_EQ(outbox->NextDue(), absl::InfiniteDuration());
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
  EXPECT_FALSE(outbox->Add(Message("b")).ok());
  EXPECT_EQ(outbox->newest_epoch(), 4u);
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("a", "b", "c"));
  ASSERT_TRUE(outbox->Acknowledge({"b", "unknown"}).ok());
  EXPECT_EQ(outbox->size(), 2u);
  outbox->ResetDelays();
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("a", "c"));
}

TYPED_TEST(OutboxTest, TheOldestFeedbackGoesWhenItIsFull) {
  std::unique_ptr<Outbox> outbox = this->Make(3);
  ASSERT_TRUE(outbox->Add(Message("applied", /*droppable=*/false)).ok());
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
  EXPECT_EQ(outbox->size(), 3u);
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("applied", "c", "d"));
  EXPECT_EQ(outbox->dropped(), 2u);
}

TYPED_TEST(OutboxTest, OfReportsWithOneKeyTheFirstWaits) {
  std::unique_ptr<Outbox> outbox = this->Make();
  for (const char* id : {"first", "again"}) {
    OutboxMessage message = Message(id, /*droppable=*/false);
    message.once_key = "applied 7 1";
    ASSERT_TRUE(outbox->Add(message).ok());
  }
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("first"));
}

using SqliteOutboxTest = OutboxFolder;

TEST_F(SqliteOutboxTest, KeepsMessagesInOrderUntilTheyAreAcknowledged) {
  {
    std::unique_ptr<Outbox> outbox = OpenSqlite();
    for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
  }
  std::unique_ptr<Outbox> outbox = OpenSqlite();
  EXPECT_EQ(outbox->size(), 3u);
  EXPECT_EQ(outbox->newest_epoch(), 4u);
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("a", "b", "c"));
  ASSERT_TRUE(outbox->Acknowledge({"b", "unknown"}).ok());
  EXPECT_EQ(OpenSqlite()->size(), 2u);
  EXPECT_EQ(outbox->size(), 2u);
}

TYPED_TEST(OutboxTest, SendsAgainWithGrowingDelays) {
  std::unique_ptr<Outbox> outbox = this->Make();
  ASSERT_TRUE(outbox->Add(Message("a")).ok());
  EXPECT_EQ(outbox->NextDue(), absl::ZeroDuration());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(0)), ElementsAre("a"));
  EXPECT_GE(outbox->NextDue(), absl::Seconds(5));
  EXPECT_LE(outbox->NextDue(), absl::Seconds(10));
  EXPECT_THAT(Ids(*outbox, absl::Seconds(4)), IsEmpty());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(10)), ElementsAre("a"));
  EXPECT_GE(outbox->NextDue(), absl::Seconds(20));
  outbox->ResetDelays();
  EXPECT_THAT(Ids(*outbox, absl::Seconds(11)), ElementsAre("a"));
  EXPECT_LE(outbox->NextDue(), absl::Seconds(21));
}

TEST_F(SqliteOutboxTest, TheOldestFeedbackGoesWhenItIsFullAndIsCounted) {
  {
    std::unique_ptr<Outbox> outbox = OpenSqlite(3);
    ASSERT_TRUE(outbox->Add(Message("applied", /*droppable=*/false)).ok());
    for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
    EXPECT_EQ(outbox->size(), 3u);
    EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("applied", "c", "d"));
    EXPECT_EQ(outbox->dropped(), 2u);
  }
  EXPECT_EQ(OpenSqlite(3)->dropped(), 2u);
}

TYPED_TEST(OutboxTest, WhatMustNotBeLostIsNeverDropped) {
  std::unique_ptr<Outbox> outbox = this->Make(2);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(outbox->Add(Message(absl::StrCat(i), /*droppable=*/false)).ok());
  EXPECT_EQ(outbox->size(), 5u);
  EXPECT_EQ(outbox->dropped(), 0u);
}

TYPED_TEST(OutboxTest, TakesOnlySoManyAtOnce) {
  std::unique_ptr<Outbox> outbox = this->Make();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(outbox->Add(Message(absl::StrCat(i))).ok());
  EXPECT_EQ(outbox->TakeDue(absl::Seconds(1), 2)->size(), 2u);
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("2", "3", "4"));
}

TEST_F(SqliteOutboxTest, ADamagedDatabaseIsKeptAside) {
  { OpenSqlite(); }
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(folder_ + "/outbox.db" + suffix);
  std::ofstream(folder_ + "/outbox.db") << std::string(8192, 'x');
  std::unique_ptr<Outbox> outbox = OpenSqlite();
  EXPECT_EQ(outbox->size(), 0u);
  EXPECT_TRUE(outbox->Add(Message("a")).ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/outbox.db.corrupt"));
}

TEST_F(SqliteOutboxTest, OfReportsThatAreMadeAgainOneWaits) {
  const auto report = [](const std::string& id, const std::string& key) {
    OutboxMessage message = Message(id, /*droppable=*/false);
    message.once_key = key;
    return message;
  };
  {
    std::unique_ptr<Outbox> outbox = OpenSqlite();
    ASSERT_TRUE(outbox->Add(report("first", "applied 7 1")).ok());
    ASSERT_TRUE(outbox->Add(report("again", "applied 7 1")).ok());
  }
  std::unique_ptr<Outbox> outbox = OpenSqlite();
  ASSERT_TRUE(outbox->Add(report("after a restart", "applied 7 1")).ok());
  ASSERT_TRUE(outbox->Add(report("other", "applied 7 2")).ok());
  for (const char* id : {"a", "b"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("first", "other", "a", "b"));
  // What the cloud has may be reported once more.
  ASSERT_TRUE(outbox->Acknowledge({"first"}).ok());
  ASSERT_TRUE(outbox->Add(report("anew", "applied 7 1")).ok());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("anew"));
}

TEST_F(SqliteOutboxTest, ADatabaseOfOlderSoftwareIsReadOn) {
  {
    auto db = *Database::Open(folder_ + "/outbox.db");
    ASSERT_TRUE(db->Execute("CREATE TABLE message (row INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL,"
                            "seq INTEGER NOT NULL, msg_id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
                            "topic TEXT NOT NULL, json TEXT NOT NULL, droppable INTEGER NOT NULL);"
                            "INSERT INTO message VALUES (1, 4, 1, 'old', 'applied', 'a/b', '{}', 0)")
                    .ok());
  }
  std::unique_ptr<Outbox> outbox = OpenSqlite();
  ASSERT_TRUE(outbox->Add(Message("new")).ok());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("old", "new"));
}

}  // namespace
}  // namespace tandem::cm
