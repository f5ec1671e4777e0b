// The plugin over real files and a real boot record; what every slot plugin does is tested in um-plugins/slots.
#include "um-plugins/bootloader/make_bootloader_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "common/crypto/sha256.h"
#include "common/storage/file_system.h"
#include "um-plugins/slots/slot_plugin.h"
#include "um/fake_operation.h"

namespace tandem::plugins {
namespace {

using config::v1::BootloaderPlugin;
using ::testing::HasSubstr;

class MakeBootloaderPluginTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/make_bootloader_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    config_.set_node_id("bootloader");
    config_.set_state_dir(At("state"));
    BootloaderPlugin& bootloader = *config_.mutable_bootloader();
    bootloader.set_component_type("u-boot");
    bootloader.set_copy_a(At("a"));
    bootloader.set_copy_b(At("b"));
    bootloader.set_boot_record(At("boot.rec"));
    bootloader.set_rom_fallback(BootloaderPlugin::BOOT_RECORD);
    bootloader.set_cmdline_file(At("cmdline"));
    bootloader.set_factory_version("2023.01");
    bootloader.add_reboot_command("true");
    for (const char* name : {"a", "b"}) ASSERT_TRUE(fs_.WriteFileAtomically(At(name), "").ok());
    Run("A");
    ASSERT_TRUE(boot::BootRecordStore(fs_, At("boot.rec")).Create({}).ok());
    ASSERT_TRUE(fs_.WriteFileAtomically(At("image"), image_).ok());
  }
  void TearDown() override { EXPECT_TRUE(fs_.RemoveTree(folder_).ok()); }

  std::string At(const std::string& name) const { return JoinPath(folder_, name); }
  void Run(const std::string& copy) {
    ASSERT_TRUE(fs_.WriteFileAtomically(At("cmdline"), absl::StrCat("rauc.slot=A tandem.bootloader=", copy)).ok());
  }
  boot::BootState State() { return boot::RecordBootControl(fs_, At("boot.rec")).Read().value(); }
  um::Artifact NewVersion() const {
    return {.component_id = "bootloader",
            .component_type = "u-boot",
            .version = "2024.01",
            .urls = {"file://" + At("image")},
            .sha256 = Sha256(image_),
            .size = image_.size()};
  }
  std::string Refusal() { return std::string(CheckBootloaderConfig(config_).message()); }

  FileSystem& fs_ = FileSystem::Real();
  const std::string image_ = std::string(1 << 20, 'u');
  std::string folder_;
  config::v1::UmConfig config_;
  BootStages stages_;
  um::FakeOperation operation_;
};

TEST_F(MakeBootloaderPluginTest, WritesTheOtherCopySelectsItAndConfirms) {
  std::unique_ptr<um::Plugin> plugin = MakeBootloaderPlugin(config_, stages_).value();
  EXPECT_TRUE(plugin->SwitchesBoot());
  EXPECT_EQ(plugin->Inventory().value()[0].version, "2023.01");
  const absl::Status prepared = plugin->Prepare({NewVersion()}, operation_);
  ASSERT_TRUE(prepared.ok()) << prepared;
  EXPECT_EQ(fs_.ReadFile(At("b")).value(), image_);
  EXPECT_EQ(State().trial, std::nullopt);
  ASSERT_EQ(plugin->Start(operation_).value(), um::StartResult::kNeedsReboot);
  EXPECT_EQ(State().trial, boot::Slot::kB);
  EXPECT_EQ(State().attempts_left, kTrialAttempts);
  Run("B");
  ASSERT_EQ(plugin->Start(operation_).value(), um::StartResult::kRunning);
  EXPECT_GT(State().attempts_left, 2 * kTrialAttempts) << "the boots of a root file system on trial are its boots, too";
  ASSERT_TRUE(plugin->Apply(operation_).ok());
  EXPECT_EQ(State().confirmed, boot::Slot::kB);
  EXPECT_EQ(plugin->Inventory().value()[0].version, "2024.01");
}

TEST_F(MakeBootloaderPluginTest, DoesNotMeetAnotherUnprovenStageInOneBoot) {
  std::unique_ptr<um::Plugin> plugin = MakeBootloaderPlugin(config_, stages_).value();
  ASSERT_TRUE(plugin->Prepare({NewVersion()}, operation_).ok());
  bool rootfs_unproven = true;
  stages_.Add("rootfs", [&] { return rootfs_unproven; });
  const absl::Status refused = plugin->Start(operation_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("rootfs is on trial and has not been booted yet"));
  EXPECT_EQ(State().trial, std::nullopt);
  rootfs_unproven = false;
  EXPECT_TRUE(plugin->Start(operation_).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(stages_.MayArm("rootfs"))) << "and the other way round";
}

TEST_F(MakeBootloaderPluginTest, RefusesWhatCouldBrickTheUnit) {
  BootloaderPlugin& bootloader = *config_.mutable_bootloader();
  bootloader.clear_rom_fallback();
  EXPECT_THAT(Refusal(), HasSubstr("rom_fallback is missing"));
  bootloader.set_brick_is_acceptable(true);
  EXPECT_TRUE(CheckBootloaderConfig(config_).ok());
  bootloader.set_rom_fallback(BootloaderPlugin::ROM);
  bootloader.clear_copy_b();
  EXPECT_THAT(Refusal(), HasSubstr("must be two devices"));
  bootloader.set_copy_b(At("a"));
  EXPECT_THAT(Refusal(), HasSubstr("must be two devices"));
}

TEST_F(MakeBootloaderPluginTest, NeedsSomethingThatChoosesTheCopy) {
  BootloaderPlugin& bootloader = *config_.mutable_bootloader();
  bootloader.clear_boot_record();
  EXPECT_THAT(Refusal(), HasSubstr("there is no boot_record"));
  bootloader.set_rom_fallback(BootloaderPlugin::SUPERVISOR);
  EXPECT_THAT(Refusal(), HasSubstr("it needs boot_record or mmc"));
  bootloader.mutable_mmc()->set_device("/dev/mmcblk0");
  EXPECT_THAT(Refusal(), HasSubstr("mmc.state"));
  bootloader.mutable_mmc()->set_state(At("state.rec"));
  EXPECT_TRUE(CheckBootloaderConfig(config_).ok());
}

}  // namespace
}  // namespace tandem::plugins
