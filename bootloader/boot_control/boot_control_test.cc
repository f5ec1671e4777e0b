// What every BootControl must do, run over each of them; then what only the record's one must do.
#include "bootloader/boot_control/boot_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "bootloader/boot_control/fake_boot_control.h"
#include "bootloader/boot_control/fake_boot_partition_selector.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "bootloader/boot_control/uboot_test_environment.h"
#include "bootloader/core/slot_policy.h"
#include "common/storage/fake_file_system.h"

namespace tandem::boot {
namespace {

using ::testing::HasSubstr;

constexpr char kPath[] = "/dev/boot";

// A BootControl with the bootloader that belongs to it.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual BootControl& control() = 0;
  // A reset: the slot that is booted.
  virtual Slot Reset() = 0;
};

class RecordSubject : public Subject {
 public:
  RecordSubject() {
    fs_.PutDevice(kPath, 8192);
    EXPECT_TRUE(BootRecordStore(fs_, kPath).Create({}).ok());
  }
  BootControl& control() override { return control_; }
  Slot Reset() override {
    BootRecordStore store(fs_, kPath);
    const LoadedRecord loaded = store.Load().value();
    const Decision decision = Decide(loaded);
    if (decision.write) {
      EXPECT_TRUE(store.Save(loaded, decision.record).ok());
    }
    return decision.slot;
  }

 private:
  FakeFileSystem fs_;
  RecordBootControl control_{fs_, kPath};
};

class FakeSubject : public Subject {
 public:
  BootControl& control() override { return control_; }
  Slot Reset() override { return control_.Boot().slot; }

 private:
  FakeBootControl control_;
};

class UbootSubject : public Subject {
 public:
  BootControl& control() override { return control_; }
  Slot Reset() override { return control_.Reset(); }

 private:
  // What bootloader/uboot/policy.cmd does.
  class Control : public UbootBootControl {
   public:
    using UbootBootControl::UbootBootControl;

    Slot Reset() {
      Slot booted = Slot::kNone;
      EXPECT_TRUE(ChangeRecord([&](BootRecord& record) {
                    const Decision decision = Decide({RecordState::kValid, record, 0});
                    booted = decision.slot;
                    const BootRecord before = record;
                    record = decision.record;
                    // Not kept in the environment.
                    record.sequence = before.sequence;
                    record.last_chosen = before.last_chosen;
                    return absl::OkStatus();
                  }).ok());
      return booted;
    }
  };

  UbootTestEnvironment environment_;
  Control control_{FileSystem::Real(), environment_.config()};
};

// The ROM boots what the eMMC is configured for, and counts nothing: the counting is the supervisor's, which switches
// back as the slot policy would.
class MmcSubject : public Subject {
 public:
  MmcSubject() { fs_.Put("/data/keep", ""); }
  BootControl& control() override { return control_; }
  Slot Reset() override { return control_.Reset(mmc_); }

 private:
  class Control : public MmcBootControl {
   public:
    using MmcBootControl::MmcBootControl;

    Slot Reset(FakeMmc& mmc) {
      Slot booted = Slot::kNone;
      EXPECT_TRUE(ChangeRecord([&](BootRecord& record) {
                    const Decision decision = Decide({RecordState::kValid, record, 0});
                    booted = decision.slot;
                    record = decision.record;
                    return absl::OkStatus();
                  }).ok());
      mmc.selected = booted;
      return booted;
    }
  };

  FakeFileSystem fs_;
  FakeMmc mmc_;
  Control control_{fs_, "/data/state.rec", std::make_unique<FakeBootPartitionSelector>(mmc_)};
};

struct Kind {
  const char* name;
  std::unique_ptr<Subject> (*make)();
};

class BootControlConformanceTest : public testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<Subject> subject_ = GetParam().make();
  BootControl& control_ = subject_->control();
};

TEST_P(BootControlConformanceTest, StartsWithAConfirmed) {
  const BootState state = control_.Read().value();
  EXPECT_EQ(state, BootState());
  EXPECT_EQ(subject_->Reset(), Slot::kA);
}

TEST_P(BootControlConformanceTest, AGoodUpdateEndsOnTheNewSlot) {
  ASSERT_TRUE(control_.MarkUnbootable(Slot::kB).ok());
  EXPECT_TRUE(control_.Read()->b_unbootable);
  EXPECT_EQ(subject_->Reset(), Slot::kA) << "half-written";
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 3).ok());
  EXPECT_FALSE(control_.Read()->b_unbootable);
  EXPECT_EQ(subject_->Reset(), Slot::kB);
  EXPECT_EQ(control_.Read()->attempts_left, 2);
  EXPECT_EQ(control_.Read()->trial, Slot::kB);
  EXPECT_EQ(control_.Read()->confirmed, Slot::kA);
  ASSERT_TRUE(control_.RearmAttempts(Slot::kB, 3).ok());
  EXPECT_EQ(control_.Read()->attempts_left, 3);
  ASSERT_TRUE(control_.Confirm(Slot::kB).ok());
  ASSERT_TRUE(control_.Confirm(Slot::kB).ok()) << "may be made again";
  EXPECT_EQ(control_.Read().value(), BootState{.confirmed = Slot::kB});
  for (int boot = 0; boot < 5; ++boot) EXPECT_EQ(subject_->Reset(), Slot::kB);
}

TEST_P(BootControlConformanceTest, ABadUpdateFallsBackAndShowsIt) {
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 2).ok());
  EXPECT_EQ(subject_->Reset(), Slot::kB);
  EXPECT_EQ(subject_->Reset(), Slot::kB);
  EXPECT_EQ(subject_->Reset(), Slot::kA);
  EXPECT_EQ(control_.Read()->trial, Slot::kB);
  EXPECT_EQ(control_.Read()->attempts_left, 0);
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 1).ok()) << "may be armed again";
  EXPECT_EQ(subject_->Reset(), Slot::kB);
}

TEST_P(BootControlConformanceTest, ACancelledTrialIsNotBooted) {
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 3).ok());
  EXPECT_EQ(subject_->Reset(), Slot::kB);
  ASSERT_TRUE(control_.CancelTrial().ok());
  ASSERT_TRUE(control_.CancelTrial().ok());
  EXPECT_EQ(subject_->Reset(), Slot::kA);
  EXPECT_EQ(control_.Read()->trial, std::nullopt);
}

TEST_P(BootControlConformanceTest, RefusesWhatWouldBrickTheUnit) {
  const BootState before = control_.Read().value();
  EXPECT_TRUE(absl::IsFailedPrecondition(control_.MarkUnbootable(Slot::kA)));
  EXPECT_TRUE(absl::IsFailedPrecondition(control_.SetTrial(Slot::kA, 3)));
  EXPECT_TRUE(absl::IsFailedPrecondition(control_.Confirm(Slot::kB)));
  EXPECT_TRUE(absl::IsFailedPrecondition(control_.RearmAttempts(Slot::kB, 3)));
  EXPECT_TRUE(absl::IsInvalidArgument(control_.SetTrial(Slot::kB, 0)));
  EXPECT_TRUE(absl::IsInvalidArgument(control_.SetTrial(Slot::kB, 10)));
  EXPECT_TRUE(absl::IsInvalidArgument(control_.SetTrial(Slot::kB, 257)));
  EXPECT_EQ(control_.Read().value(), before);
}

TEST_P(BootControlConformanceTest, MarkingTheSlotOnTrialEndsItsTrial) {
  ASSERT_TRUE(control_.SetTrial(Slot::kB, 3).ok());
  ASSERT_TRUE(control_.MarkUnbootable(Slot::kB).ok());
  EXPECT_EQ(control_.Read()->trial, std::nullopt);
  EXPECT_EQ(subject_->Reset(), Slot::kA);
}

TEST_P(BootControlConformanceTest, TheSecurityCounterNeverFalls) {
  ASSERT_TRUE(control_.RaiseSecurityCounter(5).ok());
  ASSERT_TRUE(control_.RaiseSecurityCounter(3).ok());
  EXPECT_EQ(control_.Read()->security_counter, 5);
}

INSTANTIATE_TEST_SUITE_P(
    All, BootControlConformanceTest,
    testing::Values(Kind{"Record", []() -> std::unique_ptr<Subject> { return std::make_unique<RecordSubject>(); }},
                    Kind{"Mmc", []() -> std::unique_ptr<Subject> { return std::make_unique<MmcSubject>(); }},
                    Kind{"Uboot", []() -> std::unique_ptr<Subject> { return std::make_unique<UbootSubject>(); }},
                    Kind{"Fake", []() -> std::unique_ptr<Subject> { return std::make_unique<FakeSubject>(); }}),
    [](const auto& tested) { return tested.param.name; });

TEST(RecordBootControlTest, PowerCutAtAnyCallLeavesTheStateBeforeOrAfter) {
  int before_seen = 0;
  int after_seen = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    for (uint64_t call = 1;; ++call) {
      FakeFileSystem fs;
      fs.PutDevice(kPath, 8192);
      ASSERT_TRUE(BootRecordStore(fs, kPath).Create({}).ok());
      RecordBootControl control(fs, kPath);
      ASSERT_TRUE(control.MarkUnbootable(Slot::kB).ok());
      const BootState before = control.Read().value();
      fs.CutPowerAtCall(call, seed * 100 + call);
      const absl::Status status = control.SetTrial(Slot::kB, 3);
      const bool cut = fs.power_lost();
      ASSERT_EQ(status.ok(), !cut);
      fs.PowerCut(seed);
      fs.Reboot();
      const auto state = control.Read();
      ASSERT_TRUE(state.ok()) << state.status();
      const bool changed = state->trial == Slot::kB && state->attempts_left == 3 && !state->b_unbootable;
      ASSERT_TRUE(changed || (cut && *state == before));
      ++(changed ? after_seen : before_seen);
      if (!cut) break;
    }
  }
  EXPECT_GT(before_seen, 0);
  EXPECT_GT(after_seen, 0);
}

TEST(RecordBootControlTest, OneDamagedCopyIsMendedByTheNextWrites) {
  FakeFileSystem fs;
  fs.PutDevice(kPath, 8192);
  ASSERT_TRUE(BootRecordStore(fs, kPath).Create({}).ok());
  RecordBootControl control(fs, kPath);
  ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
  fs.Damage(kPath, 20, "\xff\xff");
  fs.Damage(kPath, 4096 + 2000, "other data");
  EXPECT_TRUE(control.Read().ok());
  ASSERT_TRUE(control.RearmAttempts(Slot::kB, 2).ok());
  fs.Damage(kPath, 4096 + 20, "\xff\xff");
  EXPECT_EQ(control.Read()->attempts_left, 2);
}

TEST(RecordBootControlTest, ALostRecordIsDataLossAndIsNotOverwritten) {
  FakeFileSystem fs;
  fs.Put(kPath, std::string(8192, 'x'));
  RecordBootControl control(fs, kPath);
  EXPECT_TRUE(absl::IsDataLoss(control.Read().status()));
  EXPECT_TRUE(absl::IsDataLoss(control.SetTrial(Slot::kB, 3)));
  EXPECT_EQ(fs.ReadFile(kPath).value(), std::string(8192, 'x'));
}

TEST(RecordBootControlTest, ABlankPartitionIsTheFactorysState) {
  FakeFileSystem fs;
  fs.PutDevice(kPath, 8192);
  RecordBootControl control(fs, kPath);
  EXPECT_EQ(control.Read().value(), BootState());
  ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
  EXPECT_EQ(control.Read()->trial, Slot::kB);
}

TEST(RecordBootControlTest, AMissingRecordSaysWhere) {
  FakeFileSystem fs;
  RecordBootControl control(fs, "/none");
  EXPECT_TRUE(absl::IsNotFound(control.Read().status()));
  EXPECT_THAT(std::string(control.Read().status().message()), HasSubstr("/none"));
}

TEST(RecordBootControlTest, AChangeThatChangesNothingWritesNothing) {
  FakeFileSystem fs;
  fs.PutDevice(kPath, 8192);
  ASSERT_TRUE(BootRecordStore(fs, kPath).Create({}).ok());
  RecordBootControl control(fs, kPath);
  const uint64_t before = fs.calls();
  ASSERT_TRUE(control.CancelTrial().ok());
  ASSERT_TRUE(control.Confirm(Slot::kA).ok());
  EXPECT_EQ(fs.calls(), before);
}

}  // namespace
}  // namespace tandem::boot
