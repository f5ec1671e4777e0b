// The boot script in the real U-Boot under QEMU, with its state read and written by libubootenv on the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "bootloader/core/slot_policy.h"
#include "common/process/run_command.h"
#include "common/storage/file_system.h"
#include "tools/unit-sim/uboot_machine.h"

namespace tandem {
namespace {

using boot::BootRecord;
using boot::BootState;
using boot::Slot;
using ::testing::HasSubstr;

constexpr absl::Duration kBootTime = absl::Seconds(30);

class UbootTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "tandem-uboot-XXXXXX").string();
    machine_.folder = mkdtemp(name.data());
    machine_.disk = machine_.folder + "/disk.img";
    machine_.firmware = TANDEM_UBOOT;
    machine_.scripts = TANDEM_UBOOT_SCRIPTS;
    ASSERT_TRUE(sim::FormatUbootDisk(machine_, boot::VariablesFromRecord({})).ok());
  }
  void TearDown() override {
    if (!HasFailure()) std::filesystem::remove_all(machine_.folder);
  }

  Slot Boot() {
    const absl::StatusOr<Slot> slot = sim::BootUboot(machine_, kBootTime);
    EXPECT_TRUE(slot.ok()) << slot.status();
    return slot.value_or(Slot::kNone);
  }
  std::string Console() { return FileSystem::Real().ReadFile(machine_.folder + "/uboot-console.log").value_or(""); }
  boot::UbootBootControl Control() { return {FileSystem::Real(), machine_.folder + "/fw_env.config"}; }
  // Other scripts, and more lines in the board's environment.
  void UseBoard(const std::string& lines, const std::string& script = "boot-blocks.scr") {
    const std::string scripts = machine_.folder + "/scripts";
    std::filesystem::remove_all(scripts);
    std::filesystem::create_directory(scripts);
    std::filesystem::copy(TANDEM_UBOOT_SCRIPTS "/test_kernel.img", scripts + "/test_kernel.img");
    std::filesystem::copy(std::string(TANDEM_UBOOT_SCRIPTS "/") + script, scripts + "/boot-blocks.scr");
    const std::string board = FileSystem::Real().ReadFile(TANDEM_UBOOT_SOURCES "/qemu-arm64.env").value();
    std::ofstream(scripts + "/board.env") << board << lines << "\n";
    ASSERT_TRUE(RunCommandOk({.argv = {"mkenvimage", "-s", "0x40000", "-o", scripts + "/environment.img",
                                       scripts + "/board.env"}})
                    .ok());
    machine_.scripts = scripts;
  }
  void WriteDisk(uint64_t at, const std::string& bytes) {
    auto disk = FileSystem::Real().Open(machine_.disk, FileSystem::OpenMode::kReadWrite).value();
    ASSERT_TRUE(disk->WriteAt(at, bytes).ok());
  }

  sim::UbootMachine machine_;
};

TEST_F(UbootTest, AnUpdateIsTriedCountedAndConfirmed) {
  auto control = Control();
  EXPECT_EQ(Boot(), Slot::kA);
  ASSERT_TRUE(control.MarkUnbootable(Slot::kB).ok());
  EXPECT_EQ(Boot(), Slot::kA);
  ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
  EXPECT_EQ(Boot(), Slot::kB);
  EXPECT_THAT(Console(), HasSubstr("tandem: slot B (trial boot), A 3 B 2 left"));
  EXPECT_EQ(control.Read()->attempts_left, 2);
  ASSERT_TRUE(control.RearmAttempts(Slot::kB, 3).ok());
  EXPECT_EQ(Boot(), Slot::kB);
  ASSERT_TRUE(control.Confirm(Slot::kB).ok());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Boot(), Slot::kB) << "a confirmed slot never runs out";
  EXPECT_EQ(control.Read().value(), BootState{.confirmed = Slot::kB});
}

TEST_F(UbootTest, ThreeFailedBootsFallBackToTheConfirmedSlot) {
  auto control = Control();
  ASSERT_TRUE(control.RaiseSecurityCounter(7).ok());
  ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), Slot::kB);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), Slot::kA);
  EXPECT_THAT(Console(), HasSubstr("the trial ran out of boots"));
  const BootState state = control.Read().value();
  EXPECT_EQ(state.trial, Slot::kB);
  EXPECT_EQ(state.attempts_left, 0);
  EXPECT_EQ(state.security_counter, 7U) << "kept by what U-Boot writes";
}

TEST_F(UbootTest, OneDamagedCopyDoesNotMatterTwoAreNotGuessedAt) {
  auto control = Control();
  ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
  // The copy that was just written is the second.
  WriteDisk(0x100100, "damaged");
  EXPECT_EQ(Boot(), Slot::kB);
  // U-Boot wrote the first one anew.
  WriteDisk(0x104100, "damaged");
  EXPECT_EQ(Boot(), Slot::kB);
  EXPECT_EQ(control.Read()->attempts_left, 1);
  WriteDisk(0x100100, "damaged");
  WriteDisk(0x104100, "damaged");
  const auto slot = sim::BootUboot(machine_, kBootTime);
  EXPECT_TRUE(absl::IsFailedPrecondition(slot.status())) << slot.status();
  EXPECT_THAT(Console(), HasSubstr("tandem: recovery: neither copy of the state can be read"));
}

// Power goes at any moment of a boot: while U-Boot reads, writes its state, or loads the kernel.
TEST_F(UbootTest, SurvivesAHundredPowerCutsDuringUpdates) {
  const uint64_t seed = std::random_device()();
  RecordProperty("seed", absl::StrCat(seed));
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  auto control = Control();
  Slot confirmed = Slot::kA;
  int cut = 0;
  int booted_new = 0;
  for (int cycle = 0; cycle < TANDEM_UBOOT_CYCLES; ++cycle) {
    const Slot target = boot::Other(confirmed);
    ASSERT_TRUE(control.MarkUnbootable(target).ok());
    ASSERT_TRUE(control.SetTrial(target, 3).ok());
    const auto slot = sim::BootUboot(machine_, absl::Milliseconds(20 + random() % 230));
    if (!slot.ok()) {
      ASSERT_TRUE(absl::IsDeadlineExceeded(slot.status())) << slot.status();
      ++cut;
    }
    const BootState state = control.Read().value();
    ASSERT_EQ(state.confirmed, confirmed) << "cycle " << cycle;
    ASSERT_EQ(state.trial, target) << "cycle " << cycle;
    ASSERT_GE(state.attempts_left, 2U) << "one boot counts once";
    ASSERT_EQ(Boot(), target) << "cycle " << cycle;
    if (cycle % 2 == 0) {
      ASSERT_TRUE(control.Confirm(target).ok());
      confirmed = target;
      ++booted_new;
    } else {
      ASSERT_TRUE(control.CancelTrial().ok());
    }
    ASSERT_EQ(Boot(), confirmed) << "cycle " << cycle;
  }
  EXPECT_GT(cut, 0);
  EXPECT_GT(booted_new, 0);
  std::cout << TANDEM_UBOOT_CYCLES << " cycles, " << cut << " with a power cut in the boot, seed " << seed << "\n";
}

TEST_F(UbootTest, AStateThatCannotBeSavedBeginsNoTrialAndBootsWhatIsConfirmed) {
  auto control = Control();
  ASSERT_TRUE(control.SetTrial(Slot::kB, 3).ok());
  machine_.disk_is_read_only = true;
  EXPECT_EQ(Boot(), Slot::kA);
  EXPECT_THAT(Console(), HasSubstr("tandem: the state cannot be saved"));
  machine_.disk_is_read_only = false;
  ASSERT_TRUE(control.Confirm(Slot::kB).ok());
  ASSERT_TRUE(control.MarkUnbootable(Slot::kB).ok()) << "A is good, too";
  machine_.disk_is_read_only = true;
  EXPECT_EQ(Boot(), Slot::kA);
  // The active slot is unbootable, and the record cannot be changed to say that the other one is active.
  machine_.disk_is_read_only = false;
  ASSERT_TRUE(
      sim::FormatUbootDisk(machine_, {{"BOOT_A_LEFT", "0"}, {"tandem_confirmed", "A B"}, {"tandem_state", "1"}}).ok());
  machine_.disk_is_read_only = true;
  EXPECT_EQ(Boot(), Slot::kB);
}

TEST_F(UbootTest, AnActiveSlotThatCannotBeLoadedIsLeftForTheOtherGoodOne) {
  UseBoard(
      "tandem_boot=if test ${tandem_slot} = B; then setenv bootargs rauc.slot=B; booti 42000000 - ${fdtcontroladdr}; "
      "else false; fi");
  ASSERT_TRUE(sim::FormatUbootDisk(machine_, {{"tandem_confirmed", "A B"}, {"tandem_state", "1"}}).ok());
  EXPECT_EQ(Boot(), Slot::kB);
  EXPECT_THAT(Console(), HasSubstr("tandem: slot A cannot be booted"));
  const BootState state = Control().Read().value();
  EXPECT_EQ(state.confirmed, Slot::kB);
  EXPECT_TRUE(state.a_unbootable);
  EXPECT_EQ(Boot(), Slot::kB);
}

TEST_F(UbootTest, TheOnlyGoodSlotThatCannotBeLoadedEndsInRecoveryNotInALoop) {
  UseBoard("tandem_boot=false");
  const auto slot = sim::BootUboot(machine_, kBootTime);
  EXPECT_TRUE(absl::IsFailedPrecondition(slot.status())) << slot.status();
  EXPECT_THAT(Console(), HasSubstr("tandem: recovery: nothing can be booted"));
  EXPECT_FALSE(Control().Read()->a_unbootable) << "it may be good again";
}

TEST_F(UbootTest, NonsenseInTheVariablesBeginsNoTrial) {
  for (const boot::Variables& nonsense :
       {boot::Variables{{"tandem_trial", "C"}}, boot::Variables{{"tandem_trial", "B"}, {"BOOT_B_LEFT", "x"}},
        boot::Variables{{"tandem_trial", "B"}, {"BOOT_B_LEFT", "10"}}, boot::Variables{{"BOOT_ORDER", "X Y"}},
        boot::Variables{{"BOOT_A_LEFT", "99"}}}) {
    ASSERT_TRUE(sim::FormatUbootDisk(machine_, nonsense).ok());
    EXPECT_EQ(Boot(), Slot::kA) << nonsense.begin()->first << "=" << nonsense.begin()->second;
  }
}

// U-Boot's own environment as the storage; the one of the package cannot save it, so only the way there is proven.
TEST_F(UbootTest, TheEnvironmentThatUbootWasBuiltWithIsNotTakenForTheState) {
  UseBoard("BOOT_ORDER=B A\ntandem_confirmed=A B\ntandem_state=1", "boot-environment.scr");
  EXPECT_EQ(Boot(), Slot::kB);
  UseBoard("BOOT_ORDER=B A\ntandem_confirmed=A B", "boot-environment.scr");
  EXPECT_FALSE(sim::BootUboot(machine_, kBootTime).ok());
  EXPECT_THAT(Console(), HasSubstr("tandem: recovery: neither copy of the state can be read"));
}

// The table in U-Boot's words decides as the table in C++, for every state there is.
TEST_F(UbootTest, DecidesAsTheSlotPolicyForEveryState) {
  std::vector<BootRecord> states;
  for (const Slot active : {Slot::kA, Slot::kB}) {
    for (const bool on_trial : {false, true}) {
      for (uint8_t attempts = 0; attempts <= (on_trial ? 2 : 0); ++attempts) {
        for (const uint8_t confirmed : {boot::Bit(active), uint8_t{3}}) {
          for (uint8_t unbootable = 0; unbootable <= 3; ++unbootable) {
            BootRecord record{.active = active, .attempts_left = attempts, .confirmed = confirmed};
            record.unbootable = unbootable;
            if (on_trial) record.trial = boot::Other(active);
            if (on_trial && !record.IsBootable(record.trial)) continue;
            states.push_back(record);
          }
        }
      }
    }
  }
  std::string script = FileSystem::Real().ReadFile(TANDEM_UBOOT_SOURCES "/policy.cmd").value();
  for (size_t i = 0; i < states.size(); ++i) {
    for (const auto& [name, value] : boot::VariablesFromRecord(states[i])) {
      absl::StrAppend(&script, "setenv ", name, " '", value, "'\n");
    }
    absl::StrAppend(&script, "run tandem_decide\necho \"state ", i,
                    " slot=${tandem_slot} write=${tandem_write} order=${BOOT_ORDER} a=${BOOT_A_LEFT} b=${BOOT_B_LEFT} "
                    "trial=${tandem_trial} end\"\n");
  }
  absl::StrAppend(&script, "poweroff\n");
  std::filesystem::create_directory(machine_.folder + "/scripts");
  std::ofstream(machine_.folder + "/policy.cmd") << script;
  for (const char* file : {"environment.img", "test_kernel.img"}) {
    std::filesystem::copy(machine_.scripts + "/" + file, machine_.folder + "/scripts/" + file);
  }
  machine_.scripts = machine_.folder + "/scripts";
  ASSERT_TRUE(RunCommandOk({.argv = {"mkimage", "-T", "script", "-n", "test", "-d", machine_.folder + "/policy.cmd",
                                     machine_.scripts + "/boot-blocks.scr"}})
                  .ok());
  ASSERT_TRUE(absl::IsFailedPrecondition(sim::BootUboot(machine_, absl::Minutes(2)).status()));
  const std::string console = Console();
  for (size_t i = 0; i < states.size(); ++i) {
    std::smatch said;
    const std::regex line(absl::StrCat("state ", i, " slot=(.*) write=(.*) order=(.*) a=(.*) b=(.*) trial=(.*) end"));
    ASSERT_TRUE(std::regex_search(console, said, line)) << "state " << i;
    const boot::Decision expected = boot::Decide({boot::RecordState::kValid, states[i], 0});
    boot::Variables after = boot::VariablesFromRecord(states[i]);
    after["BOOT_ORDER"] = said[3];
    after["BOOT_A_LEFT"] = said[4];
    after["BOOT_B_LEFT"] = said[5];
    after["tandem_trial"] = said[6];
    BootRecord record = boot::RecordFromVariables(after).value();
    BootRecord expected_record = expected.record;
    expected_record.sequence = record.sequence;
    expected_record.last_chosen = record.last_chosen;
    SCOPED_TRACE(absl::StrCat("state ", i, ": ", said[0].str()));
    ASSERT_EQ(said[1], expected.slot == Slot::kNone ? "" : boot::SlotName(expected.slot));
    ASSERT_EQ(record, expected_record);
    BootRecord kept = states[i];
    kept.sequence = record.sequence;
    kept.last_chosen = record.last_chosen;
    ASSERT_EQ(said[2], record == kept ? "" : "1") << "written when it changed, and only then";
  }
}

}  // namespace
}  // namespace tandem
