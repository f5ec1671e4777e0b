#include "cm/health/safe_mode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/storage/fake_file_system.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kFlag[] = "/run/tandem/safe-mode";

class SafeModeTest : public testing::Test {
 protected:
  SafeModeTest() {
    config_.set_state_dir("/state");
    config_.mutable_safe_mode()->set_failed_starts(3);
    config_.mutable_safe_mode()->set_flag_file(kFlag);
    EXPECT_TRUE(fs_.MakeFolders("/state").ok());
  }
  // CM starts in another boot; whatever it was before is gone without a word.
  SafeMode& Boot() { return StartCm("boot-" + std::to_string(++boots_)); }
  SafeMode& StartCm(const std::string& boot_id) {
    safe_mode_ = std::make_unique<SafeMode>(fs_, config_, boot_id);
    return *safe_mode_;
  }
  void WriteUpdate(const std::string& phase) {
    record::v1::UnitUpdateRecord record;
    record.set_phase(phase);
    ASSERT_TRUE(DurableRecord(fs_, "/state/update.rec").Write(record.SerializeAsString()).ok());
  }
  bool HasFlag() { return fs_.Exists(kFlag); }

  FakeFileSystem fs_;
  config::v1::CmConfig config_;
  int boots_ = 0;
  std::unique_ptr<SafeMode> safe_mode_;
};

TEST_F(SafeModeTest, BeginsAfterSoManyStartsThatDidNotLast) {
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Boot().reason(), IsEmpty());
  EXPECT_FALSE(HasFlag());
  const SafeMode& fourth = Boot();
  EXPECT_EQ(fourth.reason(), "3 starts in a row did not last");
  EXPECT_TRUE(fourth.is_new());
  EXPECT_TRUE(HasFlag());
  // It stays, and is no news any more.
  Boot().Lasted();
  EXPECT_FALSE(safe_mode_->is_new());
  EXPECT_THAT(safe_mode_->reason(), HasSubstr("3 starts"));
  EXPECT_TRUE(HasFlag());
}

TEST_F(SafeModeTest, OneThatLastedBeginsTheCountAnew) {
  Boot();
  Boot();
  Boot().Lasted();
  for (int i = 0; i < 3; ++i) EXPECT_THAT(Boot().reason(), IsEmpty());
  EXPECT_THAT(Boot().reason(), HasSubstr("3 starts"));
}

TEST_F(SafeModeTest, AnOrderlyEndIsNoFailure) {
  for (int i = 0; i < 10; ++i) Boot().EndedInOrder();
  EXPECT_THAT(Boot().reason(), IsEmpty());
}

TEST_F(SafeModeTest, ARestartOfCmAloneIsNoStart) {
  for (int i = 0; i < 10; ++i) EXPECT_THAT(StartCm("boot-1").reason(), IsEmpty());
}

TEST_F(SafeModeTest, BootsOfAnUpdateAreItsOwn) {
  for (const char* phase : {"Starting", "Trial", "Reverting", "Trial", "Starting", "Trial"}) {
    WriteUpdate(phase);
    EXPECT_THAT(Boot().reason(), IsEmpty());
  }
  WriteUpdate("Committing");
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Boot().reason(), IsEmpty());
  EXPECT_THAT(Boot().reason(), HasSubstr("3 starts"));
}

TEST_F(SafeModeTest, APersonEndsIt) {
  for (int i = 0; i < 4; ++i) Boot();
  EXPECT_TRUE(safe_mode_->Leave());
  EXPECT_THAT(safe_mode_->reason(), IsEmpty());
  EXPECT_FALSE(HasFlag());
  EXPECT_FALSE(safe_mode_->Leave());
  for (int i = 0; i < 2; ++i) EXPECT_THAT(Boot().reason(), IsEmpty());
}

TEST_F(SafeModeTest, AnUpdateOnTrialMayRunWhatItBrings) {
  for (int i = 0; i < 4; ++i) Boot();
  EXPECT_TRUE(HasFlag());
  safe_mode_->SetTrial(true);
  EXPECT_FALSE(HasFlag());
  // It reboots.
  WriteUpdate("Starting");
  Boot();
  EXPECT_FALSE(HasFlag());
  EXPECT_THAT(safe_mode_->reason(), HasSubstr("3 starts"));
  // It was taken back.
  safe_mode_->SetTrial(false);
  EXPECT_TRUE(HasFlag());
}

TEST_F(SafeModeTest, NeverMeansNever) {
  config_.mutable_safe_mode()->set_failed_starts(4294967295);
  for (int i = 0; i < 100; ++i) EXPECT_THAT(Boot().reason(), IsEmpty());
}

TEST_F(SafeModeTest, AFlagOfAnotherTimeGoes) {
  ASSERT_TRUE(fs_.MakeFolders("/run/tandem").ok());
  fs_.Put(kFlag, "old");
  Boot();
  EXPECT_FALSE(HasFlag());
}

TEST_F(SafeModeTest, ADamagedRecordOrAFullDiskKeepsNothingFromStarting) {
  Boot();
  fs_.Put("/state/starts.rec", "garbage");
  EXPECT_THAT(Boot().reason(), IsEmpty());
  fs_.SetCapacity(0);
  EXPECT_THAT(Boot().reason(), IsEmpty());
}

}  // namespace
}  // namespace tandem::cm
