#include "bootloader/boot_control/mmc_boot_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bootloader/boot_control/fake_boot_partition_selector.h"
#include "common/storage/fake_file_system.h"

namespace tandem::boot {
namespace {

using ::testing::HasSubstr;

constexpr char kState[] = "/data/bootloader.rec";

class MmcBootControlTest : public testing::Test {
 protected:
  MmcBootControlTest() { fs_.Put("/data/keep", ""); }

  FakeFileSystem fs_;
  FakeMmc mmc_;
  MmcBootControl control_{fs_, kState, std::make_unique<FakeBootPartitionSelector>(mmc_)};
};

TEST_F(MmcBootControlTest, BeginsWithTheCopyThatTheEmmcIsConfiguredFor) {
  mmc_.selected = Slot::kB;
  EXPECT_EQ(control_.Read().value(), BootState{.confirmed = Slot::kB});
  EXPECT_EQ(mmc_.selects, 0);
}

TEST_F(MmcBootControlTest, SelectsTheCopyOnTrialAndGoesBack) {
  ASSERT_TRUE(control_.MarkUnbootable(Slot::kB).ok());
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 3).ok());
  EXPECT_EQ(mmc_.selected, Slot::kB);
  ASSERT_TRUE(control_.CancelTrial().ok());
  EXPECT_EQ(mmc_.selected, Slot::kA);
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 3).ok());
  ASSERT_TRUE(control_.Confirm(Slot::kB).ok());
  EXPECT_EQ(mmc_.selected, Slot::kB);
  EXPECT_EQ(control_.Read()->confirmed, Slot::kB);
}

TEST_F(MmcBootControlTest, AnEmmcThatRefusesOrForgetsIsReported) {
  ASSERT_TRUE(control_.Read().ok());
  mmc_.select_fails = absl::InternalError("CRC error");
  EXPECT_THAT(std::string(control_.SetTrial(Slot::kB, 3).message()), HasSubstr("CRC error"));
  mmc_.select_fails = absl::OkStatus();
  mmc_.forgets = true;
  EXPECT_TRUE(absl::IsDataLoss(control_.SetTrial(Slot::kB, 3)));
  EXPECT_EQ(mmc_.selected, Slot::kA);
}

TEST_F(MmcBootControlTest, MarkingTheOnlyGoodCopyIsRefusedBeforeTheEmmcIsTouched) {
  EXPECT_TRUE(absl::IsFailedPrecondition(control_.MarkUnbootable(Slot::kA)));
  EXPECT_EQ(mmc_.selects, 0);
}

// A trial that is selected is always known; one that is over is never selected.
TEST_F(MmcBootControlTest, APowerCutNeverLeavesAnUnprovenCopySelectedUnknown) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const bool begin : {true, false}) {
      for (uint64_t call = 1;; ++call) {
        FakeFileSystem fs;
        fs.Put("/data/keep", "");
        FakeMmc mmc;
        MmcBootControl control(fs, kState, std::make_unique<FakeBootPartitionSelector>(mmc));
        ASSERT_TRUE(control.Read().ok());
        if (!begin) {
          ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
        }
        fs.CutPowerAtCall(call, seed * 100 + call);
        const absl::Status status = begin ? control.SetTrial(Slot::kB, 3) : control.CancelTrial();
        const bool cut = fs.power_lost();
        ASSERT_EQ(status.ok(), !cut);
        fs.Reboot();
        const auto state = control.Read();
        ASSERT_TRUE(state.ok()) << state.status();
        ASSERT_TRUE(mmc.selected == Slot::kA || state->trial == Slot::kB) << "B is selected, and nobody knows why";
        if (!cut) break;
      }
    }
  }
}

TEST_F(MmcBootControlTest, APowerCutInTheFirstWriteOfTheRecordLosesNothing) {
  for (const bool raw_partition : {false, true}) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      for (uint64_t call = 1;; ++call) {
        FakeFileSystem fs;
        fs.Put("/data/keep", "");
        if (raw_partition) fs.PutDevice(kState, 8192);
        FakeMmc mmc;
        MmcBootControl control(fs, kState, std::make_unique<FakeBootPartitionSelector>(mmc));
        fs.CutPowerAtCall(call, seed * 100 + call);
        (void)control.Read();
        const bool cut = fs.power_lost();
        fs.Reboot();
        const auto state = control.Read();
        ASSERT_TRUE(state.ok()) << "raw " << raw_partition << " call " << call << ": " << state.status();
        ASSERT_EQ(*state, BootState());
        if (!cut) break;
      }
    }
  }
}

TEST_F(MmcBootControlTest, ALostRecordIsDataLossWithTheWayOut) {
  fs_.Put(kState, std::string(8192, 'x'));
  EXPECT_TRUE(absl::IsDataLoss(control_.Read().status()));
  EXPECT_THAT(std::string(control_.Read().status().message()), HasSubstr("remove it to begin"));
}

TEST(MmcPartitionSelectorTest, ADeviceThatIsNoEmmcIsNamed) {
  MmcPartitionSelector none("/none/mmcblk0");
  EXPECT_TRUE(absl::IsNotFound(none.Selected().status())) << none.Selected().status();
  EXPECT_THAT(std::string(MmcPartitionSelector("/dev/null").Select(Slot::kA).message()), HasSubstr("/dev/null"));
}

}  // namespace
}  // namespace tandem::boot
