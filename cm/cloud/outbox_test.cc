#include "cm/cloud/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class OutboxTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "outbox_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Outbox> Open(uint64_t limit = 100) {
    absl::StatusOr<std::unique_ptr<Outbox>> outbox = Outbox::Open(folder_ + "/outbox.db", {.limit = limit});
    EXPECT_TRUE(outbox.ok()) << outbox.status();
    return *std::move(outbox);
  }
  static OutboxMessage Message(const std::string& id, bool droppable = true) {
    return {
        .epoch = 4, .seq = 1, .msg_id = id, .type = "feedback", .topic = "a/b", .json = "{}", .droppable = droppable};
  }
  static std::vector<std::string> Ids(Outbox& outbox, absl::Duration now) {
    std::vector<std::string> ids;
    absl::StatusOr<std::vector<OutboxMessage>> due = outbox.TakeDue(now, 100);
    EXPECT_TRUE(due.ok()) << due.status();
    for (const OutboxMessage& message : *due) ids.push_back(message.msg_id);
    return ids;
  }

  std::string folder_;
};

TEST_F(OutboxTest, KeepsMessagesInOrderUntilTheyAreAcknowledged) {
  {
    std::unique_ptr<Outbox> outbox = Open();
    for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
  }
  std::unique_ptr<Outbox> outbox = Open();
  EXPECT_EQ(outbox->size(), 3u);
  EXPECT_EQ(outbox->newest_epoch(), 4u);
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("a", "b", "c"));
  ASSERT_TRUE(outbox->Acknowledge({"b", "unknown"}).ok());
  EXPECT_EQ(Open()->size(), 2u);
  EXPECT_EQ(outbox->size(), 2u);
}

TEST_F(OutboxTest, SendsAgainWithGrowingDelays) {
  std::unique_ptr<Outbox> outbox = Open();
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

TEST_F(OutboxTest, TheOldestFeedbackGoesWhenItIsFullAndIsCounted) {
  {
    std::unique_ptr<Outbox> outbox = Open(3);
    ASSERT_TRUE(outbox->Add(Message("applied", /*droppable=*/false)).ok());
    for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
    EXPECT_EQ(outbox->size(), 3u);
    EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("applied", "c", "d"));
    EXPECT_EQ(outbox->dropped(), 2u);
  }
  EXPECT_EQ(Open(3)->dropped(), 2u);
}

TEST_F(OutboxTest, WhatMustNotBeLostIsNeverDropped) {
  std::unique_ptr<Outbox> outbox = Open(2);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(outbox->Add(Message(absl::StrCat(i), /*droppable=*/false)).ok());
  EXPECT_EQ(outbox->size(), 5u);
  EXPECT_EQ(outbox->dropped(), 0u);
}

TEST_F(OutboxTest, TakesOnlySoManyAtOnce) {
  std::unique_ptr<Outbox> outbox = Open();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(outbox->Add(Message(absl::StrCat(i))).ok());
  EXPECT_EQ(outbox->TakeDue(absl::Seconds(1), 2)->size(), 2u);
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("2", "3", "4"));
}

TEST_F(OutboxTest, ADamagedDatabaseIsKeptAside) {
  { Open(); }
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(folder_ + "/outbox.db" + suffix);
  std::ofstream(folder_ + "/outbox.db") << std::string(8192, 'x');
  std::unique_ptr<Outbox> outbox = Open();
  EXPECT_EQ(outbox->size(), 0u);
  EXPECT_TRUE(outbox->Add(Message("a")).ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/outbox.db.corrupt"));
}

TEST_F(OutboxTest, OfReportsThatAreMadeAgainOneWaits) {
  const auto report = [](const std::string& id, const std::string& key) {
    OutboxMessage message = Message(id, /*droppable=*/false);
    message.once_key = key;
    return message;
  };
  {
    std::unique_ptr<Outbox> outbox = Open();
    ASSERT_TRUE(outbox->Add(report("first", "applied 7 1")).ok());
    ASSERT_TRUE(outbox->Add(report("again", "applied 7 1")).ok());
  }
  std::unique_ptr<Outbox> outbox = Open();
  ASSERT_TRUE(outbox->Add(report("after a restart", "applied 7 1")).ok());
  ASSERT_TRUE(outbox->Add(report("other", "applied 7 2")).ok());
  for (const char* id : {"a", "b"}) ASSERT_TRUE(outbox->Add(Message(id)).ok());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("first", "other", "a", "b"));
  // What the cloud has may be reported once more.
  ASSERT_TRUE(outbox->Acknowledge({"first"}).ok());
  ASSERT_TRUE(outbox->Add(report("anew", "applied 7 1")).ok());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("anew"));
}

TEST_F(OutboxTest, ADatabaseOfOlderSoftwareIsReadOn) {
  {
    auto db = *Database::Open(folder_ + "/outbox.db");
    ASSERT_TRUE(db->Execute("CREATE TABLE message (row INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL,"
                            "seq INTEGER NOT NULL, msg_id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
                            "topic TEXT NOT NULL, json TEXT NOT NULL, droppable INTEGER NOT NULL);"
                            "INSERT INTO message VALUES (1, 4, 1, 'old', 'applied', 'a/b', '{}', 0)")
                    .ok());
  }
  std::unique_ptr<Outbox> outbox = Open();
  ASSERT_TRUE(outbox->Add(Message("new")).ok());
  EXPECT_THAT(Ids(*outbox, absl::Seconds(1)), ElementsAre("old", "new"));
}

}  // namespace
}  // namespace tandem::cm
