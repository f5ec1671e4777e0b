#include "um-plugins/bootloader/make_bootloader_plugin.h"

#include <string>
#include <utility>

#include "bootloader/boot_control/mmc_boot_control.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "bootloader/core/boot_record.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"
#include "um-plugins/slots/machine_slot_plugin.h"

namespace tandem::plugins {
namespace {

using config::v1::BootloaderPlugin;

// Two copies and somebody who chooses: else a bootloader that does not run is the end of the unit.
absl::Status CheckFallback(const BootloaderPlugin& bootloader) {
  if (bootloader.copy_b().empty() || bootloader.copy_a() == bootloader.copy_b()) {
    return absl::InvalidArgumentError(
        "bootloader: copy_a and copy_b must be two devices: with one copy a power cut while it is written bricks the "
        "unit");
  }
  if (bootloader.rom_fallback() == BootloaderPlugin::NONE && !bootloader.brick_is_acceptable()) {
    return absl::InvalidArgumentError(
        "bootloader: rom_fallback is missing: say who boots the old copy when the new one never runs (BOOT_RECORD, ROM "
        "or SUPERVISOR), or accept that a bad bootloader bricks the unit with brick_is_acceptable: true");
  }
  if (bootloader.rom_fallback() == BootloaderPlugin::BOOT_RECORD && bootloader.boot_record().empty()) {
    return absl::InvalidArgumentError(
        "bootloader: rom_fallback is BOOT_RECORD, and there is no boot_record that the first stage could read");
  }
  return absl::OkStatus();
}

MachineSlotSettings BootloaderSettings(const config::v1::UmConfig& config) {
  const BootloaderPlugin& bootloader = config.bootloader();
  MachineSlotSettings settings;
  SlotPluginOptions& slots = settings.slots;
  slots.component_id = bootloader.component_id().empty() ? "bootloader" : bootloader.component_id();
  slots.component_type = bootloader.component_type();
  slots.state_dir = config.state_dir();
  slots.slot_a = bootloader.copy_a();
  slots.slot_b = bootloader.copy_b();
  slots.slot_keys = {"tandem.bootloader="};
  if (!bootloader.cmdline_file().empty()) slots.cmdline_file = bootloader.cmdline_file();
  if (!bootloader.boot_id_file().empty()) slots.boot_id_file = bootloader.boot_id_file();
  slots.version_file = bootloader.version_file();
  slots.factory_version = bootloader.factory_version();
  slots.verify_before_confirm = true;
  slots.read_back = true;
  // Each boot of a root file system on trial is one of the bootloader's, too.
  slots.proven_attempts = boot::kMaxAttempts;
  slots.artifact_tls = config.artifact_tls();
  settings.reboot_command = {bootloader.reboot_command().begin(), bootloader.reboot_command().end()};
  settings.check_command = {bootloader.check_command().begin(), bootloader.check_command().end()};
  settings.check_timeout = DurationOr(bootloader.has_check_timeout(), bootloader.check_timeout(), absl::Seconds(60));
  settings.set_writable = [a = bootloader.copy_a(), b = bootloader.copy_b()](boot::Slot slot, bool writable) {
    return boot::SetMmcWritable(FileSystem::Real(), slot == boot::Slot::kA ? a : b, writable);
  };
  return settings;
}

}  // namespace

absl::Status CheckBootloaderConfig(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(Require("ums", config, {"node_id", "state_dir", "bootloader.component_type", "bootloader.copy_a"}));
  const BootloaderPlugin& bootloader = config.bootloader();
  RETURN_IF_ERROR(CheckFallback(bootloader));
  switch (bootloader.selector_case()) {
    case BootloaderPlugin::kBootRecord:
      return absl::OkStatus();
    case BootloaderPlugin::kMmc:
      return Require("bootloader", bootloader, {"mmc.device", "mmc.state"});
    case BootloaderPlugin::SELECTOR_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("bootloader: it needs boot_record or mmc: what chooses the copy that is booted");
}

absl::StatusOr<std::unique_ptr<um::Plugin>> MakeBootloaderPlugin(const config::v1::UmConfig& config,
                                                                 BootStages& stages) {
  RETURN_IF_ERROR(CheckBootloaderConfig(config));
  const BootloaderPlugin& bootloader = config.bootloader();
  std::unique_ptr<boot::BootControl> control;
  if (bootloader.has_mmc()) {
    control =
        std::make_unique<boot::MmcBootControl>(FileSystem::Real(), bootloader.mmc().state(),
                                               std::make_unique<boot::MmcPartitionSelector>(bootloader.mmc().device()));
  } else {
    control = std::make_unique<boot::RecordBootControl>(FileSystem::Real(), bootloader.boot_record());
  }
  return MakeMachineSlotPlugin(BootloaderSettings(config), std::move(control), stages);
}

}  // namespace tandem::plugins
