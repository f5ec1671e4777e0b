#include "um-plugins/payload/payload_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/net/fake_http_fetcher.h"
#include "common/status/status.h"
#include "common/storage/fake_file_system.h"
#include "um/fake_cm.h"
#include "um/fake_operation.h"

namespace tandem::plugins {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kReserve = 1 << 20;

std::string Bytes(const std::string& component, const std::string& version) {
  std::string bytes;
  for (int i = 0; i < 2000; ++i) absl::StrAppend(&bytes, component, version, i);
  return bytes;
}

// A unit with the components "model" and "config", whose power can be cut.
class Unit {
 public:
  Unit() {
    fs_.Put("/state/keep", "");
    fs_.Put("/data/keep", "");
    RestartProcess();
  }

  void RestartProcess() {
    config::v1::UmConfig config;
    config.set_state_dir("/state");
    config.set_reserve_bytes(kReserve);
    for (const std::string name : {"model", "config"}) {
      config::v1::PayloadComponent& component = *config.mutable_payload()->add_components();
      component.set_component_id(name);
      component.set_component_type(name + "-type");
      component.set_folder("/data/" + name);
      component.add_reload_command("reload-" + name);
      component.set_unpack(unpack_);
    }
    plugin_ = std::make_unique<PayloadPlugin>(
        PayloadPlugin::Dependencies{
            .fs = fs_,
            .clock = clock_,
            .fetcher = fetcher_,
            .run =
                [this](const Command& command) {
                  if (fs_.power_lost()) return absl::InternalError("the power is off");
                  reloads_.push_back(absl::StrCat(command.argv[0], " ", command.environment[1].second));
                  EXPECT_TRUE(fs_.Exists(command.environment[0].second));
                  return reload_;
                },
            .unpack =
                [this](const std::string& archive, const std::string& folder, uint64_t max_bytes) {
                  unpack_limit_ = max_bytes;
                  ASSIGN_OR_RETURN(const std::string bytes, fs_.ReadFile(archive));
                  RETURN_IF_ERROR(fs_.WriteFileAtomically(folder + "/unpacked", bytes));
                  return unpacked_;
                }},
        config);
  }

  um::Artifact Version(const std::string& component, const std::string& version) {
    const std::string url = absl::StrCat("http://cm/", component, version);
    const std::string bytes = Bytes(component, version);
    fetcher_.Serve(url, bytes);
    return {.component_id = component,
            .component_type = component + "-type",
            .version = version,
            .urls = {url},
            .sha256 = Sha256(bytes),
            .size = bytes.size()};
  }

  absl::Status Prepare(const std::string& version) {
    return plugin_->Prepare({Version("model", version), Version("config", version)}, operation_);
  }

  void Install(const std::string& version) {
    ASSERT_TRUE(Prepare(version).ok());
    ASSERT_TRUE(plugin_->Start(operation_).ok());
    ASSERT_TRUE(plugin_->Apply(operation_).ok());
  }

  // "1 2": the active versions of model and config, after checking that each is whole.
  std::string Active() {
    std::vector<std::string> versions;
    const std::vector<um::InstalledComponent> components = plugin_->Inventory().value();
    for (const um::InstalledComponent& component : components) {
      versions.push_back(component.version);
      if (component.version.empty()) continue;
      const std::string file = absl::StrCat("/data/", component.id, "/current/", unpack_ ? "unpacked" : "payload");
      EXPECT_EQ(fs_.ReadFile(file).value(), Bytes(component.id, component.version));
    }
    return absl::StrCat(versions[0], " ", versions[1]);
  }

  FakeFileSystem fs_;
  FakeHttpFetcher fetcher_;
  FakeClock clock_;
  um::FakeOperation operation_;
  bool unpack_ = false;
  uint64_t unpack_limit_ = 0;
  absl::Status unpacked_;
  absl::Status reload_;
  std::vector<std::string> reloads_;
  std::unique_ptr<PayloadPlugin> plugin_;
};

TEST(PayloadPluginTest, AnUpdateSwitchesAllComponentsAndReloadsThem) {
  Unit unit;
  EXPECT_EQ(unit.Active(), " ");
  unit.Install("1");
  EXPECT_EQ(unit.Active(), "1 1");
  ASSERT_TRUE(unit.Prepare("2").ok());
  EXPECT_EQ(unit.Active(), "1 1") << "Prepare touches nothing that runs";
  unit.reloads_.clear();
  EXPECT_EQ(unit.plugin_->Start(unit.operation_).value(), um::StartResult::kRunning);
  EXPECT_EQ(unit.Active(), "2 2");
  EXPECT_THAT(unit.reloads_, ElementsAre("reload-model 2", "reload-config 2"));
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok()) << "called again after a crash";
  EXPECT_FALSE(unit.plugin_->SwitchesBoot());
}

TEST(PayloadPluginTest, PowerCutAtEveryCallOfAnUpdateEndsOnTheNewVersions) {
  for (const bool unpack : {false, true}) {
    for (uint64_t seed = 0; seed < 3; ++seed) {
      for (uint64_t call = 1;; ++call) {
        Unit unit;
        unit.unpack_ = unpack;
        unit.RestartProcess();
        unit.Install("1");
        unit.fs_.CutPowerAtCall(call, seed * 100'000 + call);
        bool cut = false;
        // As the SDK does: each step again until it is done.
        for (int step = 0; step < 3;) {
          const absl::Status status = step == 0   ? unit.Prepare("2")
                                      : step == 1 ? unit.plugin_->Start(unit.operation_).status()
                                                  : unit.plugin_->Apply(unit.operation_);
          if (unit.fs_.power_lost()) {
            cut = true;
            unit.fs_.Reboot();
            unit.RestartProcess();
            const std::string active = unit.Active();
            ASSERT_TRUE(active == "1 1" || active == "2 1" || active == "2 2") << active;
            if (step == 0) {
              ASSERT_EQ(active, "1 1");
            }
            continue;
          }
          ASSERT_TRUE(status.ok()) << "call " << call << ": " << status;
          ++step;
        }
        ASSERT_EQ(unit.Active(), "2 2");
        if (!cut) break;
      }
    }
  }
}

TEST(PayloadPluginTest, PowerCutAtEveryCallOfAWholeUpdateWithItsUpdateManagerEndsAsCmDecided) {
  for (const um::FakeCm::Goal goal : {um::FakeCm::Goal::kCommit, um::FakeCm::Goal::kAbort}) {
    for (const bool unpack : {false, true}) {
      for (uint64_t call = 1;; ++call) {
        Unit unit;
        unit.unpack_ = unpack;
        unit.RestartProcess();
        unit.Install("1");
        um::FakeCm cm(goal, {unit.Version("model", "2"), unit.Version("config", "2")});
        unit.fs_.CutPowerAtCall(call, call);
        bool cut = false;
        for (int steps = 0; !cm.done(); ++steps) {
          ASSERT_LT(steps, 40) << "call " << call;
          const absl::Status status = cm.Step(unit.fs_, *unit.plugin_, [&unit] { return unit.fs_.power_lost(); });
          ASSERT_TRUE(status.ok()) << "call " << call << ": " << status;
          if (!unit.fs_.power_lost()) continue;
          cut = true;
          cm.EndProcess();
          unit.fs_.Reboot();
          unit.RestartProcess();
        }
        cm.EndProcess();
        ASSERT_EQ(unit.Active(), goal == um::FakeCm::Goal::kCommit ? "2 2" : "1 1") << "call " << call;
        if (!cut) break;
      }
    }
  }
}

TEST(PayloadPluginTest, PowerCutAtEveryCallOfARevertEndsOnTheOldVersions) {
  for (const bool started : {false, true}) {
    for (uint64_t call = 1;; ++call) {
      Unit unit;
      unit.Install("1");
      ASSERT_TRUE(unit.Prepare("2").ok());
      if (started) {
        ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
      }
      unit.fs_.CutPowerAtCall(call, call);
      bool cut = false;
      while (!unit.plugin_->Revert(unit.operation_).ok()) {
        ASSERT_TRUE(unit.fs_.power_lost());
        cut = true;
        unit.fs_.Reboot();
        unit.RestartProcess();
      }
      ASSERT_EQ(unit.Active(), "1 1");
      ASSERT_EQ(unit.fs_.List("/data/model/versions").value().size(), 1) << "what was staged is dropped";
      if (!cut) break;
    }
  }
}

TEST(PayloadPluginTest, PowerCutAtEveryCallOfAHalfDoneStartIsRevertedWhole) {
  for (uint64_t call = 1;; ++call) {
    Unit unit;
    unit.Install("1");
    ASSERT_TRUE(unit.Prepare("2").ok());
    unit.fs_.CutPowerAtCall(call, call);
    (void)unit.plugin_->Start(unit.operation_);
    const bool cut = unit.fs_.power_lost();
    unit.fs_.Reboot();
    unit.RestartProcess();
    ASSERT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
    ASSERT_EQ(unit.Active(), "1 1");
    if (!cut) break;
  }
}

TEST(PayloadPluginTest, TheNewNameIsDurableBeforeTheLossOfTheOldOneIs) {
  // Checked by the calls: the fake disk keeps both ends of a rename when either folder is synced, a real one need not.
  for (const bool unpack : {false, true}) {
    Unit unit;
    unit.unpack_ = unpack;
    unit.RestartProcess();
    std::vector<std::string> calls;
    unit.fs_.SetObserver([&calls](std::string_view call, const std::string& path) {
      const std::string text = absl::StrCat(std::string(call), " ", path);
      if (text.starts_with("rename /data/model/versions/")) calls = {"rename"};
      if (text == "sync folder /data/model/versions" || text == "sync folder /data/model/staging")
        calls.push_back(text);
    });
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version("model", "1")}, unit.operation_).ok());
    EXPECT_THAT(calls, ElementsAre("rename", "sync folder /data/model/versions", "sync folder /data/model/staging"));
  }
}

TEST(PayloadPluginTest, AFailedReloadFailsTheStartAndIsReverted) {
  Unit unit;
  unit.Install("1");
  ASSERT_TRUE(unit.Prepare("2").ok());
  unit.reload_ = absl::FailedPreconditionError("the model does not load");
  const absl::Status status = unit.plugin_->Start(unit.operation_).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("reload model with version 2: the model does not load"));
  unit.reload_ = absl::OkStatus();
  unit.reloads_.clear();
  ASSERT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
  EXPECT_EQ(unit.Active(), "1 1");
  EXPECT_THAT(unit.reloads_, ElementsAre("reload-model 1", "reload-config 1"));
}

TEST(PayloadPluginTest, TheFirstInstallationIsRevertedToNothing) {
  Unit unit;
  ASSERT_TRUE(unit.Prepare("1").ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
  EXPECT_EQ(unit.Active(), " ");
  EXPECT_THAT(unit.fs_.List("/data/model/versions").value(), IsEmpty());
}

TEST(PayloadPluginTest, ThePreviousVersionIsKeptUntilTheNextPrepare) {
  Unit unit;
  unit.Install("1");
  unit.Install("2");
  EXPECT_EQ(unit.fs_.List("/data/model/versions").value().size(), 2);
  // By name only: CM compensates a failed update with what is still there.
  ASSERT_TRUE(unit.plugin_->Prepare({{.component_id = "model", .version = "1"}}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  EXPECT_EQ(unit.Active(), "1 2");
  ASSERT_TRUE(unit.Prepare("3").ok());
  const absl::Status gone = unit.plugin_->Prepare({{.component_id = "model", .version = "2"}}, unit.operation_);
  EXPECT_TRUE(absl::IsNotFound(gone)) << gone;
}

TEST(PayloadPluginTest, WhatIsThereIsReadBackAndNotFetchedAgain) {
  Unit unit;
  unit.Install("1");
  unit.Install("2");
  const size_t requests = unit.fetcher_.requests().size();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version("model", "1")}, unit.operation_).ok());
  EXPECT_EQ(unit.fetcher_.requests().size(), requests);
  const std::string name = unit.fs_.List("/data/model/versions").value()[0];
  unit.fs_.Damage(absl::StrCat("/data/model/versions/", name, "/payload"), 5, "damage");
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version("model", "1")}, unit.operation_).ok());
  EXPECT_EQ(unit.fetcher_.requests().size(), requests + 1);
}

TEST(PayloadPluginTest, RefusesWhatItCannotInstall) {
  Unit unit;
  um::Artifact evil = unit.Version("model", "1");
  evil.version = "../../etc";
  EXPECT_TRUE(absl::IsInvalidArgument(unit.plugin_->Prepare({evil}, unit.operation_)));
  evil.component_id = "unknown";
  EXPECT_TRUE(absl::IsInvalidArgument(unit.plugin_->Prepare({evil}, unit.operation_)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      unit.plugin_->Prepare({unit.Version("model", "1"), unit.Version("model", "2")}, unit.operation_)));
  EXPECT_TRUE(absl::IsFailedPrecondition(unit.plugin_->Start(unit.operation_).status()));
  unit.fs_.SetCapacity(1000);
  EXPECT_TRUE(absl::IsResourceExhausted(unit.Prepare("1")));
}

// Downloads and unpacking leave room for records, which the way back needs.
TEST(PayloadPluginTest, LeavesTheReserveFree) {
  for (const bool unpack : {false, true}) {
    Unit unit;
    unit.unpack_ = unpack;
    unit.RestartProcess();
    const uint64_t size = Bytes("model", "1").size() + Bytes("config", "1").size();
    unit.fs_.SetCapacity(kReserve + size / 2);
    EXPECT_TRUE(absl::IsResourceExhausted(unit.Prepare("1")));
    EXPECT_GE(*unit.fs_.FreeSpace("/"), kReserve);
    unit.fs_.SetCapacity(kReserve + 4 * size + 10'000);
    ASSERT_TRUE(unit.Prepare("1").ok());
    EXPECT_GE(*unit.fs_.FreeSpace("/"), kReserve);
    if (unpack) {
      EXPECT_LE(unit.unpack_limit_, 4 * size + 10'000);
    }
  }
}

// Services that are not root read what is installed, whatever the umask.
TEST(PayloadPluginTest, WhatIsInstalledIsSharedWithAll) {
  for (const bool unpack : {false, true}) {
    Unit unit;
    unit.unpack_ = unpack;
    unit.RestartProcess();
    ASSERT_TRUE(unit.Prepare("1").ok());
    ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
    for (const char* path : {"/data/model", "/data/model/versions", "/data/model/current"}) {
      EXPECT_TRUE(unit.fs_.IsShared(path)) << path;
    }
    if (!unpack) {
      EXPECT_TRUE(unit.fs_.IsShared("/data/model/current/payload"));
    }
    EXPECT_FALSE(unit.fs_.IsShared("/state"));
  }
}

TEST(PayloadPluginTest, NothingIsLeftOfATreeThatCouldNotBeUnpacked) {
  Unit unit;
  unit.unpack_ = true;
  unit.unpacked_ = absl::ResourceExhaustedError("full");
  unit.RestartProcess();
  EXPECT_TRUE(absl::IsResourceExhausted(unit.Prepare("1")));
  const std::vector<std::string> staged = unit.fs_.List("/data/model/staging").value();
  EXPECT_THAT(staged, testing::Each(testing::Not(testing::EndsWith(".unpacked"))));
}

}  // namespace
}  // namespace tandem::plugins
