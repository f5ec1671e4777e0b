// BootControl over a redundant U-Boot environment, by libubootenv. The variables are in uboot_variables.h.
//
// All variables of a change go in one write to the copy that is not current, are synced and read back; so a power cut
// leaves the environment before or after the change.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_BOOT_CONTROL_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_BOOT_CONTROL_H_

#include <string>
#include <utility>

#include "bootloader/boot_control/policy_boot_control.h"
#include "bootloader/boot_control/uboot_variables.h"
#include "common/storage/file_system.h"

namespace tandem::boot {

class UbootBootControl : public PolicyBootControl {
 public:
  // `config`: the two places of the environment, in the format of fw_env.config. `fs` must outlive it, and be the real
  // one: libubootenv opens the devices by itself.
  UbootBootControl(FileSystem& fs, std::string config) : fs_(fs), config_(std::move(config)) {}

  // Whether the configuration names two copies, in one or two devices, that do not overlap: INVALID_ARGUMENT with the
  // fix. Does not look at the devices.
  absl::Status CheckConfig();

 protected:
  absl::StatusOr<BootRecord> LoadRecord() override;
  absl::Status ChangeRecord(const Change& change) override;

 private:
  class Environment;
  absl::Status SyncDevices();

  FileSystem& fs_;
  const std::string config_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_UBOOT_BOOT_CONTROL_H_
