#include "um/update_manager.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <thread>

#include "common/storage/fake_file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::um {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace umv2 = updatemanager::v2;

// Remembers the calls, answers what the test says, and blocks in Prepare until it is let go.
class FakePlugin : public Plugin {
 public:
  absl::StatusOr<std::vector<InstalledComponent>> Inventory() override {
    if (inventories_to_fail > 0) {
      --inventories_to_fail;
      return absl::UnavailableError("the device does not answer");
    }
    return std::vector<InstalledComponent>{{.id = "model", .type = "model", .version = version, .slots = {}}};
  }
  absl::Status Prepare(const std::vector<Artifact>& artifacts, Operation& operation) override {
    Called(artifacts[0].urls.empty() || artifacts[0].urls[0].empty() ? "prepare" : "prepare " + artifacts[0].urls[0]);
    staged = artifacts[0].version;
    operation.ReportProgress("model", 5, 10);
    while (hold && !operation.Cancelled()) std::this_thread::yield();
    return operation.Cancelled() ? absl::CancelledError("cancelled") : prepare;
  }
  absl::StatusOr<StartResult> Start(Operation&) override {
    Called("start");
    if (!start.ok()) return start;
    version = staged;
    return reboots ? StartResult::kNeedsReboot : StartResult::kRunning;
  }
  absl::StatusOr<RebootCheck> CheckAfterReboot(Operation&) override {
    Called("check");
    if (!check.ok()) return check;
    return RebootCheck::kRunning;
  }
  absl::Status Apply(Operation&) override {
    Called("apply");
    return apply;
  }
  absl::StatusOr<RevertResult> Revert(Operation&) override {
    Called("revert");
    if (!revert.ok()) return revert;
    version = "1";
    return RevertResult::kReverted;
  }
  absl::Status Seal() override {
    Called("seal");
    return seal;
  }
  absl::Status Reboot() override {
    Called("reboot");
    return absl::OkStatus();
  }
  bool SwitchesBoot() const override { return reboots; }

  void Called(const std::string& what) {
    std::lock_guard lock(mutex);
    calls.push_back(what);
  }
  std::vector<std::string> Calls() {
    std::lock_guard lock(mutex);
    return std::exchange(calls, {});
  }

  std::mutex mutex;
  std::vector<std::string> calls;
  std::string version = "1";
  std::string staged;
  absl::Status prepare, start, check, apply, revert, seal;
  std::atomic<bool> hold = false;
  std::atomic<int> inventories_to_fail = 0;
  bool reboots = false;
};

class UpdateManagerTest : public testing::Test {
 protected:
  UpdateManagerTest() { Restart(); }

  // As a restart of the process: same disk, same plugin world.
  void Restart() {
    manager.reset();
    // A new process knows nothing of the old one's timers.
    loop = std::make_unique<EventLoop>(clock);
    manager = std::make_unique<UpdateManager>(
        *loop, fs, plugin, UpdateManagerOptions{.node_id = "models", .priority = 7, .state_dir = "/um"},
        [](const umv2::PrepareUpdate& command) -> absl::StatusOr<std::vector<Artifact>> {
          if (command.components(0).version() == "forged") {
            return absl::PermissionDeniedError("not covered by the signed documents");
          }
          Artifact artifact;
          artifact.component_id = command.components(0).component_id();
          artifact.component_type = command.components(0).component_type();
          artifact.version = command.components(0).version();
          artifact.urls = {command.components(0).url()};
          return std::vector<Artifact>{artifact};
        });
    ASSERT_TRUE(fs.MakeFolders("/um").ok());
    ASSERT_TRUE(manager->Recover().ok());
    manager->Connected([this](const umv2::UpdateStatus& status) { statuses.push_back(status); });
  }

  // Runs the loop until the worker's result is in and nothing is under way.
  void Settle() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    do {
      loop->RunReady();
      std::this_thread::yield();
    } while (IsWorking(manager->step()) && !plugin.hold && std::chrono::steady_clock::now() < deadline);
    loop->RunReady();
  }

  void Prepare(const std::string& version = "2", const std::string& type = "model", const std::string& url = "") {
    umv2::CMMessages message;
    auto* component = message.mutable_prepare_update()->add_components();
    component->set_component_id("model");
    component->set_component_type(type);
    component->set_url(url);
    component->set_version(version);
    manager->Handle(message);
    Settle();
  }
  void Start() {
    umv2::CMMessages message;
    message.mutable_start_update();
    manager->Handle(message);
    Settle();
  }
  void Apply() {
    umv2::CMMessages message;
    message.mutable_apply_update();
    manager->Handle(message);
    Settle();
  }
  void Revert() {
    umv2::CMMessages message;
    message.mutable_revert_update();
    manager->Handle(message);
    Settle();
  }
  void Seal() {
    umv2::CMMessages message;
    message.mutable_seal_update();
    manager->Handle(message);
    Settle();
  }
  umv2::UpdateState State() { return manager->Status().update_state(); }

  FakeClock clock;
  FakeFileSystem fs;
  FakePlugin plugin;
  std::unique_ptr<EventLoop> loop;
  std::vector<umv2::UpdateStatus> statuses;
  std::unique_ptr<UpdateManager> manager;
};

TEST_F(UpdateManagerTest, GoesThroughAWholeUpdate) {
  Prepare();
  EXPECT_EQ(State(), umv2::PREPARED);
  Start();
  EXPECT_EQ(State(), umv2::UPDATED);
  Apply();
  EXPECT_EQ(State(), umv2::IDLE);
  EXPECT_THAT(plugin.Calls(), ElementsAre("prepare", "start", "apply"));
  const umv2::UpdateStatus status = manager->Status();
  ASSERT_EQ(status.components_size(), 1);
  EXPECT_EQ(status.components(0).version(), "2");
  EXPECT_EQ(status.components(0).state(), umv2::INSTALLED);
}

TEST_F(UpdateManagerTest, SendsAFullStatusOnEachConnection) {
  ASSERT_FALSE(statuses.empty());
  EXPECT_EQ(statuses[0].node_id(), "models");
  EXPECT_EQ(statuses[0].priority(), 7u);
  manager->Disconnected();
  statuses.clear();
  Prepare();
  EXPECT_TRUE(statuses.empty());
  manager->Connected([this](const umv2::UpdateStatus& status) { statuses.push_back(status); });
  ASSERT_EQ(statuses.size(), 1u);
  EXPECT_EQ(statuses[0].update_state(), umv2::PREPARED);
}

TEST_F(UpdateManagerTest, AnswersACommandThatDoesNotFitWithItsStatus) {
  statuses.clear();
  Apply();
  ASSERT_EQ(statuses.size(), 1u);
  EXPECT_EQ(statuses[0].update_state(), umv2::IDLE);
  EXPECT_TRUE(plugin.Calls().empty());
}

TEST_F(UpdateManagerTest, TheSameCommandTwiceIsAnsweredNotRepeated) {
  Prepare();
  Prepare();
  EXPECT_THAT(plugin.Calls(), ElementsAre("prepare"));
  Start();
  Start();
  EXPECT_THAT(plugin.Calls(), ElementsAre("start"));
}

TEST_F(UpdateManagerTest, APrepareOfAnotherVersionDropsWhatIsPrepared) {
  Prepare("2");
  Prepare("3");
  EXPECT_THAT(plugin.Calls(), ElementsAre("prepare", "prepare"));
  EXPECT_EQ(State(), umv2::PREPARED);
  EXPECT_EQ(manager->Status().components(1).version(), "3");
  Prepare("forged");
  EXPECT_EQ(State(), umv2::PREPARED) << "what is not signed drops nothing";
  Start();
  EXPECT_EQ(plugin.version, "3");
}

TEST_F(UpdateManagerTest, AFailedPrepareIsFailedUntilReverted) {
  plugin.prepare = absl::ResourceExhaustedError("slot B is too small");
  Prepare();
  EXPECT_EQ(State(), umv2::FAILED);
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("slot B is too small"));
  EXPECT_EQ(manager->Status().components(1).state(), umv2::ERROR);
  Revert();
  EXPECT_EQ(State(), umv2::IDLE);
  EXPECT_TRUE(manager->Status().error().message().empty());
}

TEST_F(UpdateManagerTest, WhatTheSignedDocumentsDoNotCoverNeverReachesThePlugin) {
  Prepare("forged");
  EXPECT_EQ(State(), umv2::FAILED);
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("not covered"));
  EXPECT_TRUE(plugin.Calls().empty());
}

TEST_F(UpdateManagerTest, AnArtifactOfAnotherTypeNeverReachesThePlugin) {
  // Signed for any component of type "boot"; the id is CM's word.
  Prepare("2", "boot");
  EXPECT_EQ(State(), umv2::FAILED);
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("no component model of type \"boot\""));
  EXPECT_TRUE(plugin.Calls().empty());
}

TEST_F(UpdateManagerTest, RevertCancelsARunningPrepare) {
  plugin.hold = true;
  Prepare();
  EXPECT_EQ(State(), umv2::IDLE);
  EXPECT_TRUE(manager->Status().working());
  plugin.hold = false;
  Revert();
  EXPECT_EQ(State(), umv2::IDLE);
  EXPECT_FALSE(manager->Status().working());
  const std::vector<std::string> calls = plugin.Calls();
  EXPECT_EQ(calls.back(), "revert");
}

TEST_F(UpdateManagerTest, APrepareWithNewSourcesGoesOnWithThose) {
  const auto wait_for_calls = [this](size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < deadline) {
      loop->RunReady();
      std::lock_guard lock(plugin.mutex);
      if (plugin.calls.size() >= count) return;
    }
  };
  plugin.hold = true;
  Prepare("2", "model", "http://cm/old-token");
  wait_for_calls(1);
  statuses.clear();
  Prepare("2", "model", "http://cm/old-token");
  Prepare("3", "model", "http://cm/other");
  Prepare("forged", "model", "http://cm/other");
  EXPECT_EQ(statuses.size(), 3u) << "answered";
  Prepare("2", "model", "http://cm/new-token");
  wait_for_calls(2);
  EXPECT_TRUE(manager->Status().working());
  EXPECT_EQ(manager->Status().error().message(), "");
  plugin.hold = false;
  Settle();
  EXPECT_EQ(State(), umv2::PREPARED);
  EXPECT_EQ(manager->Status().components(1).version(), "2");
  EXPECT_THAT(plugin.Calls(), ElementsAre("prepare http://cm/old-token", "prepare http://cm/new-token"));
}

TEST_F(UpdateManagerTest, AFailedApplyStaysUpdatedWithTheErrorAndCanBeRetried) {
  Prepare();
  Start();
  plugin.apply = absl::UnavailableError("boot record busy");
  Apply();
  EXPECT_EQ(State(), umv2::UPDATED);
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("boot record busy"));
  plugin.apply = absl::OkStatus();
  Apply();
  EXPECT_EQ(State(), umv2::IDLE);
}

TEST_F(UpdateManagerTest, AFailedRevertStaysFailedAndCanBeRetried) {
  Prepare();
  Start();
  plugin.revert = absl::UnavailableError("flash busy");
  Revert();
  EXPECT_EQ(State(), umv2::FAILED);
  plugin.revert = absl::OkStatus();
  Revert();
  EXPECT_EQ(State(), umv2::IDLE);
  EXPECT_EQ(plugin.version, "1");
}

TEST_F(UpdateManagerTest, AfterTheRebootItAsksThePluginWhetherTheNewVersionRuns) {
  plugin.reboots = true;
  Prepare();
  umv2::CMMessages message;
  message.mutable_start_update();
  manager->Handle(message);
  while (manager->step() != UmStep::kRebooting) loop->RunReady();
  EXPECT_EQ(State(), umv2::PREPARED);
  Restart();
  Settle();
  EXPECT_EQ(State(), umv2::UPDATED);
}

TEST_F(UpdateManagerTest, ABootThatFellBackIsFailedAndMayBeStartedAgainAfterCommit) {
  Prepare();
  Start();
  plugin.check = absl::AbortedError("boot of slot B failed, fell back to A");
  Restart();
  Settle();
  EXPECT_EQ(State(), umv2::FAILED);
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("fell back to A"));
  plugin.check = absl::OkStatus();
  Start();
  EXPECT_EQ(State(), umv2::UPDATED);
}

TEST_F(UpdateManagerTest, DoesNothingThatItCannotWriteDownFirst) {
  fs.FailCall(1, absl::ResourceExhaustedError("no space left"));
  Prepare();
  EXPECT_EQ(State(), umv2::IDLE);
  EXPECT_TRUE(plugin.Calls().empty());
  EXPECT_THAT(statuses.back().error().message(), HasSubstr("no space left"));
  Prepare();
  EXPECT_EQ(State(), umv2::PREPARED);
}

TEST_F(UpdateManagerTest, APrepareThatCannotBeRecordedIsNotSaidToBeUnderWay) {
  fs.FailCall(1, absl::ResourceExhaustedError("no space left"));
  Prepare();
  const umv2::UpdateStatus status = manager->Status();
  for (const auto& component : status.components()) EXPECT_EQ(component.state(), umv2::INSTALLED);
}

TEST_F(UpdateManagerTest, ARestartThatCannotBeRecordedIsLookedAtAgain) {
  Prepare();
  Start();
  ASSERT_EQ(manager->step(), UmStep::kUpdated);
  plugin.Calls();
  fs.FailCall(1, absl::ResourceExhaustedError("no space left"));
  Restart();
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("no space left"));
  EXPECT_TRUE(plugin.Calls().empty());
  clock.Advance(absl::Seconds(2));
  Settle();
  EXPECT_EQ(plugin.Calls().back(), "check");
  EXPECT_EQ(manager->step(), UmStep::kUpdated);
  EXPECT_EQ(manager->Status().error().message(), "");
}

TEST_F(UpdateManagerTest, ACheckThatFindsTheDiskFullIsMadeAgain) {
  Prepare();
  Start();
  plugin.check = absl::ResourceExhaustedError("no space left");
  Restart();
  while (!manager->Status().has_error()) {
    loop->RunReady();
    std::this_thread::yield();
  }
  EXPECT_EQ(State(), umv2::UPDATED);
  plugin.check = absl::OkStatus();
  clock.Advance(absl::Seconds(2));
  Settle();
  EXPECT_EQ(manager->step(), UmStep::kUpdated);
  EXPECT_FALSE(manager->Status().has_error());
}

TEST_F(UpdateManagerTest, WritesNothingThatTheRecordSaysAlready) {
  Prepare();
  const uint64_t calls = fs.calls();
  Restart();
  EXPECT_EQ(State(), umv2::PREPARED);
  EXPECT_EQ(fs.calls(), calls);
}

TEST_F(UpdateManagerTest, ADamagedRecordThatWasSetAsideBeforeACrashStillAsksForARevert) {
  Prepare();
  Start();
  ASSERT_TRUE(fs.Rename("/um/um.rec", "/um/um.rec.corrupt").ok());
  Restart();
  EXPECT_EQ(State(), umv2::FAILED);
}

TEST_F(UpdateManagerTest, ADamagedRecordAsksForARevertInsteadOfGuessing) {
  Prepare();
  fs.Damage("/um/um.rec", 60, "damage");
  Restart();
  EXPECT_EQ(State(), umv2::FAILED);
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("record damaged"));
  Revert();
  EXPECT_EQ(State(), umv2::IDLE);
}

// Power is cut at every disk call of a whole update; after each cut the UM comes back in a state from which CM can go
// forward or back, and never idle on the new version without Apply.
TEST_F(UpdateManagerTest, SurvivesAPowerCutAtEveryDiskCall) {
  for (uint64_t cut = 1;; ++cut) {
    manager.reset();
    FakeFileSystem fresh;
    plugin.version = "1";
    plugin.staged.clear();
    ASSERT_TRUE(fresh.MakeFolders("/um").ok());
    ASSERT_TRUE(fresh.SyncFolder("/").ok());
    const auto make = [&] {
      loop = std::make_unique<EventLoop>(clock);
      auto um = std::make_unique<UpdateManager>(
          *loop, fresh, plugin, UpdateManagerOptions{.node_id = "models", .priority = 7, .state_dir = "/um"},
          [](const umv2::PrepareUpdate&) -> absl::StatusOr<std::vector<Artifact>> {
            Artifact artifact;
            artifact.component_id = "model";
            artifact.component_type = "model";
            artifact.version = "2";
            return std::vector<Artifact>{artifact};
          });
      return um;
    };
    manager = make();
    ASSERT_TRUE(manager->Recover().ok());
    fresh.CutPowerAtCall(cut, cut);
    bool lost = false;
    const auto step = [&](auto command) {
      if (lost) return;
      umv2::CMMessages message;
      command(message);
      manager->Handle(message);
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
      do {
        loop->RunReady();
        lost = fresh.power_lost();
      } while (IsWorking(manager->step()) && !lost && std::chrono::steady_clock::now() < deadline);
    };
    step([](umv2::CMMessages& m) {
      auto* component = m.mutable_prepare_update()->add_components();
      component->set_component_id("model");
      component->set_version("2");
    });
    step([](umv2::CMMessages& m) { m.mutable_start_update(); });
    step([](umv2::CMMessages& m) { m.mutable_apply_update(); });
    const bool ended = !fresh.power_lost();
    fresh.Reboot();
    manager = make();
    ASSERT_TRUE(manager->Recover().ok()) << cut;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (IsWorking(manager->step()) && std::chrono::steady_clock::now() < deadline) loop->RunReady();
    EXPECT_FALSE(IsWorking(manager->step())) << cut;
    if (ended) {
      EXPECT_EQ(State(), umv2::IDLE);
      break;
    }
    const std::vector<std::string> calls = plugin.Calls();
    const bool applied = std::find(calls.begin(), calls.end(), "apply") != calls.end();
    EXPECT_TRUE(applied || State() != umv2::IDLE || plugin.version != "2") << cut;
    ASSERT_LT(cut, 200u);
  }
}

TEST_F(UpdateManagerTest, WhatWasAppliedIsSealedOnce) {
  Seal();
  EXPECT_THAT(plugin.Calls(), ElementsAre()) << "nothing was applied yet";
  Prepare();
  Start();
  EXPECT_FALSE(manager->Status().unsealed());
  Seal();
  EXPECT_EQ(State(), umv2::UPDATED) << "a command that does not fit";
  Apply();
  EXPECT_TRUE(manager->Status().unsealed());
  plugin.Calls();
  Restart();
  EXPECT_TRUE(manager->Status().unsealed()) << "survives a restart";
  plugin.seal = absl::UnavailableError("boot record not writable");
  Seal();
  EXPECT_EQ(State(), umv2::IDLE);
  EXPECT_TRUE(manager->Status().unsealed()) << "CM tries again";
  EXPECT_THAT(manager->Status().error().message(), HasSubstr("boot record not writable"));
  plugin.seal = absl::OkStatus();
  Seal();
  EXPECT_FALSE(manager->Status().unsealed());
  EXPECT_EQ(manager->Status().error().message(), "");
  Seal();
  EXPECT_THAT(plugin.Calls(), ElementsAre("seal", "seal"));
}

TEST_F(UpdateManagerTest, APrepareThatComesDuringTheSealIsDoneAfterIt) {
  Prepare();
  Start();
  Apply();
  plugin.Calls();
  umv2::CMMessages seal;
  seal.mutable_seal_update();
  manager->Handle(seal);
  Prepare("3");
  EXPECT_EQ(State(), umv2::PREPARED);
  EXPECT_THAT(plugin.Calls(), ElementsAre("seal", "prepare"));
}

TEST_F(UpdateManagerTest, AnInventoryThatFailedIsAskedForAgain) {
  plugin.inventories_to_fail = 3;
  Restart();
  EXPECT_EQ(statuses.back().components_size(), 0);
  EXPECT_THAT(statuses.back().error().message(), HasSubstr("the device does not answer"));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (statuses.back().components_size() == 0 && std::chrono::steady_clock::now() < deadline) {
    loop->RunReady();
    // Real time passes only for the worker's thread.
    if (plugin.inventories_to_fail > 0 || loop->NextTimer() < absl::InfiniteDuration()) clock.Advance(absl::Seconds(1));
    std::this_thread::yield();
  }
  ASSERT_EQ(statuses.back().components_size(), 1);
  EXPECT_EQ(statuses.back().components(0).version(), "1");
  EXPECT_FALSE(statuses.back().has_error());
}

}  // namespace
}  // namespace tandem::um
