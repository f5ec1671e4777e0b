#include "um-plugins/rootfs/make_rootfs_plugin.h"

#include <string>
#include <utility>
#include <vector>

#include "bootloader/boot_control/record_boot_control.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"
#include "um-plugins/slots/machine_slot_plugin.h"

namespace tandem::plugins {
namespace {

MachineSlotSettings RootfsSettings(const config::v1::UmConfig& config) {
  const config::v1::RootfsPlugin& rootfs = config.rootfs();
  MachineSlotSettings settings;
  SlotPluginOptions& slots = settings.slots;
  slots.component_id = rootfs.component_id().empty() ? "rootfs" : rootfs.component_id();
  slots.component_type = rootfs.component_type();
  slots.state_dir = config.state_dir();
  slots.slot_a = rootfs.slot_a();
  slots.slot_b = rootfs.slot_b();
  slots.slot_keys = {"tandem.slot=", "rauc.slot="};
  if (!rootfs.cmdline_file().empty()) slots.cmdline_file = rootfs.cmdline_file();
  if (!rootfs.boot_id_file().empty()) slots.boot_id_file = rootfs.boot_id_file();
  slots.version_file = rootfs.version_file();
  slots.factory_version = rootfs.factory_version();
  slots.verify_before_confirm = rootfs.verify_before_confirm();
  slots.artifact_tls = config.artifact_tls();
  settings.reboot_command = {rootfs.reboot_command().begin(), rootfs.reboot_command().end()};
  settings.check_command = {rootfs.check_command().begin(), rootfs.check_command().end()};
  settings.check_timeout = DurationOr(rootfs.has_check_timeout(), rootfs.check_timeout(), absl::Seconds(60));
  return settings;
}

}  // namespace

absl::Status CheckRootfsConfig(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(
      Require("ums", config, {"node_id", "state_dir", "rootfs.component_type", "rootfs.slot_a", "rootfs.slot_b"}));
  const config::v1::RootfsPlugin& rootfs = config.rootfs();
  if (rootfs.slot_a() == rootfs.slot_b()) {
    return absl::InvalidArgumentError("rootfs: slot_a and slot_b are the same; give each slot its own device");
  }
  if (rootfs.boot_record().empty() == rootfs.uboot_environment().empty()) {
    return absl::InvalidArgumentError(
        "rootfs: it needs boot_record or uboot_environment, and not both: they are two ways to tell the bootloader");
  }
  if (rootfs.uboot_environment().empty()) return absl::OkStatus();
  return Annotate(boot::UbootBootControl(FileSystem::Real(), rootfs.uboot_environment()).CheckConfig(),
                  "rootfs.uboot_environment");
}

absl::StatusOr<std::unique_ptr<um::Plugin>> MakeRootfsPlugin(const config::v1::UmConfig& config, BootStages& stages) {
  RETURN_IF_ERROR(CheckRootfsConfig(config));
  std::unique_ptr<boot::BootControl> boot;
  if (config.rootfs().uboot_environment().empty()) {
    boot = std::make_unique<boot::RecordBootControl>(FileSystem::Real(), config.rootfs().boot_record());
  } else {
    boot = std::make_unique<boot::UbootBootControl>(FileSystem::Real(), config.rootfs().uboot_environment());
  }
  return MakeMachineSlotPlugin(RootfsSettings(config), std::move(boot), stages);
}

}  // namespace tandem::plugins
