#include "tests/system/board_parts.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/record_boot_control.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "bootloader/core/boot_record.h"
#include "bootloader/mcu/port/mps2_an385_layout.h"
#include "common/crypto/keys.h"
#include "common/storage/file_system.h"
#include "tests/support/text_file.h"
#include "tools/mcu-image/image_builder.h"

namespace tandem {
namespace {

namespace board = mcu::mps2_an385;
using boot::Slot;

constexpr char kUbootSays[] = "U-Boot 2023.01";
constexpr size_t kUbootNameSize = 7;
// Below it, the device takes no image.
constexpr uint32_t kSecurityCounter = 2;

std::string Quoted(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) absl::StrAppend(&text, text.empty() ? "" : ", ", "\"", word, "\"");
  return absl::StrCat("[", text, "]");
}

std::span<const uint8_t> Bytes(const std::string& flash, uint32_t at, size_t size) {
  return {reinterpret_cast<const uint8_t*>(flash.data()) + at, size};
}

// Its words on the console, as long as those that are there.
std::string UbootName(const std::string& version) {
  std::string name = "v" + version;
  name.resize(kUbootNameSize, '_');
  return name;
}

std::string StateProblem(const std::string& what, const boot::BootState& state, Slot running) {
  if (state.trial.has_value()) return absl::StrCat(what, ": ", SlotName(*state.trial), " is left on trial; ");
  if (state.confirmed != running) {
    return absl::StrCat(what, ": ", SlotName(running), " runs, ", SlotName(state.confirmed), " is confirmed; ");
  }
  return "";
}

// The slot that follows `key` on the kernel's command line.
Slot Running(const std::string& unit, const std::string& key) {
  const std::string line = ReadText(unit + "/run/cmdline");
  const size_t at = line.find(key);
  return at == std::string::npos ? Slot::kNone : line[at + key.size()] == 'B' ? Slot::kB : Slot::kA;
}

}  // namespace

// ---- What there is ----

void BoardParts::Make(const std::string& unit) {
  unit_ = unit;
  std::filesystem::create_directories(McuFolder());
  const std::string image = McuFolder() + "/factory.img";
  std::ofstream(image, std::ios::binary) << MakeMcuImage("1.0");
  const boot::EncodedRecord record =
      Encode(boot::BootRecord{.sequence = 1, .last_chosen = Slot::kA, .security_counter = kSecurityCounter});
  QemuMcu(McuFolder(), TANDEM_MCU_FOLDER "/bootloader.elf")
      .WriteFlash({.slot_a = image, .record0 = {record.begin(), record.end()}});
  if (options_.line_faults.has_value()) {
    line_ = std::make_unique<SerialProxy>(McuFolder() + "/line.sock", McuUart(), *options_.line_faults);
  }
  for (const char* copy : {"/bootloader-a.bin", "/bootloader-b.bin"}) {
    std::ofstream(unit_ + copy, std::ios::binary) << MakeBootloader("1.0");
  }
}

std::vector<UnitPart> BoardParts::Parts() const {
  const std::string line = line_ == nullptr ? McuUart() : line_->path();
  return {{"mcu", options_.mcu_priority,
           absl::StrCat("    mcu:\n      component_type: motor\n      unix_socket: ", line, "\n      hardware_id: ",
                        board::kHardwareId, "\n      factory_version: \"1.0\"\n      answer_timeout: ",
                        absl::FormatDuration(options_.mcu_answer_timeout),
                        "\n"
                        "      boot_timeout: ",
                        absl::FormatDuration(options_.mcu_boot_timeout),
                        "\n      test_attempts: ", options_.mcu_test_attempts, "\n")},
          {"bootloader", 20,
           absl::StrCat("    bootloader:\n      component_type: bootloader\n      copy_a: ", unit_,
                        "/bootloader-a.bin\n      copy_b: ", unit_, "/bootloader-b.bin\n      boot_record: ", unit_,
                        "/bootloader.rec\n      rom_fallback: BOOT_RECORD\n", BootOptions(unit_))}};
}

std::string BoardParts::BootSelector() const { return absl::StrCat("uboot_environment: ", unit_, "/fw_env.config"); }

std::string BoardParts::SimulatorConfig() const {
  return absl::StrCat("uboot: {scripts: \"", TANDEM_UBOOT_SCRIPTS,
                      "\", timeout: ", absl::FormatDuration(options_.uboot_timeout),
                      "}\nperipherals:\n  - {name: mcu, argv: ",
                      Quoted(QemuMcuCommand(McuFolder(), TANDEM_MCU_FOLDER "/bootloader.elf")), "}\n");
}

// ---- A version of it ----

std::vector<TestComponent> BoardParts::Components(const std::string& version) {
  return {{.id = "mcu", .type = "motor", .version = version, .content = MakeMcuImage(version)},
          {.id = "bootloader", .type = "bootloader", .version = version, .content = MakeBootloader(version)}};
}

std::string BoardParts::MakeMcuImage(const std::string& version) const {
  const char* program = mcu_fault_ == McuFault::kCrashes ? "crash" : mcu_fault_ == McuFault::kHangs ? "hang" : "good";
  std::string body = ReadText(absl::StrCat(TANDEM_MCU_FOLDER, "/", program, "-2.0.0.bin"));
  if (mcu_fault_ == McuFault::kTooLarge) body.resize(board::kLayout.slot_size);
  const mcu_image::ImageSpec spec = {
      .version = SetUpValue(mcu_image::ParseImageVersion(version + ".0")),
      .load_address = board::kLoadBegin,
      .flags = boot::kImageRamLoad,
      .security_counter = mcu_fault_ == McuFault::kLowCounter ? kSecurityCounter - 1 : kSecurityCounter,
      .hardware_id = mcu_fault_ == McuFault::kWrongHardware ? "other-board" : board::kHardwareId};
  const PrivateKey key = SetUpValue(
      PrivateKey::FromPem(ReadText(mcu_fault_ == McuFault::kWrongKey ? TANDEM_MCU_KEYS "/TEST_ONLY_other_key.pem"
                                                                     : TANDEM_MCU_KEYS "/TEST_ONLY_signing_key.pem")));
  return SetUpValue(mcu_image::BuildImage(spec, body, &key));
}

std::string BoardParts::MakeBootloader(const std::string& version) const {
  std::string bytes = ReadText(TANDEM_UBOOT);
  if (garbage_) return absl::StrCat(version, std::string(bytes.size(), 'x'));
  const size_t at = bytes.find(kUbootSays);
  CheckSetUp(at == std::string::npos ? absl::NotFoundError("U-Boot does not say its version") : absl::OkStatus());
  return bytes.replace(at + sizeof("U-Boot ") - 1, kUbootNameSize, UbootName(version));
}

// ---- What became of it ----

std::string BoardParts::WhatIsWrong(const std::string& version) const {
  return absl::StrCat(WrongWithMcu(version), WrongWithBootloader(version), WrongWithSlots(version));
}

std::string BoardParts::WrongWithMcu(const std::string& version) const {
  const std::string flash = ReadText(McuFolder() + "/flash.bin");
  if (flash.size() != board::kFlash.size) return "MCU: the flash cannot be read; ";
  const boot::LoadedRecord loaded = boot::Choose(Bytes(flash, board::kLayout.record0, boot::kBootRecordSize),
                                                 Bytes(flash, board::kLayout.record1, boot::kBootRecordSize));
  if (loaded.state == boot::RecordState::kLost) return "MCU: its boot record is lost; ";
  const boot::BootRecord& record = loaded.record;
  // One whose attempts are used up is never booted again.
  if (record.trial != Slot::kNone && record.attempts_left > 0)
    return absl::StrCat("MCU: ", SlotName(record.trial), " is left on trial; ");
  if (!record.IsConfirmed(record.active)) return "MCU: the active slot is not confirmed; ";
  const auto image =
      mcu_image::ParseImage(flash.substr(board::kLayout.SlotStart(record.active), board::kLayout.slot_size));
  if (!image.ok()) return absl::StrCat("MCU: ", image.status().message(), "; ");
  const std::string has = mcu_image::ImageVersionText(image->header.version);
  return has == version + ".0" ? "" : absl::StrCat("MCU: it boots ", has, "; ");
}

std::string BoardParts::WrongWithBootloader(const std::string& version) const {
  const auto state = boot::RecordBootControl(FileSystem::Real(), unit_ + "/bootloader.rec").Read();
  if (!state.ok()) return absl::StrCat("bootloader: ", state.status().message(), "; ");
  if (!absl::StrContains(ReadText(unit_ + "/uboot-console.log"), "U-Boot " + UbootName(version))) {
    return absl::StrCat("bootloader: the last boot was not by ", UbootName(version), "; ");
  }
  return StateProblem("bootloader", *state, Running(unit_, "tandem.bootloader="));
}

std::string BoardParts::WrongWithSlots(const std::string& version) const {
  const auto state = boot::UbootBootControl(FileSystem::Real(), unit_ + "/fw_env.config").Read();
  if (!state.ok()) return absl::StrCat("rootfs: ", state.status().message(), "; ");
  const std::string runs = ReadText(unit_ + "/run/root/etc/version");
  if (runs != version + "\n") return absl::StrCat("rootfs: ", runs, " runs; ");
  return StateProblem("rootfs", *state, Running(unit_, "rauc.slot="));
}

std::string BoardParts::Consoles() const {
  return absl::StrCat("\n--- MCU ---\n", ReadText(McuFolder() + "/console.txt"), "\n--- U-Boot ---\n",
                      ReadText(unit_ + "/uboot-console.log"));
}

}  // namespace tandem
