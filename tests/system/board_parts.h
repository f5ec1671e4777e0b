// Parts that really boot: a ROM with two copies of the real U-Boot, and a Cortex-M with the real bootloader, both under
// QEMU.
//
//   auto board = std::make_shared<BoardParts>(BoardOptions());
//   VirtualUnit unit({.parts = board});
//   unit.SwitchOn();
//   board->SetMcuFault(McuFault::kCrashes);       // of the next Assign()
//   unit.Assign("2.0");
//   ...
//   EXPECT_EQ(board->WhatIsWrong("1.0"), "");
#ifndef TANDEM_TESTS_SYSTEM_BOARD_PARTS_H_
#define TANDEM_TESTS_SYSTEM_BOARD_PARTS_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tests/support/qemu_mcu.h"
#include "tests/support/serial_proxy.h"
#include "tests/system/unit_parts.h"

namespace tandem {

// What is wrong with a new image of the microcontroller.
enum class McuFault { kNone, kCrashes, kHangs, kWrongKey, kWrongHardware, kLowCounter, kTooLarge };

struct BoardOptions {
  // Lower starts first; the bootloader has 20, the root file system 30.
  int mcu_priority = 10;
  // What is wrong with the line to the microcontroller; nullopt: it is the microcontroller's own socket.
  std::optional<SerialFaults> line_faults;
  // A copy of U-Boot that has not booted for so long does not boot.
  absl::Duration uboot_timeout = absl::Seconds(6);
  // The microcontroller is given up after this.
  absl::Duration mcu_boot_timeout = absl::Seconds(30);
  absl::Duration mcu_answer_timeout = absl::Seconds(5);
  // Each is as many boots as the microcontroller's own bootloader gives an image.
  int mcu_test_attempts = 2;
};

class BoardParts : public UnitParts {
 public:
  explicit BoardParts(BoardOptions options) : options_(std::move(options)) {}

  // Of the next versions that are made.
  void SetMcuFault(McuFault fault) { mcu_fault_ = fault; }
  void SetBootloaderFault(bool garbage) { garbage_ = garbage; }

  void Make(const std::string& unit) override;
  std::vector<UnitPart> Parts() const override;
  std::string BootSelector() const override;
  std::string SimulatorConfig() const override;
  std::vector<TestComponent> Components(const std::string& version) override;

  // Asks the flash, the boot record and U-Boot's environment, not those who wrote them: "" when all three components
  // boot `version` next time, confirmed, and nothing is on trial; otherwise what is wrong.
  std::string WhatIsWrong(const std::string& version) const;
  // Both boot stages and the microcontroller, for a person.
  std::string Consoles() const;
  // With `line_faults`.
  SerialProxy& line() { return *line_; }

 private:
  std::string McuUart() const { return McuFolder() + "/uart.sock"; }
  std::string McuFolder() const { return unit_ + "/mcu"; }
  std::string MakeMcuImage(const std::string& version) const;
  std::string MakeBootloader(const std::string& version) const;
  std::string WrongWithMcu(const std::string& version) const;
  std::string WrongWithBootloader(const std::string& version) const;
  std::string WrongWithSlots(const std::string& version) const;

  const BoardOptions options_;
  McuFault mcu_fault_ = McuFault::kNone;
  bool garbage_ = false;
  std::string unit_;
  std::unique_ptr<SerialProxy> line_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SYSTEM_BOARD_PARTS_H_
