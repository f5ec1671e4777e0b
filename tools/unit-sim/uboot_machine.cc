#include "tools/unit-sim/uboot_machine.h"

#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "bootloader/boot_control/boot_control.h"
#include "common/process/run_command.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::sim {
namespace {

// As bootloader/uboot/qemu-arm64.env has them.
constexpr uint64_t kCopy0 = 0x100000;
constexpr uint64_t kCopy1 = 0x104000;
constexpr uint64_t kCopySize = 0x4000;
constexpr uint64_t kDiskSize = 0x200000;
// QEMU wants its flash whole.
constexpr uint64_t kFlashSize = 64 << 20;
constexpr char kSays[] = "kernel: rauc.slot=";

std::string ConsolePath(const UbootMachine& machine) { return JoinPath(machine.folder, "uboot-console.log"); }
std::string FlashPath(const UbootMachine& machine) { return JoinPath(machine.folder, "uboot-flash.img"); }

absl::Status MakeFlash(const UbootMachine& machine) {
  FileSystem& fs = FileSystem::Real();
  ASSIGN_OR_RETURN(const std::string environment, fs.ReadFile(JoinPath(machine.scripts, "environment.img")));
  RETURN_IF_ERROR(fs.WriteFileAtomically(FlashPath(machine), environment));
  ASSIGN_OR_RETURN(std::unique_ptr<File> flash, fs.Open(FlashPath(machine), FileSystem::OpenMode::kReadWrite));
  return flash->Truncate(kFlashSize);
}

std::string InMemory(const std::string& file, const std::string& address) {
  return absl::StrCat("loader,file=", file, ",addr=", address, ",force-raw=on");
}

std::string Drive(const std::string& file, const std::string& more) {
  return absl::StrCat("format=raw,file=", file, ",", more);
}

Command QemuCommand(const UbootMachine& machine, absl::Duration timeout) {
  return {.argv = {"qemu-system-aarch64",
                   "-M",
                   "virt",
                   "-cpu",
                   "cortex-a57",
                   "-m",
                   "128",
                   "-nographic",
                   "-nodefaults",
                   "-no-reboot",
                   "-net",
                   "none",
                   "-bios",
                   machine.firmware,
                   "-drive",
                   Drive(FlashPath(machine), "if=pflash,unit=1"),
                   "-drive",
                   Drive(machine.disk, machine.disk_is_read_only ? "if=none,id=disk,readonly=on"
                                                                 : "if=none,id=disk,cache=writethrough"),
                   "-device",
                   "virtio-blk-device,drive=disk",
                   "-device",
                   InMemory(JoinPath(machine.scripts, "boot-blocks.scr"), "0x44000000"),
                   "-device",
                   InMemory(JoinPath(machine.scripts, "test_kernel.img"), "0x42000000"),
                   "-serial",
                   absl::StrCat("file:", ConsolePath(machine))},
          .timeout = timeout};
}

std::string LastLine(const std::string& console) {
  std::string last;
  for (const auto line : absl::StrSplit(console, absl::ByAnyChar("\r\n"))) {
    const std::string text(absl::StripAsciiWhitespace(line));
    if (!text.empty()) last = text;
  }
  return last;
}

absl::StatusOr<boot::Slot> SlotOf(const std::string& console) {
  const size_t found = console.rfind(kSays);
  if (found == std::string::npos) {
    const std::string last = LastLine(console);
    return absl::FailedPreconditionError(last.empty()
                                             ? std::string("the bootloader said nothing")
                                             : absl::StrCat("the bootloader started no kernel; it said last: ", last));
  }
  return boot::ParseSlot(console.substr(found + sizeof(kSays) - 1, 1));
}

}  // namespace

std::string UbootDiskConfig(const std::string& disk) {
  return absl::StrCat(disk, " 0x", absl::Hex(kCopy0), " 0x", absl::Hex(kCopySize), "\n", disk, " 0x", absl::Hex(kCopy1),
                      " 0x", absl::Hex(kCopySize), "\n");
}

absl::Status FormatUbootDisk(const UbootMachine& machine, const boot::Variables& variables) {
  FileSystem& fs = FileSystem::Real();
  std::string disk(kDiskSize, '\0');
  for (const uint64_t at : {kCopy0, kCopy1}) {
    const std::string copy = boot::EncodeEnvironment(variables, /*flags=*/0, kCopySize);
    disk.replace(at, copy.size(), copy);
  }
  RETURN_IF_ERROR(fs.WriteFileAtomically(machine.disk, disk));
  return fs.WriteFileAtomically(JoinPath(machine.folder, "fw_env.config"), UbootDiskConfig(machine.disk));
}

absl::StatusOr<boot::Slot> BootUboot(const UbootMachine& machine, absl::Duration timeout) {
  FileSystem& fs = FileSystem::Real();
  RETURN_IF_ERROR(Annotate(MakeFlash(machine), "make the flash of U-Boot"));
  RETURN_IF_ERROR(fs.Remove(ConsolePath(machine)));
  const absl::StatusOr<CommandResult> ran = RunCommand(QemuCommand(machine, timeout));
  RETURN_IF_ERROR(Annotate(ran.status(), "U-Boot"));
  if (ran->exit_code != 0) {
    return absl::InternalError(absl::StrCat("qemu-system-aarch64: ", LastLine(ran->error_output)));
  }
  ASSIGN_OR_RETURN(const std::string console, fs.ReadFile(ConsolePath(machine)));
  return SlotOf(console);
}

}  // namespace tandem::sim
