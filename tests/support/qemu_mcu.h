// A microcontroller in QEMU (mps2-an385) with flash in a file, as the tests and the demo use it.
//
//   QemuMcu mcu(folder, build + "/mcu/bootloader.elf");
//   mcu.WriteFlash({.slot_a = "…/good-1.0.0.img"});
//   mcu.Start();
//   OpenUnixSocket(mcu.uart()) ...           // speaks SMP
//   mcu.KillHard();                          // the power goes, at any instruction; the flash keeps its bytes
//   mcu.Start();
#ifndef TANDEM_TESTS_SUPPORT_QEMU_MCU_H_
#define TANDEM_TESTS_SUPPORT_QEMU_MCU_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/child_process.h"

namespace tandem {

// What a device's flash begins with; everything else is erased.
struct McuFlash {
  // Image files; "": none.
  std::string slot_a;
  std::string slot_b;
  // Both copies of the boot record, as bytes; "": blank, as the factory leaves them.
  std::string record0;
  std::string record1;
};

// argv of a QEMU whose files lie in `folder`, as QemuMcu names them.
std::vector<std::string> QemuMcuCommand(const std::string& folder, const std::string& boot_elf);

// Dies with its owner. Not thread-safe, but for pid().
class QemuMcu {
 public:
  // Everything of it lies in `folder`, which exists.
  QemuMcu(const std::string& folder, const std::string& boot_elf);

  // Replaces the flash of a device that does not run.
  void WriteFlash(const McuFlash& flash);
  // Power on, with the flash as it is. False when QEMU does not offer its serial line within ten seconds.
  bool Start();
  // SIGKILL: as if the power went.
  void KillHard() { process_.Kill(); }
  bool Running() { return process_.Running(); }
  pid_t pid() const { return process_.pid(); }

  // The socket of the line that speaks SMP. One client at a time.
  const std::string& uart() const { return uart_; }
  const std::string& flash_file() const { return flash_; }
  // All that bootloader and application have said since the flash was written.
  std::string Console() const;
  // True when the console says `text` after its first `from` bytes, within the time.
  bool WaitForConsole(const std::string& text, std::chrono::seconds within, size_t from = 0);

 private:
  const std::string flash_;
  const std::string uart_;
  const std::string console_;
  ChildProcess process_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_QEMU_MCU_H_
