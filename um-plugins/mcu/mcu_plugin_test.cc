// Start, trial, confirmation and the way back of a device; what its inventory says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "um-plugins/mcu/unit_with_mcu.h"

namespace tandem::plugins {
namespace {

using smp::HashOfImage;
using smp::MakeTestImage;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(McuPluginTest, AnUpdateIsTestedAndThenConfirmed) {
  UnitWithMcu unit;
  EXPECT_EQ(unit.Version(), "1.0.0");
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_EQ(unit.operation_.done, MakeTestImage(UnitWithMcu::kTwo).size());
  EXPECT_EQ(unit.mcu_.boots(), 1) << "Prepare touches nothing that runs";
  EXPECT_FALSE(unit.fs_.Exists("/state/image.bin"));

  ASSERT_EQ(unit.plugin_->Start(unit.operation_).value(), um::StartResult::kRunning);
  um::InstalledComponent component = unit.plugin_->Inventory().value()[0];
  EXPECT_EQ(component.version, "2.0.0");
  EXPECT_EQ(component.slots->running, "0");
  EXPECT_EQ(component.slots->trial, "0");
  EXPECT_EQ(component.slots->confirmed, "1");
  EXPECT_FALSE(unit.mcu_.RunningConfirmed());

  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok()) << "called again after a crash";
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  EXPECT_EQ(unit.plugin_->CheckAfterReboot(unit.operation_).value(), um::RebootCheck::kRunning);
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  unit.clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(unit.Version(), "2.0.0");
  EXPECT_TRUE(unit.plugin_->Seal().ok());
  EXPECT_FALSE(unit.plugin_->SwitchesBoot());
}

TEST(McuPluginTest, ABadImageFallsBackAndIsGivenUpAfterItsAttempts) {
  for (const bool two_slots : {false, true}) {
    UnitWithMcu unit({.two_slots = two_slots});
    unit.mcu_.MakeCrash(UnitWithMcu::Hash2());
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    const absl::Status status = unit.plugin_->Start(unit.operation_).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("start motor: boot of image 2.0.0 ("));
    EXPECT_THAT(std::string(status.message()), HasSubstr(" failed, the MCU fell back to 1.0.0 ("));
    EXPECT_EQ(unit.mcu_.boots(), two_slots ? 1 + 3 * 4 : 1 + 3 * 2);
    EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
    EXPECT_EQ(unit.Version(), "1.0.0");
    EXPECT_TRUE(unit.mcu_.RunningConfirmed());
    EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
  }
}

TEST(McuPluginTest, AnImageThatComesUpAfterEachResetHasItsAttemptsAgainUpToALimit) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  const int limit = static_cast<int>(kMcuTestAttempts * kMcuTestRounds);
  for (int reset = 1; reset < limit; ++reset) {
    unit.mcu_.CutPower(unit.clock_.Monotonic());
    unit.Restart();
    ASSERT_EQ(unit.plugin_->CheckAfterReboot(unit.operation_).value(), um::RebootCheck::kRunning) << reset;
    EXPECT_EQ(unit.Version(), "2.0.0");
  }
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  const absl::Status status = unit.plugin_->CheckAfterReboot(unit.operation_).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("check motor: boot of image 2.0.0"));
  // After COMMIT it is driven forward again.
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok()) << "the image is set again before it is confirmed";
  EXPECT_EQ(unit.Version(), "2.0.0");
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
}

TEST(McuPluginTest, IgnitionCyclesOfALongTrialDoNotFailTheCommit) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  for (int cycle = 0; cycle < 5; ++cycle) {
    unit.mcu_.CutPower(unit.clock_.Monotonic());
    unit.Restart();
    ASSERT_TRUE(unit.plugin_->CheckAfterReboot(unit.operation_).ok()) << cycle;
  }
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  EXPECT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
}

TEST(McuPluginTest, AfterItWasSeenRunningRevertStillKnowsThatTheDeviceWasToldToBootIt) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->CheckAfterReboot(unit.operation_).ok());
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
  EXPECT_EQ(unit.mcu_.RunningVersion(), "1.0.0");
}

TEST(McuPluginTest, ALostResetIsAskedForAgain) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  unit.faults_ = {.loss = 0.3, .seed = 5};
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.RunningVersion(), "2.0.0");
}

TEST(McuPluginTest, ASpellingOfTheVersionDoesNotMatterAndIsReportedBack) {
  UnitWithMcu unit;
  const um::Artifact artifact = unit.Artifact({.major = 2, .minor = 1, .revision = 3, .build = 4}, "2.1.3+4");
  ASSERT_TRUE(unit.plugin_->Prepare({artifact}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  EXPECT_EQ(unit.Version(), "2.1.3+4");

  UnitWithMcu any;
  any.config_.mutable_mcu()->set_any_image_version(true);
  any.Restart();
  ASSERT_TRUE(any.plugin_->Prepare({any.Artifact({.major = 2}, "winter-24")}, any.operation_).ok());
  ASSERT_TRUE(any.plugin_->Start(any.operation_).ok());
  EXPECT_EQ(any.Version(), "winter-24");
}

TEST(McuPluginTest, ASilentDeviceHasTheVersionThatWasLastKnown) {
  UnitWithMcu unit;
  unit.mcu_.SetSilent(true);
  EXPECT_TRUE(absl::IsDeadlineExceeded(unit.plugin_->Inventory().status()));
  const absl::Status status = unit.plugin_->Prepare({unit.Version2()}, unit.operation_);
  EXPECT_THAT(std::string(status.message()), HasSubstr("prepare motor 2.0.0: the image state: the device has not"));
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
  unit.mcu_.SetSilent(false);
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  unit.mcu_.SetSilent(true);
  EXPECT_EQ(unit.Version(), "1.0.0");
  EXPECT_FALSE(unit.plugin_->Inventory().value()[0].slots.has_value());
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted) << "nothing was started";
}

TEST(McuPluginTest, TheInventoryTakesThreeSecondsAtMostWhenTheDeviceDiesInBetween) {
  UnitWithMcu unit({.knows_boot_group = true});
  unit.clock_.Advance(absl::Seconds(5));
  const absl::Duration start = unit.clock_.Monotonic();
  unit.on_packet_ = [&](int packet) { unit.mcu_.SetSilent(packet > 1); };
  EXPECT_EQ(unit.Version(), "1.0.0");
  EXPECT_EQ(unit.clock_.Monotonic() - start, absl::Seconds(3));
}

TEST(McuPluginTest, SilenceOfTheBootGroupIsNotAnotherDevice) {
  UnitWithMcu unit({.knows_boot_group = true});
  const um::Artifact artifact = unit.Artifact({.major = 2, .security_counter = 7}, "2.0.0", /*security_version=*/7);
  unit.mcu_.SetSilentGroup(smp::kSmpBootGroup);
  EXPECT_TRUE(absl::IsDeadlineExceeded(unit.plugin_->Prepare({artifact}, unit.operation_)));
  EXPECT_EQ(unit.mcu_.uploaded(), 0U);
  unit.mcu_.SetSilentGroup(std::nullopt);
  ASSERT_TRUE(unit.plugin_->Prepare({artifact}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  unit.mcu_.SetSilentGroup(smp::kSmpBootGroup);
  EXPECT_THAT(std::string(unit.plugin_->Seal().message()), HasSubstr("seal motor: the boot state: the device has not"));
  unit.mcu_.SetSilentGroup(std::nullopt);
  EXPECT_TRUE(unit.plugin_->Seal().ok()) << "asked again";
  EXPECT_EQ(unit.mcu_.security_counter(), 7U);
}

TEST(McuPluginTest, AHangingDeviceIsResetByTheConfiguredCommand) {
  UnitWithMcu unit;
  unit.config_.mutable_mcu()->add_reset_command("pull-reset");
  unit.Restart();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  EXPECT_EQ(unit.commands_.size(), 1U);
  EXPECT_EQ(unit.mcu_.RunningVersion(), "2.0.0");
}

TEST(McuPluginTest, WhatSomebodyElseHasOnTrialIsLeftAlone) {
  UnitWithMcu unit;
  unit.mcu_.Flash(1, MakeTestImage({.major = 9}));
  smp::FakeLine line(unit.mcu_, unit.clock_);
  smp::SmpClient client(line, unit.clock_, {});
  ASSERT_TRUE(smp::TestImage(client, HashOfImage(MakeTestImage({.major = 9}))).ok());
  EXPECT_THAT(std::string(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).message()),
              HasSubstr("another image is pending"));
  EXPECT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.boots(), 1);
  unit.mcu_.CutPower(unit.clock_.Monotonic());
  EXPECT_THAT(std::string(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).message()),
              HasSubstr("the device runs 9.0.0, which is not confirmed"));
  EXPECT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.RunningVersion(), "9.0.0");
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
}

TEST(McuPluginTest, AnImageThatConfirmedItselfAndCannotBeLeftStays) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->CheckAfterReboot(unit.operation_).ok());
  smp::FakeLine line(unit.mcu_, unit.clock_);
  smp::SmpClient client(line, unit.clock_, {});
  ASSERT_TRUE(smp::ConfirmImage(client, HashOfImage(MakeTestImage(UnitWithMcu::kTwo))).ok());
  unit.mcu_.Flash(1, std::string(64, '\xff'));
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
  EXPECT_EQ(unit.Version(), "2.0.0") << "and CM is told so";
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted) << "again";
}

TEST(McuPluginTest, WithoutItsRecordRevertStillEndsATrial) {
  for (const bool two_slots : {false, true}) {
    UnitWithMcu unit({.two_slots = two_slots});
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
    ASSERT_TRUE(unit.fs_.RemoveTree("/state").ok());
    unit.fs_.Put("/state/keep", "");
    EXPECT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
    EXPECT_EQ(unit.Version(), "1.0.0");
    EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  }
}

}  // namespace
}  // namespace tandem::plugins
