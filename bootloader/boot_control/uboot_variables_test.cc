#include "bootloader/boot_control/uboot_variables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bootloader/core/slot_policy.h"
#include "tests/golden/golden.h"

namespace tandem::boot {
namespace {

using ::testing::HasSubstr;

TEST(UbootVariablesTest, NoVariablesAreTheFactorysRecord) { EXPECT_EQ(RecordFromVariables({}).value(), BootRecord()); }

TEST(UbootVariablesTest, ATrialIsReadAsRaucWouldBootIt) {
  BootRecord record;
  ASSERT_EQ(SetTrial(record, Slot::kB, 2), ChangeResult::kDone);
  const Variables variables = VariablesFromRecord(record);
  EXPECT_EQ(variables, (Variables{{"BOOT_ORDER", "B A"},
                                  {"BOOT_A_LEFT", "3"},
                                  {"BOOT_B_LEFT", "2"},
                                  {"tandem_trial", "B"},
                                  {"tandem_confirmed", "A"},
                                  {"tandem_security", "0"},
                                  {"tandem_state", "1"}}));
}

// Every record that changes of any kind can lead to.
TEST(UbootVariablesTest, EveryRecordComesBack) {
  int records = 0;
  for (const Slot active : {Slot::kA, Slot::kB}) {
    for (const bool on_trial : {false, true}) {
      for (uint8_t attempts = 0; attempts <= (on_trial ? kMaxAttempts : 0); ++attempts) {
        for (const uint8_t confirmed : {Bit(active), uint8_t{3}}) {
          for (uint8_t unbootable = 0; unbootable <= 3; ++unbootable) {
            BootRecord record{.active = active, .attempts_left = attempts, .confirmed = confirmed};
            record.unbootable = unbootable;
            record.security_counter = 0xffffffff;
            if (on_trial) record.trial = Other(active);
            // What is on trial is bootable.
            if (on_trial && !record.IsBootable(record.trial)) continue;
            const auto back = RecordFromVariables(VariablesFromRecord(record));
            ASSERT_TRUE(back.ok()) << back.status();
            ASSERT_EQ(*back, record);
            ++records;
          }
        }
      }
    }
  }
  EXPECT_EQ(records, 2 * 2 * (4 + 10 * 2));
}

TEST(UbootVariablesTest, EncodesTheGoldenEnvironment) {
  BootRecord record;
  ASSERT_EQ(SetTrial(record, Slot::kB, 2), ChangeResult::kDone);
  ASSERT_EQ(RaiseSecurityCounter(record, 7), ChangeResult::kDone);
  EXPECT_EQ(EncodeEnvironment(VariablesFromRecord(record), /*flags=*/1, 256), GoldenBytes("uboot_environment.hex"));
}

TEST(UbootVariablesTest, ASlotThatAnotherToolTookOutOfTheOrderIsUnbootable) {
  const BootRecord record = RecordFromVariables({{"BOOT_ORDER", "B"}}).value();
  EXPECT_EQ(record.active, Slot::kB);
  EXPECT_FALSE(record.IsBootable(Slot::kA));
}

TEST(UbootVariablesTest, WhatCannotBeUnderstoodIsNamedWithTheFix) {
  const std::pair<Variables, std::string> kCases[] = {
      {{{"BOOT_ORDER", " "}}, "fw_setenv BOOT_ORDER 'A B'"},
      {{{"BOOT_ORDER", "A C"}}, "BOOT_ORDER is \"A C\""},
      {{{"BOOT_ORDER", "A A"}}, "BOOT_ORDER is \"A A\""},
      {{{"BOOT_B_LEFT", "10"}}, "BOOT_B_LEFT is \"10\", and must be 0 to 9"},
      {{{"BOOT_A_LEFT", "a"}}, "BOOT_A_LEFT"},
      {{{"tandem_trial", "X"}}, "tandem_trial"},
      {{{"tandem_confirmed", "A B C"}}, "tandem_confirmed"},
      {{{"tandem_security", "-1"}}, "tandem_security"},
  };
  for (const auto& [variables, says] : kCases) {
    const absl::Status status = RecordFromVariables(variables).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(says));
  }
}

}  // namespace
}  // namespace tandem::boot
