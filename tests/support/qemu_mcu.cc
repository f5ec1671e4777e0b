#include "tests/support/qemu_mcu.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "bootloader/mcu/port/mps2_an385_layout.h"
#include "tests/support/text_file.h"

namespace tandem {
namespace {

namespace board = mcu::mps2_an385;

template <typename Done>
bool WaitUntil(std::chrono::milliseconds within, const Done& done) {
  const auto deadline = std::chrono::steady_clock::now() + within;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace

std::vector<std::string> QemuMcuCommand(const std::string& folder, const std::string& boot_elf) {
  return {"/usr/bin/qemu-system-arm",
          "-M",
          "mps2-an385",
          "-object",
          "memory-backend-file,id=flash,size=16M,share=on,mem-path=" + folder + "/flash.bin",
          "-machine",
          "memory-backend=flash",
          "-kernel",
          boot_elf,
          "-display",
          "none",
          "-monitor",
          "none",
          "-serial",
          "unix:" + folder + "/uart.sock,server=on,wait=off",
          "-chardev",
          "file,id=console,append=on,path=" + folder + "/console.txt",
          "-serial",
          "chardev:console"};
}

QemuMcu::QemuMcu(const std::string& folder, const std::string& boot_elf)
    : flash_(folder + "/flash.bin"),
      uart_(folder + "/uart.sock"),
      console_(folder + "/console.txt"),
      process_(QemuMcuCommand(folder, boot_elf), folder + "/qemu.log") {}

void QemuMcu::WriteFlash(const McuFlash& flash) {
  std::string bytes(board::kFlash.size, static_cast<char>(board::kFlash.erased));
  const auto put = [&](uint32_t at, const std::string& part) { bytes.replace(at, part.size(), part); };
  if (!flash.slot_a.empty()) put(board::kLayout.slot_a, ReadText(flash.slot_a));
  if (!flash.slot_b.empty()) put(board::kLayout.slot_b, ReadText(flash.slot_b));
  put(board::kLayout.record0, flash.record0);
  put(board::kLayout.record1, flash.record1);
  std::ofstream(flash_, std::ios::binary) << bytes;
  std::filesystem::remove(console_);
}

bool QemuMcu::Start() {
  // What a killed one left would look like a line that is open.
  std::filesystem::remove(uart_);
  process_.Start();
  return WaitUntil(std::chrono::seconds(10), [&] { return std::filesystem::exists(uart_) || !process_.Running(); }) &&
         process_.Running();
}

std::string QemuMcu::Console() const { return ReadText(console_); }

bool QemuMcu::WaitForConsole(const std::string& text, std::chrono::seconds within, size_t from) {
  return WaitUntil(within, [&] { return Console().find(text, from) != std::string::npos; });
}

}  // namespace tandem
