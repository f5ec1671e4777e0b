// The plugin over real files, a real boot record and real commands.
#include "um-plugins/rootfs/make_rootfs_plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "bootloader/boot_control/record_boot_control.h"
#include "common/crypto/sha256.h"
#include "common/storage/file_system.h"
#include "um/fake_operation.h"

namespace tandem::plugins {
namespace {

using ::testing::HasSubstr;

class MakeRootfsPluginTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/make_rootfs_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    config_.set_node_id("os");
    config_.set_state_dir(At("state"));
    config::v1::RootfsPlugin& rootfs = *config_.mutable_rootfs();
    rootfs.set_component_type("gateway-os");
    rootfs.set_slot_a(At("a"));
    rootfs.set_slot_b(At("b"));
    rootfs.set_boot_record(At("boot.rec"));
    rootfs.set_cmdline_file(At("cmdline"));
    rootfs.add_reboot_command("touch");
    rootfs.add_reboot_command(At("rebooted"));
    rootfs.add_check_command("test");
    rootfs.add_check_command("-e");
    rootfs.add_check_command(At("healthy"));
    for (const char* name : {"a", "b"}) ASSERT_TRUE(fs_.WriteFileAtomically(At(name), "").ok());
    ASSERT_TRUE(fs_.WriteFileAtomically(At("cmdline"), "tandem.slot=A\n").ok());
    ASSERT_TRUE(boot::BootRecordStore(fs_, At("boot.rec")).Create({}).ok());
  }
  void TearDown() override { EXPECT_TRUE(fs_.RemoveTree(folder_).ok()); }

  std::string At(const std::string& name) const { return JoinPath(folder_, name); }

  FileSystem& fs_ = FileSystem::Real();
  std::string folder_;
  config::v1::UmConfig config_;
  BootStages stages_;
  um::FakeOperation operation_;
};

TEST_F(MakeRootfsPluginTest, UpdatesRealFilesAndRunsTheCommands) {
  const std::string image(3 << 20, 'x');
  ASSERT_TRUE(fs_.WriteFileAtomically(At("image"), image).ok());
  std::unique_ptr<um::Plugin> plugin = MakeRootfsPlugin(config_, stages_).value();
  const absl::Status prepared = plugin->Prepare({{.component_id = "rootfs",
                                                  .component_type = "gateway-os",
                                                  .version = "2.0",
                                                  .urls = {"file://" + At("image")},
                                                  .sha256 = Sha256(image),
                                                  .size = image.size()}},
                                                operation_);
  ASSERT_TRUE(prepared.ok()) << prepared;
  EXPECT_EQ(fs_.ReadFile(At("b")).value(), image);
  ASSERT_EQ(plugin->Start(operation_).value(), um::StartResult::kNeedsReboot);
  ASSERT_TRUE(plugin->Reboot().ok());
  EXPECT_TRUE(fs_.Exists(At("rebooted")));

  ASSERT_TRUE(fs_.WriteFileAtomically(At("cmdline"), "tandem.slot=B\n").ok());
  plugin = MakeRootfsPlugin(config_, stages_).value();
  EXPECT_THAT(std::string(plugin->CheckAfterReboot(operation_).status().message()), HasSubstr("check of slot B"));
  ASSERT_TRUE(fs_.WriteFileAtomically(At("healthy"), "").ok());
  EXPECT_EQ(plugin->CheckAfterReboot(operation_).value(), um::RebootCheck::kRunning);
  ASSERT_TRUE(plugin->Apply(operation_).ok());
  EXPECT_EQ(boot::RecordBootControl(fs_, At("boot.rec")).Read()->confirmed, boot::Slot::kB);
}

TEST_F(MakeRootfsPluginTest, RefusesAWrongConfiguration) {
  config_.mutable_rootfs()->set_slot_b(At("a"));
  EXPECT_THAT(std::string(MakeRootfsPlugin(config_, stages_).status().message()), HasSubstr("the same"));
  config_.mutable_rootfs()->clear_slot_b();
  EXPECT_TRUE(absl::IsInvalidArgument(MakeRootfsPlugin(config_, stages_).status()));
}

TEST_F(MakeRootfsPluginTest, RefusesTwoWaysToTellTheBootloaderOrNone) {
  config_.mutable_rootfs()->set_uboot_environment("/etc/fw_env.config");
  EXPECT_THAT(std::string(CheckRootfsConfig(config_).message()), HasSubstr("and not both"));
  config_.mutable_rootfs()->clear_boot_record();
  config_.mutable_rootfs()->clear_uboot_environment();
  EXPECT_THAT(std::string(CheckRootfsConfig(config_).message()), HasSubstr("boot_record or uboot_environment"));
}

TEST_F(MakeRootfsPluginTest, RefusesAnEnvironmentThatAPowerCutCanLose) {
  ASSERT_TRUE(fs_.WriteFileAtomically(At("fw_env.config"), At("a") + " 0x0 0x4000\n").ok());
  config_.mutable_rootfs()->clear_boot_record();
  config_.mutable_rootfs()->set_uboot_environment(At("fw_env.config"));
  EXPECT_THAT(std::string(CheckRootfsConfig(config_).message()), HasSubstr("it needs two"));
}

}  // namespace
}  // namespace tandem::plugins
