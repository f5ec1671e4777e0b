#include "common/storage/durable_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/storage/fake_file_system.h"
#include "tests/golden/golden.h"

namespace tandem {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr char kPath[] = "/var/tandem/update.rec";

TEST(DurableRecordTest, WritesTheGoldenFormat) {
  FakeFileSystem fs;
  ASSERT_TRUE(fs.MakeFolders("/var/tandem").ok());
  DurableRecord record(fs, kPath);
  ASSERT_TRUE(record.Write("update 7-1: COMMIT").ok());
  EXPECT_EQ(fs.ReadFile(kPath).value(), GoldenBytes("durable_record.hex"));
}

TEST(DurableRecordTest, ReadsTheGoldenFormat) {
  FakeFileSystem fs;
  fs.Put(kPath, GoldenBytes("durable_record.hex"));
  EXPECT_EQ(DurableRecord(fs, kPath).Read().value(), "update 7-1: COMMIT");
}

TEST(DurableRecordTest, NeverWrittenIsNotFound) {
  FakeFileSystem fs;
  EXPECT_TRUE(absl::IsNotFound(DurableRecord(fs, kPath).Read().status()));
}

TEST(DurableRecordTest, PowerCutAtAnyCallLeavesTheOldOrTheNewPayload) {
  int old_seen = 0;
  int new_seen = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (uint64_t call = 1;; ++call) {
      FakeFileSystem fs;
      ASSERT_TRUE(fs.MakeFolders("/var/tandem").ok());
      DurableRecord record(fs, kPath);
      ASSERT_TRUE(record.Write("older").ok());
      ASSERT_TRUE(record.Write("old").ok());
      fs.CutPowerAtCall(call, seed * 1000 + call);
      const absl::Status written = record.Write("new");
      const bool cut = fs.power_lost();
      ASSERT_EQ(written.ok(), !cut) << written;
      fs.PowerCut(seed);
      fs.Reboot();
      const auto payload = record.Read();
      ASSERT_TRUE(payload.ok()) << "call " << call << " seed " << seed << ": " << payload.status();
      ASSERT_THAT(*payload, AnyOf("old", "new"));
      ++(*payload == "old" ? old_seen : new_seen);
      ASSERT_TRUE(record.ReadPrevious().ok());
      ASSERT_TRUE(record.Write("newest").ok());
      ASSERT_EQ(record.Read().value(), "newest");
      if (!cut) {
        ASSERT_EQ(*payload, "new");
        break;
      }
    }
  }
  EXPECT_GT(old_seen, 0);
  EXPECT_GT(new_seen, 0);
}

TEST(DurableRecordTest, FirstWriteCutShortIsNotFoundOrWhole) {
  for (uint64_t call = 1;; ++call) {
    FakeFileSystem fs;
    ASSERT_TRUE(fs.MakeFolders("/var/tandem").ok());
    DurableRecord record(fs, kPath);
    fs.CutPowerAtCall(call, call);
    (void)record.Write("new");
    if (!fs.power_lost()) break;
    fs.Reboot();
    const auto payload = record.Read();
    ASSERT_TRUE(payload.ok() || absl::IsNotFound(payload.status())) << payload.status();
  }
}

TEST(DurableRecordTest, FailureAtAnyCallKeepsTheOldPayloadOrWritesTheNew) {
  for (uint64_t call = 1;; ++call) {
    FakeFileSystem fs;
    ASSERT_TRUE(fs.MakeFolders("/var/tandem").ok());
    DurableRecord record(fs, kPath);
    ASSERT_TRUE(record.Write("old").ok());
    fs.FailCall(call, absl::ResourceExhaustedError("no space left on device"));
    const uint64_t before = fs.calls();
    if (record.Write("new").ok()) {
      ASSERT_LT(fs.calls() - before, call) << "a failed call went unnoticed";
      break;
    }
    ASSERT_THAT(record.Read().value(), AnyOf("old", "new"));
    ASSERT_TRUE(record.Write("newest").ok());
    ASSERT_EQ(record.Read().value(), "newest");
  }
}

TEST(DurableRecordTest, DamagedFileIsDataLossAndKeptAside) {
  const std::string golden = GoldenBytes("durable_record.hex");
  for (size_t byte = 0; byte < golden.size(); ++byte) {
    FakeFileSystem fs;
    std::string damaged = golden;
    damaged[byte] = static_cast<char>(damaged[byte] ^ 0x40);
    fs.Put(kPath, damaged);
    DurableRecord record(fs, kPath);
    const auto payload = record.Read();
    ASSERT_TRUE(absl::IsDataLoss(payload.status())) << "byte " << byte << ": " << payload.status();
    EXPECT_THAT(std::string(payload.status().message()), HasSubstr("/var/tandem/update.rec.corrupt"));
    EXPECT_EQ(fs.ReadFile("/var/tandem/update.rec.corrupt").value(), damaged);
    EXPECT_TRUE(absl::IsNotFound(record.Read().status()));
  }
}

TEST(DurableRecordTest, TruncatedFileIsDataLoss) {
  const std::string golden = GoldenBytes("durable_record.hex");
  for (size_t size = 0; size < golden.size(); ++size) {
    FakeFileSystem fs;
    fs.Put(kPath, golden.substr(0, size));
    ASSERT_TRUE(absl::IsDataLoss(DurableRecord(fs, kPath).Read().status())) << size;
  }
}

TEST(DurableRecordTest, DamagedNewestDoesNotPushOutThePreviousCopy) {
  FakeFileSystem fs;
  ASSERT_TRUE(fs.MakeFolders("/var/tandem").ok());
  DurableRecord record(fs, kPath);
  ASSERT_TRUE(record.Write("first").ok());
  ASSERT_TRUE(record.Write("second").ok());
  fs.Damage(kPath, 50, "x");
  ASSERT_TRUE(record.Write("third").ok());
  EXPECT_EQ(record.Read().value(), "third");
  EXPECT_EQ(record.ReadPrevious().value(), "first");
}

TEST(DurableRecordTest, ThePreviousCopyIsRestoredWhateverTheCrash) {
  for (uint64_t call = 1;; ++call) {
    FakeFileSystem fs;
    ASSERT_TRUE(fs.MakeFolders("/var/tandem").ok());
    DurableRecord record(fs, kPath);
    ASSERT_TRUE(record.Write("first").ok());
    ASSERT_TRUE(record.Write("second").ok());
    fs.Damage(kPath, 50, "x");
    fs.CutPowerAtCall(call, call);
    (void)record.ReadOrRestorePrevious();
    const bool cut = fs.power_lost();
    fs.Reboot();
    ASSERT_EQ(record.ReadOrRestorePrevious().value(), "first");
    ASSERT_EQ(record.Read().value(), "first");
    if (!cut) break;
  }
  FakeFileSystem fs;
  EXPECT_TRUE(absl::IsNotFound(DurableRecord(fs, kPath).ReadOrRestorePrevious().status()));
}

TEST(DurableRecordTest, ClearedRecordDoesNotComeBack) {
  for (uint64_t call = 1;; ++call) {
    FakeFileSystem fs;
    ASSERT_TRUE(fs.MakeFolders("/var/tandem").ok());
    DurableRecord record(fs, kPath);
    ASSERT_TRUE(record.Write("older").ok());
    ASSERT_TRUE(record.Write("old").ok());
    fs.CutPowerAtCall(call, call);
    const absl::Status cleared = record.Clear();
    const bool cut = fs.power_lost();
    fs.PowerCut(call);
    fs.Reboot();
    const auto payload = record.Read();
    if (!cut) {
      ASSERT_TRUE(cleared.ok());
      ASSERT_TRUE(absl::IsNotFound(payload.status()));
      break;
    }
    ASSERT_TRUE(absl::IsNotFound(payload.status()) || payload.value() == "old");
  }
}

TEST(DurableRecordPeek, LeavesADamagedFileWhereItIs) {
  FakeFileSystem fs;
  ASSERT_TRUE(fs.MakeFolders("/state").ok());
  DurableRecord record(fs, "/state/a.rec");
  EXPECT_TRUE(absl::IsNotFound(record.Peek().status()));
  ASSERT_TRUE(record.Write("payload").ok());
  EXPECT_EQ(*record.Peek(), "payload");
  fs.Put("/state/a.rec", "garbage");
  EXPECT_TRUE(absl::IsDataLoss(record.Peek().status()));
  EXPECT_TRUE(absl::IsDataLoss(record.Peek().status()));
  EXPECT_EQ(*fs.ReadFile("/state/a.rec"), "garbage");
}

}  // namespace
}  // namespace tandem
