// A computer with a real U-Boot, under QEMU: switched on once, it runs until the kernel of the tests has said which
// slot it was booted for (bootloader/uboot).
#ifndef TANDEM_TOOLS_UNIT_SIM_UBOOT_MACHINE_H_
#define TANDEM_TOOLS_UNIT_SIM_UBOOT_MACHINE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bootloader/boot_control/uboot_variables.h"
#include "bootloader/core/boot_record.h"

namespace tandem::sim {

struct UbootMachine {
  // U-Boot's own image: a copy of the bootloader.
  std::string firmware;
  // With both copies of U-Boot's state; FormatUbootDisk() makes it.
  std::string disk;
  // boot-blocks.scr, environment.img and test_kernel.img.
  std::string scripts;
  // Where it may write: console.log, and the flash with the environment.
  std::string folder;
  // The disk refuses to be written.
  bool disk_is_read_only = false;
};

// Where the copies are on the disk; the words are those of fw_env.config.
std::string UbootDiskConfig(const std::string& disk);

// Makes the disk with both copies of these variables, and {folder}/fw_env.config for it.
absl::Status FormatUbootDisk(const UbootMachine& machine, const boot::Variables& variables);

// From power-on until the kernel runs: the slot on its command line. After `timeout` the power goes, as it may in a
// boot: DEADLINE_EXCEEDED. FAILED_PRECONDITION with what the console said last when no kernel was started.
absl::StatusOr<boot::Slot> BootUboot(const UbootMachine& machine, absl::Duration timeout);

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_UBOOT_MACHINE_H_
