#include "um-plugins/slots/slot_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "common/crypto/sha256.h"
#include "common/net/fake_http_fetcher.h"
#include "common/status/status.h"
#include "common/storage/fake_file_system.h"
#include "um/fake_cm.h"
#include "um/fake_operation.h"

namespace tandem::plugins {
namespace {

using ::testing::HasSubstr;

constexpr char kUrl[] = "http://cm/rootfs";
constexpr size_t kSlotSize = 64 << 10;

std::string Image(char fill, size_t size = 50'000) { return std::string(size, fill); }

// A computer with two slots, whose power can be cut: disk, bootloader, and a process with the plugin.
class Computer {
 public:
  Computer() {
    fs_.PutDevice("/dev/a", kSlotSize);
    fs_.Damage("/dev/a", 0, Image('1'));
    fs_.PutDevice("/dev/b", kSlotSize);
    fs_.PutDevice("/dev/boot", 8192);
    EXPECT_TRUE(boot::BootRecordStore(fs_, "/dev/boot").Create({}).ok());
    fs_.Put("/state/keep", "");
    fetcher_.Serve(kUrl, Image('2'));
    fs_.SetObserver([this](std::string_view call, const std::string& path) {
      if (call == "write" && path == (running_ == boot::Slot::kA ? "/dev/a" : "/dev/b")) wrote_running_ = true;
    });
    Boot();
  }
  ~Computer() { EXPECT_FALSE(wrote_running_) << "the running slot was written"; }

  // A reset: the bootloader decides, the process starts.
  void Boot() {
    fs_.Reboot();
    boot::BootRecordStore store(fs_, "/dev/boot");
    const boot::LoadedRecord loaded = store.Load().value();
    const boot::Decision decision = boot::Decide(loaded);
    ASSERT_NE(decision.slot, boot::Slot::kNone) << "the unit does not boot";
    if (decision.write) {
      ASSERT_TRUE(store.Save(loaded, decision.record).ok());
    }
    running_ = decision.slot;
    fs_.Put("/proc/cmdline", absl::StrCat("quiet tandem.slot=", boot::SlotName(running_), " rw\n"));
    fs_.Put("/proc/boot_id", absl::StrCat("boot-", ++boots_, "\n"));
    RestartProcess();
  }

  void RestartProcess() {
    reboot_asked_ = false;
    const SlotPluginOptions options{.component_id = "rootfs",
                                    .component_type = "gateway-os",
                                    .state_dir = "/state",
                                    .slot_a = "/dev/a",
                                    .slot_b = "/dev/b",
                                    .cmdline_file = "/proc/cmdline",
                                    .slot_keys = {"tandem.slot=", "rauc.slot="},
                                    .boot_id_file = "/proc/boot_id",
                                    .version_file = version_file_,
                                    .factory_version = "1.0",
                                    .verify_before_confirm = verify_before_confirm_,
                                    .artifact_tls = {}};
    plugin_ = std::make_unique<SlotPlugin>(SlotPlugin::Dependencies{.fs = fs_,
                                                                    .clock = clock_,
                                                                    .fetcher = fetcher_,
                                                                    .boot = control_,
                                                                    .reboot =
                                                                        [this] {
                                                                          reboot_asked_ = true;
                                                                          return absl::OkStatus();
                                                                        },
                                                                    .check = [this] { return check_; }},
                                           options);
  }

  um::Artifact NewVersion() const {
    return {.component_id = "rootfs",
            .component_type = "gateway-os",
            .version = "2.0",
            .urls = {kUrl},
            .sha256 = Sha256(Image('2')),
            .size = Image('2').size()};
  }

  std::string RunningBytes() {
    return fs_.ReadFile(running_ == boot::Slot::kA ? "/dev/a" : "/dev/b").value().substr(0, Image('1').size());
  }
  std::string Version() { return plugin_->Inventory().value()[0].version; }

  FakeFileSystem fs_;
  FakeHttpFetcher fetcher_;
  FakeClock clock_;
  boot::RecordBootControl control_{fs_, "/dev/boot"};
  um::FakeOperation operation_;
  absl::Status check_;
  std::string version_file_;
  bool verify_before_confirm_ = false;
  // Set by the thread that runs the plugin.
  std::atomic<bool> reboot_asked_ = false;
  bool wrote_running_ = false;
  boot::Slot running_ = boot::Slot::kNone;
  int boots_ = 0;
  std::unique_ptr<SlotPlugin> plugin_;
};

TEST(SlotPluginTest, AnUpdateEndsOnTheNewSlot) {
  Computer computer;
  SlotPlugin* plugin = computer.plugin_.get();
  EXPECT_TRUE(plugin->SwitchesBoot());
  EXPECT_EQ(computer.Version(), "1.0");
  ASSERT_TRUE(plugin->Prepare({computer.NewVersion()}, computer.operation_).ok());
  EXPECT_EQ(computer.operation_.done, Image('2').size());
  EXPECT_EQ(computer.Version(), "1.0");
  EXPECT_EQ(plugin->Start(computer.operation_).value(), um::StartResult::kNeedsReboot);
  EXPECT_EQ(plugin->CheckAfterReboot(computer.operation_).value(), um::RebootCheck::kNotYet);
  ASSERT_TRUE(plugin->Reboot().ok());
  EXPECT_TRUE(computer.reboot_asked_);

  computer.Boot();
  plugin = computer.plugin_.get();
  EXPECT_EQ(computer.running_, boot::Slot::kB);
  EXPECT_EQ(plugin->CheckAfterReboot(computer.operation_).value(), um::RebootCheck::kRunning);
  const um::SlotState slots = *plugin->Inventory().value()[0].slots;
  EXPECT_EQ(slots.running, "B");
  EXPECT_EQ(slots.confirmed, "A");
  EXPECT_EQ(slots.trial, "B");
  EXPECT_EQ(slots.attempts_left, kTrialAttempts) << "re-armed";
  EXPECT_EQ(computer.Version(), "2.0");
  ASSERT_TRUE(plugin->Apply(computer.operation_).ok());
  ASSERT_TRUE(plugin->Apply(computer.operation_).ok()) << "called again after a crash";
  EXPECT_EQ(plugin->Inventory().value()[0].slots->confirmed, "B");
  computer.Boot();
  EXPECT_EQ(computer.running_, boot::Slot::kB);
}

// One update from Prepare to Apply as the SDK drives it; its phase is what the SDK has made durable.
enum class Phase { kPrepare, kStart, kCheck, kApply, kDone };

absl::Status Step(Computer& computer, Phase& phase) {
  SlotPlugin& plugin = *computer.plugin_;
  switch (phase) {
    case Phase::kPrepare:
      RETURN_IF_ERROR(plugin.Prepare({computer.NewVersion()}, computer.operation_));
      phase = Phase::kStart;
      return absl::OkStatus();
    case Phase::kStart: {
      ASSIGN_OR_RETURN(const um::StartResult started, plugin.Start(computer.operation_));
      phase = started == um::StartResult::kRunning ? Phase::kApply : Phase::kCheck;
      if (phase == Phase::kCheck) computer.Boot();
      return absl::OkStatus();
    }
    case Phase::kCheck: {
      ASSIGN_OR_RETURN(const um::RebootCheck check, plugin.CheckAfterReboot(computer.operation_));
      if (check == um::RebootCheck::kNotYet) {
        computer.Boot();
      } else {
        phase = Phase::kApply;
      }
      return absl::OkStatus();
    }
    case Phase::kApply:
      RETURN_IF_ERROR(plugin.Apply(computer.operation_));
      phase = Phase::kDone;
      return absl::OkStatus();
    case Phase::kDone:
      break;
  }
  return absl::OkStatus();
}

TEST(SlotPluginTest, PowerCutAtEveryCallOfAnUpdateEndsOnTheNewSlotAllTheSame) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    for (uint64_t call = 1;; ++call) {
      Computer computer;
      Phase phase = Phase::kPrepare;
      // Counted through the reboots of the update itself; each restart clears the cut, so it is set again.
      const uint64_t cut_at = computer.fs_.calls() + call;
      bool cut = false;
      for (int steps = 0; phase != Phase::kDone; ++steps) {
        ASSERT_LT(steps, 20) << "call " << call;
        if (!cut && cut_at > computer.fs_.calls()) {
          computer.fs_.CutPowerAtCall(cut_at - computer.fs_.calls(), seed * 100'000 + call);
        }
        const absl::Status status = Step(computer, phase);
        if (computer.fs_.power_lost()) {
          cut = true;
          ASSERT_NO_FATAL_FAILURE(computer.Boot());
          ASSERT_EQ(computer.RunningBytes(), computer.running_ == boot::Slot::kA ? Image('1') : Image('2'));
          continue;
        }
        ASSERT_TRUE(status.ok()) << "call " << call << ": " << status;
      }
      ASSERT_NO_FATAL_FAILURE(computer.Boot());
      ASSERT_EQ(computer.running_, boot::Slot::kB);
      ASSERT_EQ(computer.RunningBytes(), Image('2'));
      ASSERT_EQ(computer.Version(), "2.0");
      // Not cut either: the bootloader made that call.
      if (!cut && cut_at > computer.fs_.calls()) break;
    }
  }
}

TEST(SlotPluginTest, PowerCutAtEveryCallOfAWholeUpdateWithItsUpdateManagerEndsAsCmDecided) {
  for (const um::FakeCm::Goal goal : {um::FakeCm::Goal::kCommit, um::FakeCm::Goal::kAbort}) {
    const bool commit = goal == um::FakeCm::Goal::kCommit;
    for (uint64_t seed = 0; seed < 3; ++seed) {
      for (uint64_t call = 1;; ++call) {
        Computer computer;
        um::Artifact artifact = computer.NewVersion();
        artifact.security_version = 7;
        um::FakeCm cm(goal, {artifact});
        const uint64_t cut_at = computer.fs_.calls() + call;
        bool cut = false;
        for (int steps = 0; !cm.done(); ++steps) {
          ASSERT_LT(steps, 40) << "call " << call;
          if (!cut && cut_at > computer.fs_.calls()) {
            computer.fs_.CutPowerAtCall(cut_at - computer.fs_.calls(), seed * 100'000 + call);
          }
          const auto interrupted = [&] { return computer.fs_.power_lost() || computer.reboot_asked_; };
          const absl::Status status = cm.Step(computer.fs_, *computer.plugin_, interrupted);
          ASSERT_TRUE(status.ok()) << "call " << call << ": " << status;
          if (!interrupted()) continue;
          cm.EndProcess();
          cut = cut || computer.fs_.power_lost();
          ASSERT_NO_FATAL_FAILURE(computer.Boot());
          ASSERT_EQ(computer.RunningBytes(), computer.running_ == boot::Slot::kA ? Image('1') : Image('2'));
        }
        cm.EndProcess();
        const bool ended = !cut && cut_at > computer.fs_.calls();
        ASSERT_NO_FATAL_FAILURE(computer.Boot());
        ASSERT_EQ(computer.running_, commit ? boot::Slot::kB : boot::Slot::kA);
        ASSERT_EQ(computer.Version(), commit ? "2.0" : "1.0");
        const boot::BootState state = computer.control_.Read().value();
        ASSERT_EQ(state.confirmed, computer.running_);
        ASSERT_EQ(state.trial, std::nullopt);
        ASSERT_EQ(state.security_counter, commit ? 7u : 0u);
        if (ended) break;
      }
    }
  }
}

TEST(SlotPluginTest, PowerCutAtEveryCallOfARevertEndsOnTheOldSlot) {
  // From after Prepare, after Start, and after the boot of the new slot.
  for (const Phase from : {Phase::kStart, Phase::kCheck, Phase::kApply}) {
    for (uint64_t call = 1;; ++call) {
      Computer computer;
      Phase phase = Phase::kPrepare;
      while (phase != from) ASSERT_TRUE(Step(computer, phase).ok());
      computer.fs_.CutPowerAtCall(call, call);
      bool cut = false;
      for (int steps = 0;; ++steps) {
        ASSERT_LT(steps, 10);
        const auto reverted = computer.plugin_->Revert(computer.operation_);
        if (computer.fs_.power_lost()) {
          cut = true;
          ASSERT_NO_FATAL_FAILURE(computer.Boot());
          continue;
        }
        ASSERT_TRUE(reverted.ok()) << reverted.status();
        if (*reverted == um::RevertResult::kReverted) break;
        const uint64_t left = call > 2 ? call - 2 : 0;
        ASSERT_NO_FATAL_FAILURE(computer.Boot());
        if (!cut && left > 0) computer.fs_.CutPowerAtCall(left, call);
      }
      ASSERT_EQ(computer.running_, boot::Slot::kA);
      ASSERT_EQ(computer.Version(), "1.0");
      const boot::BootState state = computer.control_.Read().value();
      ASSERT_EQ(state.confirmed, boot::Slot::kA);
      ASSERT_EQ(state.trial, std::nullopt);
      ASSERT_TRUE(state.b_unbootable);
      ASSERT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted) << "again";
      if (!cut) break;
    }
  }
}

TEST(SlotPluginTest, TheOtherSlotIsUnbootableBeforeItsFirstByte) {
  Computer computer;
  computer.fetcher_.SetObserver(
      [&](const std::string&, uint64_t) { EXPECT_TRUE(computer.control_.Read()->b_unbootable); });
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  EXPECT_TRUE(computer.control_.Read()->b_unbootable) << "until Start()";
}

TEST(SlotPluginTest, ASlotThatChangedOnTrialIsNotConfirmedWhereThatIsChecked) {
  Computer computer;
  computer.verify_before_confirm_ = true;
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  ASSERT_TRUE(computer.plugin_->Start(computer.operation_).ok());
  computer.Boot();
  ASSERT_TRUE(computer.plugin_->CheckAfterReboot(computer.operation_).ok());
  computer.fs_.Damage("/dev/b", 100, "x");
  const absl::Status refused = computer.plugin_->Apply(computer.operation_);
  EXPECT_EQ(refused.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(computer.control_.Read()->confirmed, boot::Slot::kA);
  computer.fs_.Damage("/dev/b", 100, "2");
  EXPECT_TRUE(computer.plugin_->Apply(computer.operation_).ok());
  EXPECT_EQ(computer.control_.Read()->confirmed, boot::Slot::kB);
}

TEST(SlotPluginTest, AFailedBootIsToldAndMayBeStartedAgain) {
  Computer computer;
  Phase phase = Phase::kPrepare;
  ASSERT_TRUE(Step(computer, phase).ok());
  ASSERT_EQ(computer.plugin_->Start(computer.operation_).value(), um::StartResult::kNeedsReboot);
  for (uint32_t boot = 0; boot < kTrialAttempts; ++boot) {
    computer.Boot();
    ASSERT_EQ(computer.running_, boot::Slot::kB);
  }
  computer.Boot();
  ASSERT_EQ(computer.running_, boot::Slot::kA);
  const absl::Status status = computer.plugin_->CheckAfterReboot(computer.operation_).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("boot of slot B failed, fell back to A"));

  // After COMMIT the unit only goes forward.
  ASSERT_EQ(computer.plugin_->Start(computer.operation_).value(), um::StartResult::kNeedsReboot);
  computer.Boot();
  ASSERT_EQ(computer.plugin_->CheckAfterReboot(computer.operation_).value(), um::RebootCheck::kRunning);
  ASSERT_TRUE(computer.plugin_->Apply(computer.operation_).ok());
}

TEST(SlotPluginTest, AFailedBootIsRevertedWithoutAnotherReboot) {
  Computer computer;
  Phase phase = Phase::kPrepare;
  ASSERT_TRUE(Step(computer, phase).ok());
  ASSERT_TRUE(computer.plugin_->Start(computer.operation_).ok());
  for (uint32_t boot = 0; boot <= kTrialAttempts; ++boot) computer.Boot();
  EXPECT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
  EXPECT_TRUE(computer.control_.Read()->b_unbootable);
}

TEST(SlotPluginTest, AFailedCheckIsAnErrorAndDoesNotRearm) {
  Computer computer;
  Phase phase = Phase::kPrepare;
  while (phase != Phase::kCheck) ASSERT_TRUE(Step(computer, phase).ok());
  computer.check_ = absl::FailedPreconditionError("no network");
  const absl::Status status = computer.plugin_->CheckAfterReboot(computer.operation_).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("check of slot B: no network"));
  EXPECT_EQ(computer.control_.Read()->attempts_left, kTrialAttempts - 1);
}

TEST(SlotPluginTest, WhatTheOtherSlotHoldsAlreadyIsNotFetchedAgain) {
  Computer computer;
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  ASSERT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
  const size_t requests = computer.fetcher_.requests().size();
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  EXPECT_EQ(computer.fetcher_.requests().size(), requests);

  computer.fs_.Damage("/dev/b", 100, "damage");
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  EXPECT_GT(computer.fetcher_.requests().size(), requests) << "read back, not believed";
}

TEST(SlotPluginTest, TheVersionBeforeNeedsNoSource) {
  Computer computer;
  Phase phase = Phase::kPrepare;
  while (phase != Phase::kDone) ASSERT_TRUE(Step(computer, phase).ok());
  // The factory's version, by name only.
  const um::Artifact back{.component_id = "rootfs", .component_type = "gateway-os", .version = "1.0"};
  ASSERT_TRUE(computer.plugin_->Prepare({back}, computer.operation_).ok());
  ASSERT_EQ(computer.plugin_->Start(computer.operation_).value(), um::StartResult::kNeedsReboot);
  computer.Boot();
  ASSERT_EQ(computer.plugin_->CheckAfterReboot(computer.operation_).value(), um::RebootCheck::kRunning);
  ASSERT_TRUE(computer.plugin_->Apply(computer.operation_).ok());
  EXPECT_EQ(computer.Version(), "1.0");
  // And one that was installed, whose bytes are read back.
  const um::Artifact forward{.component_id = "rootfs", .component_type = "gateway-os", .version = "2.0"};
  ASSERT_TRUE(computer.plugin_->Prepare({forward}, computer.operation_).ok());
  // What is good is not marked bad when such an update is reverted.
  ASSERT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
  EXPECT_FALSE(computer.control_.Read()->b_unbootable);
  computer.fs_.Damage("/dev/b", 100, "damage");
  const absl::Status status = computer.plugin_->Prepare({forward}, computer.operation_);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
}

TEST(SlotPluginTest, AnUnknownVersionWithoutSourceIsNotFound) {
  Computer computer;
  const absl::Status status =
      computer.plugin_->Prepare({{.component_id = "rootfs", .version = "9"}}, computer.operation_);
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("prepare rootfs 9: no source is known for it"));
}

TEST(SlotPluginTest, RefusesToGuessTheRunningSlot) {
  Computer computer;
  computer.fs_.Put("/proc/cmdline", "quiet\n");
  EXPECT_TRUE(absl::IsFailedPrecondition(computer.plugin_->Inventory().status()));
  const absl::Status status = computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/proc/cmdline has no tandem.slot= and no rauc.slot="));
  computer.fs_.Put("/proc/cmdline", "rauc.slot=B\n");
  EXPECT_EQ(computer.plugin_->Inventory().value()[0].slots->running, "B");
}

TEST(SlotPluginTest, ASystemOnTrialIsNotUpdated) {
  Computer computer;
  Phase phase = Phase::kPrepare;
  while (phase != Phase::kApply) ASSERT_TRUE(Step(computer, phase).ok());
  um::Artifact other = computer.NewVersion();
  other.version = "3.0";
  other.sha256 = Sha256(Image('3'));
  EXPECT_TRUE(absl::IsFailedPrecondition(computer.plugin_->Prepare({other}, computer.operation_)));
  EXPECT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kNeedsReboot);
  computer.Boot();
  EXPECT_EQ(computer.Version(), "1.0");
  EXPECT_EQ(computer.fs_.ReadFile("/dev/a").value().substr(0, Image('1').size()), Image('1'));
}

TEST(SlotPluginTest, ASlotThatIsTooSmallIsRefused) {
  Computer computer;
  um::Artifact big = computer.NewVersion();
  computer.fetcher_.Serve(kUrl, Image('3', kSlotSize + 1));
  big.sha256 = Sha256(Image('3', kSlotSize + 1));
  big.size = kSlotSize + 1;
  const absl::Status status = computer.plugin_->Prepare({big}, computer.operation_);
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("slot B: it has"));
  EXPECT_FALSE(computer.control_.Read()->b_unbootable) << "the way back is given up for nothing";
}

TEST(SlotPluginTest, ASlotThatIsInUseStaysBootable) {
  Computer computer;
  computer.fs_.SetInUse("/dev/b");
  const absl::Status status = computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_);
  EXPECT_THAT(std::string(status.message()), HasSubstr("slot B: open /dev/b: it is in use"));
  EXPECT_FALSE(computer.control_.Read()->b_unbootable);
}

TEST(SlotPluginTest, TheVersionFileOfTheRunningSystemHasTheLastWord) {
  Computer computer;
  computer.version_file_ = "/etc/version";
  computer.fs_.Put("/etc/version", "1.0-patched\n");
  computer.RestartProcess();
  EXPECT_EQ(computer.Version(), "1.0-patched");
}

TEST(SlotPluginTest, WhatRunsIsNotWrittenOverTheWayBackBecauseItTellsAnotherVersion) {
  Computer computer;
  computer.version_file_ = "/etc/version";
  computer.fs_.Put("/etc/version", "1.0\n");
  computer.RestartProcess();
  Phase phase = Phase::kPrepare;
  while (phase != Phase::kDone) ASSERT_TRUE(Step(computer, phase).ok());
  const std::string old = computer.fs_.ReadFile("/dev/a").value();
  // The image forgot to raise its version, so CM asks for it again after COMMIT.
  ASSERT_EQ(computer.Version(), "1.0");
  const absl::Status refused = computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("slot B runs exactly these bytes, and their version is 1.0; correct the version in the release "
                        "or in the image"));
  EXPECT_EQ(computer.fs_.ReadFile("/dev/a").value(), old);
  EXPECT_FALSE(computer.control_.Read()->a_unbootable);
  EXPECT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
  // The way back is still open.
  const um::Artifact back{.component_id = "rootfs", .component_type = "gateway-os", .version = "1.0"};
  EXPECT_TRUE(computer.plugin_->Prepare({back}, computer.operation_).ok());
}

TEST(SlotPluginTest, WhatRunsIsInstalledAlready) {
  Computer computer;
  Phase phase = Phase::kPrepare;
  while (phase != Phase::kDone) ASSERT_TRUE(Step(computer, phase).ok());
  const std::string old = computer.fs_.ReadFile("/dev/a").value();
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  EXPECT_EQ(computer.plugin_->Start(computer.operation_).value(), um::StartResult::kRunning);
  EXPECT_TRUE(computer.plugin_->Apply(computer.operation_).ok());
  EXPECT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
  computer.Boot();
  EXPECT_EQ(computer.Version(), "2.0");
  EXPECT_EQ(computer.fs_.ReadFile("/dev/a").value(), old);
}

TEST(SlotPluginTest, CancelsAndResumes) {
  Computer computer;
  computer.operation_.cancelled = true;
  EXPECT_TRUE(absl::IsCancelled(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_)));
  computer.operation_.cancelled = false;
  EXPECT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
}

TEST(SlotPluginTest, AHalfWrittenSlotIsNotStartedWhateverItHeldBefore) {
  Computer computer;
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  ASSERT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
  um::Artifact other = computer.NewVersion();
  other.version = "3.0";
  other.sha256 = Sha256(Image('3'));
  computer.fetcher_.FailAt(kUrl, 20'000, absl::InvalidArgumentError("no URL"));
  EXPECT_TRUE(absl::IsInvalidArgument(computer.plugin_->Prepare({other}, computer.operation_)));
  EXPECT_TRUE(absl::IsFailedPrecondition(computer.plugin_->Start(computer.operation_).status()));
  computer.Boot();
  EXPECT_EQ(computer.running_, boot::Slot::kA);
}

TEST(SlotPluginTest, WhatWasAppliedIsFoundDoneByEveryStepBeforeApply) {
  // The SDK did not come to write down that Apply() had ended.
  Computer computer;
  Phase phase = Phase::kPrepare;
  while (phase != Phase::kDone) ASSERT_TRUE(Step(computer, phase).ok());
  EXPECT_EQ(computer.plugin_->CheckAfterReboot(computer.operation_).value(), um::RebootCheck::kRunning);
  EXPECT_EQ(computer.plugin_->Start(computer.operation_).value(), um::StartResult::kRunning);
  EXPECT_TRUE(computer.plugin_->Apply(computer.operation_).ok());
  computer.Boot();
  EXPECT_EQ(computer.running_, boot::Slot::kB);
}

TEST(SlotPluginTest, ASystemOnTrialIsNotTakenForApplied) {
  Computer computer;
  Phase phase = Phase::kPrepare;
  while (phase != Phase::kApply) ASSERT_TRUE(Step(computer, phase).ok());
  ASSERT_TRUE(DurableRecord(computer.fs_, "/state/slots.rec").Clear().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(computer.plugin_->Start(computer.operation_).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(computer.plugin_->CheckAfterReboot(computer.operation_).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(computer.plugin_->Apply(computer.operation_)));
}

TEST(SlotPluginTest, WhatIsConfirmedAlreadyStaysAndIsToldToCm) {
  Computer computer;
  ASSERT_TRUE(computer.plugin_->Prepare({computer.NewVersion()}, computer.operation_).ok());
  ASSERT_TRUE(computer.plugin_->Start(computer.operation_).ok());
  computer.Boot();
  ASSERT_TRUE(computer.plugin_->CheckAfterReboot(computer.operation_).ok());
  // Apply() was cut off between the boot record and its own; then CM lost its decision.
  ASSERT_TRUE(computer.control_.Confirm(boot::Slot::kB).ok());
  EXPECT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
  EXPECT_EQ(computer.Version(), "2.0");
  um::Artifact back = computer.NewVersion();
  back.version = "1.0";
  back.urls.clear();
  back.sha256.clear();
  back.size = 0;
  ASSERT_TRUE(computer.plugin_->Prepare({back}, computer.operation_).ok()) << "an update of its own goes back";
  EXPECT_EQ(computer.plugin_->Start(computer.operation_).value(), um::StartResult::kNeedsReboot);
  computer.Boot();
  EXPECT_EQ(computer.Version(), "1.0");
}

TEST(SlotPluginTest, RevertWithoutPrepareHasNothingToDo) {
  Computer computer;
  EXPECT_EQ(computer.plugin_->Revert(computer.operation_).value(), um::RevertResult::kReverted);
}

void UpdateTo(Computer& computer, const um::Artifact& artifact) {
  ASSERT_TRUE(computer.plugin_->Prepare({artifact}, computer.operation_).ok());
  ASSERT_TRUE(computer.plugin_->Start(computer.operation_).ok());
  computer.Boot();
  ASSERT_TRUE(computer.plugin_->CheckAfterReboot(computer.operation_).ok());
}

TEST(SlotPluginTest, TheSecurityCounterRisesAtSealAndNotBefore) {
  Computer computer;
  um::Artifact artifact = computer.NewVersion();
  artifact.security_version = 7;
  UpdateTo(computer, artifact);
  EXPECT_THAT(computer.plugin_->Seal().message(), HasSubstr("slot B runs, but is not confirmed"));
  ASSERT_TRUE(computer.plugin_->Apply(computer.operation_).ok());
  EXPECT_EQ(computer.control_.Read()->security_counter, 0u) << "a rollback is still possible";
  ASSERT_TRUE(computer.plugin_->Seal().ok());
  ASSERT_TRUE(computer.plugin_->Seal().ok()) << "called again after a crash";
  EXPECT_EQ(computer.control_.Read()->security_counter, 7u);
  // The rollback window is over, for what is kept here, too.
  const um::Artifact back{.component_id = "rootfs", .component_type = "gateway-os", .version = "1.0"};
  EXPECT_THAT(computer.plugin_->Prepare({back}, computer.operation_).message(), HasSubstr("boots none below 7"));
}

TEST(SlotPluginTest, NothingBelowTheSecurityCounterIsWritten) {
  Computer computer;
  ASSERT_TRUE(computer.control_.RaiseSecurityCounter(7).ok());
  um::Artifact artifact = computer.NewVersion();
  artifact.security_version = 6;
  const std::string before = computer.fs_.ReadFile("/dev/b").value();
  EXPECT_THAT(computer.plugin_->Prepare({artifact}, computer.operation_).message(),
              HasSubstr("its security_version is 6, and this computer boots none below 7"));
  EXPECT_EQ(computer.fs_.ReadFile("/dev/b").value(), before);
  artifact.security_version = 7;
  EXPECT_TRUE(computer.plugin_->Prepare({artifact}, computer.operation_).ok());
}

}  // namespace
}  // namespace tandem::plugins
