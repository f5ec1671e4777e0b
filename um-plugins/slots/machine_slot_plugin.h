// A SlotPlugin over the machine's files, clock, network and commands.
#ifndef TANDEM_UM_PLUGINS_SLOTS_MACHINE_SLOT_PLUGIN_H_
#define TANDEM_UM_PLUGINS_SLOTS_MACHINE_SLOT_PLUGIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "bootloader/boot_control/boot_control.h"
#include "um-plugins/slots/slot_plugin.h"

namespace tandem::plugins {

struct MachineSlotSettings {
  SlotPluginOptions slots;
  // argv; empty: systemctl reboot.
  std::vector<std::string> reboot_command;
  // argv; empty: no check of the new system.
  std::vector<std::string> check_command;
  absl::Duration check_timeout = absl::Seconds(60);
  std::function<absl::Status(boot::Slot slot, bool writable)> set_writable = {};
};

// `stages` must outlive the plugin. Makes the state_dir.
absl::StatusOr<std::unique_ptr<um::Plugin>> MakeMachineSlotPlugin(MachineSlotSettings settings,
                                                                  std::unique_ptr<boot::BootControl> boot,
                                                                  BootStages& stages);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_SLOTS_MACHINE_SLOT_PLUGIN_H_
