#include "bootloader/core/slot_policy.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

namespace tandem::boot {
namespace {

LoadedRecord Valid(const BootRecord& record) { return {RecordState::kValid, record, 0}; }

// Every record that Decode() can give, but for sequence, counter and reserved bytes.
void ForEachRecord(const std::function<void(const BootRecord&)>& visit) {
  for (const Slot active : {Slot::kA, Slot::kB}) {
    for (const Slot trial : {Slot::kNone, Slot::kA, Slot::kB}) {
      for (uint8_t attempts = 0; attempts <= kMaxAttempts; ++attempts) {
        for (uint8_t confirmed = 0; confirmed <= 3; ++confirmed) {
          for (uint8_t unbootable = 0; unbootable <= 3; ++unbootable) {
            for (const Slot last : {Slot::kNone, Slot::kA, Slot::kB}) {
              visit({.sequence = 41,
                     .active = active,
                     .trial = trial,
                     .attempts_left = attempts,
                     .confirmed = confirmed,
                     .unbootable = unbootable,
                     .last_chosen = last,
                     .security_counter = 9});
            }
          }
        }
      }
    }
  }
}

TEST(SlotPolicyTest, EveryRecordIsDecidedSafely) {
  std::set<BootReason> reasons;
  ForEachRecord([&](const BootRecord& record) {
    const Decision decision = Decide(Valid(record));
    reasons.insert(decision.reason);
    // Never an unbootable slot.
    if (decision.slot != Slot::kNone) {
      ASSERT_TRUE(record.IsBootable(decision.slot));
    }
    // Only trial boots are counted, and each is.
    const bool counted = decision.record.attempts_left != record.attempts_left && decision.record.trial != Slot::kNone;
    ASSERT_EQ(counted, decision.reason == BootReason::kTrial);
    if (counted) {
      ASSERT_EQ(decision.slot, record.trial);
      ASSERT_EQ(decision.record.attempts_left + 1, record.attempts_left);
      ASSERT_TRUE(decision.write);
    }
    // A unit whose active slot is bootable never ends in recovery.
    if (record.IsBootable(record.active)) {
      ASSERT_NE(decision.slot, Slot::kNone);
    }
    // Without a trial boot, only what is active or confirmed is booted.
    if (decision.reason != BootReason::kTrial && decision.slot != Slot::kNone) {
      ASSERT_TRUE(decision.slot == record.active || record.IsConfirmed(decision.slot));
    }
    // The decision changes nothing but what it must, and a record that is not written is not changed.
    ASSERT_EQ(decision.record.security_counter, record.security_counter);
    ASSERT_EQ(decision.record.unbootable, record.unbootable);
    ASSERT_EQ(decision.record.confirmed, record.confirmed);
    if (decision.reason != BootReason::kActiveUnbootable) {
      ASSERT_EQ(decision.record.trial, record.trial);
      ASSERT_EQ(decision.record.active, record.active);
    }
    if (decision.write) {
      ASSERT_EQ(decision.record.sequence, record.sequence + 1);
    } else {
      ASSERT_EQ(decision.record, record);
    }
  });
  EXPECT_EQ(reasons.size(), 5) << "every row but the lost record's decides somewhere";
}

TEST(SlotPolicyTest, EveryRecordComesToRestWithinItsAttempts) {
  ForEachRecord([](const BootRecord& record) {
    LoadedRecord loaded = Valid(record);
    int trials = 0;
    for (int boot = 0; boot < kMaxAttempts + 3; ++boot) {
      const Decision decision = Decide(loaded);
      trials += decision.reason == BootReason::kTrial ? 1 : 0;
      loaded.record = decision.record;
    }
    ASSERT_LE(trials, record.attempts_left);
    // At rest nothing is written any more, so a boot loop does not wear the flash out.
    ASSERT_FALSE(Decide(loaded).write);
  });
}

TEST(SlotPolicyTest, ATrialIsBootedItsTimesThenTheConfirmedSlotIsBack) {
  BootRecord record;
  ASSERT_EQ(SetTrial(record, Slot::kB, 2), ChangeResult::kDone);
  std::string booted;
  for (int boot = 0; boot < 4; ++boot) {
    const Decision decision = Decide(Valid(record));
    booted += SlotName(decision.slot);
    record = decision.record;
  }
  EXPECT_EQ(booted, "BBAA");
  EXPECT_EQ(Decide(Valid(record)).reason, BootReason::kTrialFailed) << "the running system can see why";
}

TEST(SlotPolicyTest, AConfirmedSlotIsBootedForEver) {
  BootRecord record;
  SetTrial(record, Slot::kB, 1);
  record = Decide(Valid(record)).record;
  ASSERT_EQ(Confirm(record, Slot::kB), ChangeResult::kDone);
  for (int boot = 0; boot < 20; ++boot) {
    const Decision decision = Decide(Valid(record));
    ASSERT_EQ(decision.slot, Slot::kB);
    record = decision.record;
  }
}

TEST(SlotPolicyTest, ABlankRecordBootsAAndIsWritten) {
  const Decision decision = Decide({RecordState::kBlank, BootRecord(), 1});
  EXPECT_EQ(decision.slot, Slot::kA);
  EXPECT_TRUE(decision.write);
}

TEST(SlotPolicyTest, ALostRecordIsNotGuessedNorOverwritten) {
  const Decision decision = Decide({RecordState::kLost, BootRecord(), 1});
  EXPECT_EQ(decision.slot, Slot::kNone);
  EXPECT_EQ(decision.reason, BootReason::kRecordLost);
  EXPECT_FALSE(decision.write);
}

TEST(SlotPolicyTest, BothSlotsBadIsRecovery) {
  const Decision decision = Decide(Valid({.confirmed = 0, .unbootable = 3}));
  EXPECT_EQ(decision.slot, Slot::kNone);
  EXPECT_EQ(decision.reason, BootReason::kNothingBootable);
}

TEST(SlotPolicyTest, TheLastRowOfTheTableAlwaysMatches) {
  const auto table = PolicyTable();
  ForEachRecord([&](const BootRecord& record) { ASSERT_TRUE(table.back().matches(Valid(record))); });
  for (const PolicyRow& row : table) EXPECT_NE(std::string(row.when), "");
}

TEST(SlotChangesTest, NoChangeOfAnyRecordLeavesAUnitWithoutABootableSlot) {
  const std::function<ChangeResult(BootRecord&)> kChanges[] = {
      [](BootRecord& record) { return MarkUnbootable(record, Slot::kA); },
      [](BootRecord& record) { return MarkUnbootable(record, Slot::kB); },
      [](BootRecord& record) { return SetTrial(record, Slot::kA, 3); },
      [](BootRecord& record) { return SetTrial(record, Slot::kB, 3); },
      [](BootRecord& record) { return RearmAttempts(record, Slot::kA, 3); },
      [](BootRecord& record) { return RearmAttempts(record, Slot::kB, 3); },
      [](BootRecord& record) { return Confirm(record, Slot::kA); },
      [](BootRecord& record) { return Confirm(record, Slot::kB); },
      [](BootRecord& record) { return CancelTrial(record); },
      [](BootRecord& record) { return RaiseSecurityCounter(record, 5); },
  };
  ForEachRecord([&](const BootRecord& record) {
    // Only what a unit can come to: the active slot is good, and a trial is never of the active slot.
    if (!record.IsBootable(record.active) || record.trial == record.active) return;
    for (const auto& change : kChanges) {
      BootRecord changed = record;
      const ChangeResult result = change(changed);
      if (result != ChangeResult::kDone) {
        ASSERT_EQ(changed, record) << "a refused change changes nothing";
      }
      ASSERT_TRUE(changed.IsBootable(changed.active));
      ASSERT_NE(changed.trial, changed.active);
      ASSERT_GE(changed.security_counter, record.security_counter);
      // Done twice is done once, so it may be repeated after a crash.
      BootRecord again = changed;
      if (result == ChangeResult::kDone && change(again) == ChangeResult::kDone) {
        ASSERT_EQ(again, changed);
      }
      ASSERT_NE(Decide(Valid(changed)).slot, Slot::kNone);
    }
  });
}

TEST(SlotChangesTest, TheOtherConfirmedSlotBecomesTheActiveOne) {
  BootRecord record;
  record.confirmed = 3;
  record.unbootable = Bit(record.active);
  const Slot other = Other(record.active);
  const Decision decision = Decide(Valid(record));
  EXPECT_EQ(decision.slot, other);
  EXPECT_EQ(decision.record.active, other);
  EXPECT_TRUE(decision.write);
}

TEST(SlotChangesTest, TheOnlyGoodSlotCannotBeMarkedUnbootable) {
  BootRecord record;
  EXPECT_EQ(MarkUnbootable(record, Slot::kA), ChangeResult::kOnlyGoodSlot);
  record.confirmed = 3;
  EXPECT_EQ(MarkUnbootable(record, Slot::kA), ChangeResult::kDone);
  EXPECT_EQ(record.active, Slot::kB);
  EXPECT_EQ(MarkUnbootable(record, Slot::kB), ChangeResult::kOnlyGoodSlot);
}

TEST(SlotChangesTest, MarkedSlotIsNotBootedUntilItsNextTrial) {
  BootRecord record;
  SetTrial(record, Slot::kB, 3);
  ASSERT_EQ(MarkUnbootable(record, Slot::kB), ChangeResult::kDone);
  EXPECT_EQ(record.trial, Slot::kNone);
  EXPECT_EQ(Decide(Valid(record)).slot, Slot::kA);
  ASSERT_EQ(SetTrial(record, Slot::kB, 3), ChangeResult::kDone);
  EXPECT_EQ(Decide(Valid(record)).slot, Slot::kB);
}

TEST(SlotChangesTest, RefusesWhatMakesNoSense) {
  BootRecord record;
  EXPECT_EQ(SetTrial(record, Slot::kA, 3), ChangeResult::kIsActive);
  EXPECT_EQ(SetTrial(record, Slot::kB, 0), ChangeResult::kAttemptsOutOfRange);
  EXPECT_EQ(SetTrial(record, Slot::kB, 10), ChangeResult::kAttemptsOutOfRange);
  EXPECT_EQ(SetTrial(record, Slot::kNone, 3), ChangeResult::kNoSuchSlot);
  EXPECT_EQ(RearmAttempts(record, Slot::kB, 3), ChangeResult::kNotOnTrial);
  EXPECT_EQ(Confirm(record, Slot::kB), ChangeResult::kNotOnTrial);
  EXPECT_EQ(MarkUnbootable(record, Slot::kNone), ChangeResult::kNoSuchSlot);
  EXPECT_EQ(record, BootRecord());
}

}  // namespace
}  // namespace tandem::boot
