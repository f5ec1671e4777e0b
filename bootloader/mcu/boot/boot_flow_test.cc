#include "bootloader/mcu/boot/boot_flow.h"

#include <gtest/gtest.h>

#include <functional>
#include <iostream>

#include "bootloader/mcu/boot/recovery_exit.h"
#include "tests/support/mcu_test_device.h"

namespace tandem::mcu {
namespace {

using boot::BootReason;
using boot::BootRecord;
using boot::Slot;

const std::string& Old() {
  static const std::string& image = *new std::string(TestImage({.version = {1, 0, 0, 0}}));
  return image;
}
const std::string& New() {
  static const std::string& image = *new std::string(TestImage({.version = {2, 0, 0, 0}}));
  return image;
}

BootRecord OnTrial() {
  BootRecord record;
  record.sequence = 1;
  SetTrial(record, Slot::kB, 3);
  return record;
}

TEST(BootFlow, AFactoryDeviceBootsSlotA) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  const BootOutcome outcome = device.Boot();
  EXPECT_EQ(outcome.slot, Slot::kA);
  EXPECT_EQ(outcome.vector_table, 0x20000200U);
  EXPECT_EQ(outcome.reason, BootReason::kActive);
}

TEST(BootFlow, AnEmptyDeviceIsInRecovery) {
  TestDevice device;
  EXPECT_EQ(device.Boot().slot, Slot::kNone);
}

TEST(BootFlow, ATrialIsCountedBeforeItRuns) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  device.PutImage(Slot::kB, New());
  device.SetRecord(OnTrial());
  for (const uint8_t left : {2, 1, 0}) {
    const BootOutcome outcome = device.Boot();
    EXPECT_EQ(outcome.slot, Slot::kB);
    EXPECT_EQ(outcome.reason, BootReason::kTrial);
    EXPECT_EQ(device.Record().attempts_left, left);
  }
  EXPECT_EQ(device.Boot().slot, Slot::kA);
}

TEST(BootFlow, WhatMayNotRunIsMarkedAndTheConfirmedSlotBoots) {
  const std::pair<std::string, CheckResult> wrong[] = {
      {"", CheckResult::kBlank},
      {New().substr(0, 3000), CheckResult::kBadForm},
      {TestImage({.is_signed = false}), CheckResult::kNotSigned},
      {TestImage({.other_key = true}), CheckResult::kWrongKey},
      {TestImage({.hardware_id = "other"}), CheckResult::kWrongHardware},
      {TestImage({.security_counter = 1}), CheckResult::kBelowSecurityCounter},
      {TestImage({.load_address = 0x20003000}), CheckResult::kWrongPlace},
      {TestImage({.load_address = 0xfffffe00}), CheckResult::kWrongPlace},
      {TestImage({.flags = 0}), CheckResult::kWrongPlace},
      {TestImage({.flags = boot::kImageRamLoad | boot::kImageEncryptedAes128}), CheckResult::kUnsupported},
      {TestImage({.load_address = 0x08004000, .flags = boot::kImageRomFixed}), CheckResult::kWrongPlace},
  };
  for (const auto& [image, result] : wrong) {
    TestDevice device;
    device.PutImage(Slot::kA, Old());
    device.PutImage(Slot::kB, image);
    BootRecord record = OnTrial();
    record.security_counter = 2;
    device.SetRecord(record);
    const BootOutcome outcome = device.Boot();
    EXPECT_EQ(outcome.slot, Slot::kA) << CheckResultText(result);
    EXPECT_EQ(outcome.refused[1], result) << CheckResultText(outcome.refused[1]);
    EXPECT_FALSE(device.Record().IsBootable(Slot::kB));
  }
}

TEST(BootFlow, AnImageThatRunsInPlaceBootsFromItsOwnSlot) {
  TestDevice device;
  device.PutImage(Slot::kA, TestImage({.load_address = 0x08004000, .flags = boot::kImageRomFixed}));
  const BootOutcome outcome = device.Boot();
  EXPECT_EQ(outcome.slot, Slot::kA);
  EXPECT_EQ(outcome.vector_table, 0x08004200U);
}

TEST(BootFlow, AnyOneChangedByteOfAnImageIsFound) {
  const uint32_t hashed = mcu_image::ParseImage(New())->hashed_size;
  for (uint32_t at = 0; at < New().size(); at += at < 40 || at >= hashed ? 1 : 97) {
    TestDevice device;
    std::string image = New();
    image[at] = static_cast<char>(image[at] ^ 0x40);
    device.PutImage(Slot::kA, Old());
    device.PutImage(Slot::kB, image);
    device.SetRecord(OnTrial());
    EXPECT_EQ(device.Boot().slot, Slot::kA) << at;
  }
}

TEST(BootFlow, ADamagedConfirmedImageFallsBackToTheOtherConfirmedOne) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  device.PutImage(Slot::kB, New().substr(0, 100));
  BootRecord record;
  record.sequence = 1;
  record.active = Slot::kB;
  record.confirmed = 3;
  device.SetRecord(record);
  EXPECT_EQ(device.Boot().slot, Slot::kA);
  EXPECT_EQ(device.Record().active, Slot::kA);
}

TEST(BootFlow, OneBadReadCostsNothing) {
  for (const MemoryFlash::Disturbed how : {MemoryFlash::Disturbed::kFails, MemoryFlash::Disturbed::kLies}) {
    TestDevice device;
    device.PutImage(Slot::kA, Old());
    device.PutImage(Slot::kB, New());
    BootRecord record = OnTrial();
    ASSERT_EQ(Confirm(record, Slot::kB), boot::ChangeResult::kDone);
    device.SetRecord(record);
    // Only the copy to RAM reads this byte.
    device.flash().DisturbReads(how, kTestLayout.slot_b + 2000, 1, 1);
    EXPECT_EQ(device.Boot().slot, Slot::kB);
    EXPECT_EQ(device.Record().active, Slot::kB);
    EXPECT_TRUE(device.Record().IsBootable(Slot::kB));
  }
}

TEST(BootFlow, AConfirmedSlotThatCannotBeReadIsPassedOverInThisBootOnly) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  device.PutImage(Slot::kB, New());
  BootRecord record = OnTrial();
  ASSERT_EQ(Confirm(record, Slot::kB), boot::ChangeResult::kDone);
  record.last_chosen = Slot::kB;
  device.SetRecord(record);
  device.flash().DisturbReads(MemoryFlash::Disturbed::kFails, kTestLayout.slot_b, kTestLayout.slot_size, 1000);
  const BootOutcome outcome = device.Boot();
  EXPECT_EQ(outcome.slot, Slot::kA);
  EXPECT_EQ(outcome.refused[1], CheckResult::kReadFailed);
  EXPECT_EQ(device.flash().operations(), 0U) << "nothing is written";
  device.flash().DisturbReads(MemoryFlash::Disturbed::kFails, 0, 0, 0);
  EXPECT_EQ(device.Boot().slot, Slot::kB);
}

TEST(BootFlow, ATrialThatCannotBeReadHasUsedOneAttempt) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  device.PutImage(Slot::kB, New());
  device.SetRecord(OnTrial());
  device.flash().DisturbReads(MemoryFlash::Disturbed::kFails, kTestLayout.slot_b, kTestLayout.slot_size, 1000);
  EXPECT_EQ(device.Boot().slot, Slot::kA);
  EXPECT_EQ(device.Record().trial, Slot::kB);
  EXPECT_EQ(device.Record().attempts_left, 2);
  device.flash().DisturbReads(MemoryFlash::Disturbed::kFails, 0, 0, 0);
  EXPECT_EQ(device.Boot().slot, Slot::kB);
}

TEST(BootFlow, TheOnlySlotThatCannotBeReadIsRecoveryAndBootsWhenItCan) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  device.flash().DisturbReads(MemoryFlash::Disturbed::kFails, kTestLayout.slot_a, kTestLayout.slot_size, 1000);
  EXPECT_EQ(device.Boot().slot, Slot::kNone);
  device.flash().DisturbReads(MemoryFlash::Disturbed::kFails, 0, 0, 0);
  EXPECT_TRUE(HasSomethingToBoot({.state = boot::RecordState::kValid, .record = device.Record()}));
  EXPECT_EQ(device.Boot().slot, Slot::kA);
}

TEST(RecoveryExit, WaitsLongerEachTimeAndHasAnEnd) {
  uint32_t minutes = 0;
  for (uint32_t exits = 0; exits < kMaxRecoveryExits; ++exits) {
    // The clock wraps meanwhile.
    const uint32_t start = UINT32_MAX - 1000;
    RecoveryExit exit(exits, start);
    const uint32_t wait = kFirstRecoverySilenceMs << exits;
    EXPECT_FALSE(exit.IsDue(start + wait - 1));
    EXPECT_TRUE(exit.IsDue(start + wait));
    exit.Heard(start + wait);
    EXPECT_FALSE(exit.IsDue(start + wait + 1));
    minutes += wait / 60000;
  }
  EXPECT_EQ(minutes, 510U);
  EXPECT_FALSE(RecoveryExit(kMaxRecoveryExits, 0).IsDue(UINT32_MAX));
}

TEST(RecoveryExit, OnlyWhenThereIsSomethingToBoot) {
  boot::LoadedRecord loaded{.state = boot::RecordState::kValid, .record = {}, .copy = 0};
  EXPECT_TRUE(HasSomethingToBoot(loaded));
  loaded.record.unbootable = boot::Bit(Slot::kA);
  EXPECT_FALSE(HasSomethingToBoot(loaded)) << "an upload has begun";
  loaded = {.state = boot::RecordState::kLost, .record = {}, .copy = 0};
  EXPECT_FALSE(HasSomethingToBoot(loaded));
}

TEST(BootFlow, ALostRecordIsRecoveryEvenWithGoodSlots) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  device.flash().bytes()[5] = 'x';
  const BootOutcome outcome = device.Boot();
  EXPECT_EQ(outcome.slot, Slot::kNone);
  EXPECT_EQ(outcome.reason, BootReason::kRecordLost);
}

TEST(BootFlow, WornOutFlashStillBootsTheConfirmedImageAndNoTrial) {
  TestDevice device;
  device.PutImage(Slot::kA, Old());
  device.PutImage(Slot::kB, New());
  device.SetRecord(OnTrial());
  device.flash().WearOut(true);
  const BootOutcome outcome = device.Boot();
  EXPECT_EQ(outcome.slot, Slot::kA);
  EXPECT_TRUE(outcome.flash_failed);
}

// One whole update as a client drives it; each step is done again after a loss of power, as clients do. Ends early when
// the power goes.
void Update(TestDevice& device) {
  device.Boot();
  if (!device.flash().powered()) return;
  const auto running = [&](const std::string& image) {
    const nlohmann::json state = device.Request(kRead, 1, 0);
    for (const auto& slot : state["images"]) {
      if (slot["active"] == true) return slot["hash"] == Binary(HashOfImage(image));
    }
    return false;
  };
  if (!running(New())) {
    device.Upload(New(), 900);
    if (!device.flash().powered()) return;
    device.Test(New());
    if (!device.flash().powered()) return;
    device.Boot();
    if (!device.flash().powered()) return;
  }
  if (running(New())) device.Confirm();
}

TEST(BootFlow, APowerCutInAnyFlashOperationOfAnUpdateLeavesADeviceThatBootsAndCanBeUpdated) {
  uint64_t cuts = 0;
  for (const double done : {0.0, 0.3, 0.99, 1.0}) {
    for (uint64_t at = 0;; ++at) {
      TestDevice device;
      device.PutImage(Slot::kA, Old());
      device.flash().CutAfter(at, done);
      Update(device);
      const bool was_cut = !device.flash().powered();
      device.flash().PowerOn();
      const BootOutcome outcome = device.Boot();
      ASSERT_NE(outcome.slot, Slot::kNone) << at << " " << done;
      // At most three more: attempts may have been used up.
      for (int again = 0; again < 3 && device.Record().active != Slot::kB; ++again) Update(device);
      ASSERT_EQ(device.Record().active, Slot::kB) << at << " " << done;
      ASSERT_EQ(device.Boot().slot, Slot::kB);
      if (!was_cut) break;
      ++cuts;
    }
  }
  std::cout << cuts << " power cuts\n";
  EXPECT_GT(cuts, 60U);
}

}  // namespace
}  // namespace tandem::mcu
