// The virtual unit from outside: the real program, real processes, real squashfs images.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "common/process/run_command.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tools/unit-sim/control.h"

extern char** environ;

namespace tandem::sim {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

class UnitSimTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/unit_sim_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    unit_ = At("unit");
    ASSERT_TRUE(fs_.MakeFolders(unit_).ok());
    MakeImage("slot-a.img", "1.0", "exit 0");
    MakeImage("slot-b.img", "2.0", "exit 0");
  }

  void TearDown() override {
    if (simulator_ > 0) EndSimulator(SIGTERM);
    EXPECT_EQ(Marked(), "") << "left-over processes";
    EXPECT_TRUE(fs_.RemoveTree(folder_).ok());
  }

  std::string At(const std::string& name) const { return JoinPath(folder_, name); }
  std::string InUnit(const std::string& name) const { return JoinPath(unit_, name); }

  void Shell(const std::string& script) {
    const absl::Status status = RunCommandOk({.argv = {"sh", "-ec", script}, .timeout = kPatience});
    ASSERT_TRUE(status.ok()) << status;
  }

  // A system whose service keeps a child in a session of its own, as services do.
  void MakeImage(const std::string& name, const std::string& version, const std::string& init) {
    Shell(absl::StrCat("rm -rf ", At("tree"), " ", InUnit(name), "; mkdir ", At("tree"), "; cd ", At("tree"), "; echo ",
                       version, " > version; printf '#!/bin/sh\\n", init,
                       "\\n' > init; printf '#!/bin/sh\\necho started >> $1/starts\\nsetsid sleep 1000.$2 & exec sleep "
                       "1000.$2\\n' > service; chmod +x init service; mksquashfs . ",
                       InUnit(name), " -quiet -no-progress"));
  }

  // Sleeps of this test have its process id in their argument.
  std::string Mark() const { return absl::StrCat(getpid()); }
  std::string Marked() const {
    const auto result = RunCommand({.argv = {"pgrep", "-f", absl::StrCat("^sleep 1000\\.", Mark(), "$")}});
    return result.ok() ? result->output : "";
  }

  void WriteConfig(const std::string& more) {
    ASSERT_TRUE(fs_.WriteFileAtomically(At("unit.yaml"),
                                        absl::StrCat("unit: ", unit_, "\ninit_command: [\"{root}/init\"]\nservices:\n",
                                                     "  - {name: app, argv: [\"{root}/service\", \"{unit}\", \"",
                                                     Mark(), "\"], restart_delay: 50ms}\nstop_timeout: 5s\n", more))
                    .ok());
  }

  void StartSimulator(const std::string& more_config = "") {
    WriteConfig(more_config);
    const std::string program = TANDEM_UNIT_SIM;
    const std::string config = At("unit.yaml");
    std::vector<std::string> words = {program, "run", "--config", config};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    ASSERT_EQ(posix_spawn(&simulator_, program.c_str(), nullptr, nullptr, argv.data(), environ), 0);
  }

  void EndSimulator(int signal) {
    kill(simulator_, signal);
    waitpid(simulator_, nullptr, 0);
    simulator_ = 0;
    const absl::Time end = absl::Now() + kPatience;
    while (!Marked().empty() && absl::Now() < end) {
    }
  }

  Status Wait(const std::function<bool(const Status&)>& good) {
    const absl::StatusOr<Status> status = WaitForStatus(unit_, kPatience, good);
    EXPECT_TRUE(status.ok()) << status.status() << "\n" << fs_.ReadFile(InUnit("console.log")).value_or("");
    return status.value_or(Status());
  }
  Status WaitRunning(uint64_t boots) {
    return Wait([&](const Status& now) { return now.state == "running" && now.boots >= boots; });
  }

  absl::Status Command(std::vector<std::string> words) {
    words.insert(words.begin(), TANDEM_UNIT_SIM);
    words.insert(words.end(), {"--unit", unit_});
    return RunCommandOk({.argv = words, .timeout = kPatience});
  }

  std::string Read(const std::string& name) { return fs_.ReadFile(InUnit(name)).value_or(""); }

  FileSystem& fs_ = FileSystem::Real();
  std::string folder_;
  std::string unit_;
  pid_t simulator_ = 0;
};

TEST_F(UnitSimTest, BootsTheConfirmedSlotAndShowsIt) {
  StartSimulator();
  const Status status = WaitRunning(1);
  EXPECT_EQ(status.slot, "A");
  EXPECT_THAT(Read("run/cmdline"), HasSubstr("tandem.slot=A"));
  EXPECT_EQ(Read("run/boot_id"), status.boot_id + "\n");
  EXPECT_EQ(Read("run/root/version"), "1.0\n");
  EXPECT_THAT(Read("console.log"), HasSubstr("boot 1: slot A, confirmed slot"));
  EXPECT_FALSE(RunCommandOk({.argv = {TANDEM_UNIT_SIM, "run", "--config", At("unit.yaml")}}).ok())
      << "one simulator per unit";
}

TEST_F(UnitSimTest, ATrialIsBootedAfterAReboot) {
  StartSimulator();
  const Status first = WaitRunning(1);
  boot::RecordBootControl control(fs_, InUnit("boot.rec"));
  ASSERT_TRUE(control.SetTrial(boot::Slot::kB, 3).ok());
  ASSERT_TRUE(Command({"reboot"}).ok());
  const Status second = WaitRunning(2);
  EXPECT_EQ(second.slot, "B");
  EXPECT_NE(second.boot_id, first.boot_id);
  EXPECT_EQ(Read("run/root/version"), "2.0\n");
  EXPECT_EQ(control.Read()->attempts_left, 2);
  EXPECT_THAT(Read("console.log"), HasSubstr("boot 2: slot B, trial boot, 2 attempts left"));
}

TEST_F(UnitSimTest, APowerCutKillsEverythingAndPowerComesBack) {
  StartSimulator();
  WaitRunning(1);
  ASSERT_TRUE(Command({"power-cut"}).ok());
  EXPECT_EQ(Marked(), "");
  EXPECT_EQ(ReadStatus(unit_)->state, "off");
  ASSERT_TRUE(Command({"power-on"}).ok());
  EXPECT_EQ(ReadStatus(unit_)->state, "running");
  ASSERT_TRUE(Command({"power-cut", "--restart-after", "10ms"}).ok());
  EXPECT_EQ(WaitRunning(3).power_cuts, 2);
}

TEST_F(UnitSimTest, AFailingInitUsesUpTheTrialAndFallsBack) {
  MakeImage("slot-b.img", "2.0", "exit 1");
  StartSimulator();
  WaitRunning(1);
  boot::RecordBootControl control(fs_, InUnit("boot.rec"));
  ASSERT_TRUE(control.SetTrial(boot::Slot::kB, 2).ok());
  ASSERT_TRUE(Command({"reboot"}).ok());
  const Status status = WaitRunning(4);
  EXPECT_EQ(status.slot, "A");
  EXPECT_EQ(status.boots, 4);
  EXPECT_THAT(Read("console.log"), HasSubstr("boot 3: slot B failed: init did not succeed"));
}

TEST_F(UnitSimTest, AnInitThatHangsIsAFailedBoot) {
  MakeImage("slot-b.img", "2.0", absl::StrCat("exec sleep 1000.", Mark()));
  StartSimulator("boot_timeout: 2s\n");
  WaitRunning(1);
  boot::RecordBootControl control(fs_, InUnit("boot.rec"));
  ASSERT_TRUE(control.SetTrial(boot::Slot::kB, 1).ok());
  ASSERT_TRUE(Command({"reboot"}).ok());
  EXPECT_EQ(WaitRunning(3).slot, "A");
}

TEST_F(UnitSimTest, AHalfWrittenImageIsNotBootedTwice) {
  Shell("head -c 300 " + InUnit("slot-b.img") + " > " + At("half") + "; mv " + At("half") + " " + InUnit("slot-b.img"));
  StartSimulator();
  WaitRunning(1);
  boot::RecordBootControl control(fs_, InUnit("boot.rec"));
  ASSERT_TRUE(control.SetTrial(boot::Slot::kB, 3).ok());
  ASSERT_TRUE(Command({"reboot"}).ok());
  EXPECT_EQ(WaitRunning(3).slot, "A");
  EXPECT_TRUE(control.Read()->b_unbootable);
}

TEST_F(UnitSimTest, ATrialThatDoesNotFeedTheWatchdogIsReset) {
  StartSimulator("watchdog: {timeout: 300ms}\n");
  WaitRunning(1);
  boot::RecordBootControl control(fs_, InUnit("boot.rec"));
  ASSERT_TRUE(control.SetTrial(boot::Slot::kB, 1).ok());
  ASSERT_TRUE(Command({"reboot"}).ok());
  const Status status = WaitRunning(3);
  EXPECT_EQ(status.slot, "A");
  EXPECT_EQ(status.watchdog_resets, 1);
}

TEST_F(UnitSimTest, BothSlotsBadIsRecoveryUntilSomebodyHelps) {
  MakeImage("slot-a.img", "1.0", "exit 1");
  StartSimulator("max_failed_boots: 3\n");
  const Status status = Wait([](const Status& now) { return now.state == "recovery"; });
  EXPECT_THAT(status.reason, HasSubstr("gave up after 3 failed boots"));
  MakeImage("slot-a.img", "1.1", "exit 0");
  ASSERT_TRUE(Command({"power-on"}).ok());
  EXPECT_EQ(ReadStatus(unit_)->slot, "A");
}

TEST_F(UnitSimTest, AServiceThatEndsIsStartedAgain) {
  StartSimulator();
  WaitRunning(1);
  const absl::Time end = absl::Now() + kPatience;
  while (Read("starts").empty() && absl::Now() < end) {
  }
  const std::vector<std::string> pids = absl::StrSplit(Marked(), '\n', absl::SkipEmpty());
  for (const std::string& pid : pids) kill(std::stoi(pid), SIGKILL);
  while (Read("starts") != "started\nstarted\n" && absl::Now() < end) {
  }
  EXPECT_EQ(Read("starts"), "started\nstarted\n");
}

TEST_F(UnitSimTest, NothingIsLeftWhenTheSimulatorIsKilled) {
  for (const int signal : {SIGTERM, SIGKILL}) {
    StartSimulator();
    Wait([&](const Status& now) { return now.state == "running" && now.simulator == simulator_; });
    while (Marked().empty()) {
    }
    EndSimulator(signal);
    EXPECT_EQ(Marked(), "") << "after signal " << signal;
    EXPECT_EQ(ReadStatus(unit_)->state, "off");
  }
}

TEST_F(UnitSimTest, OffStopsInOrderAndCommandsWithoutSimulatorSaySo) {
  StartSimulator();
  WaitRunning(1);
  ASSERT_TRUE(Command({"off"}).ok());
  EXPECT_EQ(Marked(), "");
  EndSimulator(SIGTERM);
  const absl::Status status = Command({"reboot"});
  EXPECT_THAT(std::string(status.message()), HasSubstr("no simulator runs"));
}

TEST_F(UnitSimTest, RefusesAWrongConfiguration) {
  WriteConfig("no_such_key: 1\n");
  const auto result = RunCommand({.argv = {TANDEM_UNIT_SIM, "run", "--check-config", "--config", At("unit.yaml")}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 2);
  EXPECT_THAT(result->error_output, HasSubstr("no_such_key"));
}

TEST_F(UnitSimTest, ChecksAConfigurationLikeEveryProgram) {
  const auto exit_code = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TANDEM_UNIT_SIM);
    const auto result = RunCommand({.argv = arguments});
    return result.ok() ? result->exit_code : -1;
  };
  WriteConfig("");
  EXPECT_EQ(exit_code({"--check-config", "--config", At("unit.yaml")}), 0);
  WriteConfig("no_such_key: 1\n");
  EXPECT_EQ(exit_code({"--check-config", "--config", At("unit.yaml")}), 2);
  EXPECT_EQ(exit_code({"--check-config"}), 2);
  EXPECT_EQ(exit_code({"--config", At("unit.yaml")}), 2);
  EXPECT_EQ(exit_code({}), 2);
}

TEST_F(UnitSimTest, PeripheralsKeepTheirPowerThroughAReboot) {
  const std::string chip = absl::StrCat("peripherals:\n  - {name: chip, argv: [sh, -c, \"echo on >> ", InUnit("chip"),
                                        "; exec sleep 1000.", Mark(), "\"]}\n");
  const auto starts = [&] {
    const std::string text = fs_.ReadFile(InUnit("chip")).value_or("");
    return std::count(text.begin(), text.end(), '\n');
  };
  StartSimulator(chip);
  ASSERT_TRUE(WaitForStatus(unit_, kPatience, [](const Status& now) { return now.state == "running"; }).ok());
  ASSERT_TRUE(SendRequest(unit_, "reboot").ok());
  ASSERT_TRUE(
      WaitForStatus(unit_, kPatience, [](const Status& now) { return now.boots == 2 && now.state == "running"; }).ok());
  EXPECT_EQ(starts(), 1);
  ASSERT_TRUE(SendRequest(unit_, "power-cycle chip").ok());
  ASSERT_TRUE(SendRequest(unit_, "power-cut 1").ok());
  ASSERT_TRUE(
      WaitForStatus(unit_, kPatience, [](const Status& now) { return now.boots == 3 && now.state == "running"; }).ok());
  for (int tries = 0; tries < 100 && starts() < 3; ++tries) absl::SleepFor(absl::Milliseconds(50));
  EXPECT_EQ(starts(), 3);
}

#ifdef TANDEM_UBOOT
// A ROM, two copies of the real U-Boot, and its environment between them and the slots.
class UbootUnitTest : public UnitSimTest {
 protected:
  void SetUp() override {
    UnitSimTest::SetUp();
    std::filesystem::copy(TANDEM_UBOOT, InUnit("bootloader-a.bin"));
    std::filesystem::copy(TANDEM_UBOOT, InUnit("bootloader-b.bin"));
    StartSimulator("uboot: {scripts: \"" TANDEM_UBOOT_SCRIPTS "\", timeout: 3s}\nwatchdog: {timeout: 60s}\n");
    ASSERT_TRUE(WaitForRunning(1).ok());
  }
  absl::Status WaitForRunning(uint64_t boots) {
    return WaitForStatus(unit_, kPatience,
                         [&](const Status& now) { return now.boots == boots && now.state == "running"; })
        .status();
  }
  std::string Cmdline() { return fs_.ReadFile(InUnit("run/cmdline")).value(); }
  boot::UbootBootControl Slots() { return {fs_, InUnit("fw_env.config")}; }
  boot::RecordBootControl Copies() { return {fs_, InUnit("bootloader.rec")}; }
};

TEST_F(UbootUnitTest, BothStagesAreOnTrialAndFallBackOnTheirOwn) {
  EXPECT_EQ(Cmdline(), "console=ttyS0 rauc.slot=A tandem.bootloader=A\n");
  auto copies = Copies();
  auto slots = Slots();
  ASSERT_TRUE(copies.SetTrial(boot::Slot::kB, 2).ok());
  ASSERT_TRUE(SendRequest(unit_, "reboot").ok());
  ASSERT_TRUE(WaitForRunning(2).ok());
  EXPECT_EQ(Cmdline(), "console=ttyS0 rauc.slot=A tandem.bootloader=B\n");
  ASSERT_TRUE(copies.Confirm(boot::Slot::kB).ok());
  ASSERT_TRUE(slots.SetTrial(boot::Slot::kB, 1).ok());
  ASSERT_TRUE(SendRequest(unit_, "reboot").ok());
  ASSERT_TRUE(WaitForRunning(3).ok());
  EXPECT_EQ(Cmdline(), "console=ttyS0 rauc.slot=B tandem.bootloader=B\n");
  ASSERT_TRUE(SendRequest(unit_, "reboot").ok());
  ASSERT_TRUE(WaitForRunning(4).ok());
  EXPECT_EQ(Cmdline(), "console=ttyS0 rauc.slot=A tandem.bootloader=B\n") << "the trial of the slot is over";
}

TEST_F(UbootUnitTest, ABootloaderThatDoesNotRunIsLeftByTheRom) {
  ASSERT_TRUE(fs_.WriteFileAtomically(InUnit("bootloader-b.bin"), std::string(1 << 20, 'x')).ok());
  auto copies = Copies();
  ASSERT_TRUE(copies.SetTrial(boot::Slot::kB, 2).ok());
  ASSERT_TRUE(SendRequest(unit_, "reboot").ok());
  ASSERT_TRUE(WaitForRunning(2).ok());
  EXPECT_EQ(Cmdline(), "console=ttyS0 rauc.slot=A tandem.bootloader=A\n");
  EXPECT_EQ(copies.Read()->attempts_left, 0);
  EXPECT_THAT(fs_.ReadFile(InUnit("console.log")).value(), HasSubstr("ROM: bootloader copy B"));
}
#endif

}  // namespace
}  // namespace tandem::sim
