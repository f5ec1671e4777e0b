#include "tools/unit-sim/sim_config.h"

#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tandem/config/v1/unit_sim.pb.h"

namespace tandem::sim {

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  config::v1::UnitSimConfig file;
  RETURN_IF_ERROR(LoadYamlFile(path, file));
  RETURN_IF_ERROR(Require(path, file, {"unit"}));
  Config config;
  // Services may run in another folder.
  config.unit = std::filesystem::absolute(file.unit()).lexically_normal().string();
  config.run = JoinPath(config.unit, "run");
  config.root = JoinPath(config.run, "root");
  auto fill = [&](const std::string& text, const std::string& otherwise) {
    return absl::StrReplaceAll(text.empty() ? otherwise : text,
                               {{"{unit}", config.unit}, {"{run}", config.run}, {"{root}", config.root}});
  };
  config.boot_record = fill(file.boot_record(), "{unit}/boot.rec");
  config.slot_a = fill(file.slot_a(), "{unit}/slot-a.img");
  config.slot_b = fill(file.slot_b(), "{unit}/slot-b.img");
  if (config.slot_a == config.slot_b) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": slot_a and slot_b are the same file"));
  }
  config.unpack_paths = {file.unpack_paths().begin(), file.unpack_paths().end()};
  for (const std::string& word : file.init_command()) config.init.push_back(fill(word, ""));
  config.boot_timeout = DurationOr(file.has_boot_timeout(), file.boot_timeout(), absl::Seconds(30));
  config.stop_timeout = DurationOr(file.has_stop_timeout(), file.stop_timeout(), absl::Seconds(10));
  config.max_failed_boots = file.max_failed_boots() == 0 ? 12 : static_cast<int>(file.max_failed_boots());
  if (file.has_watchdog()) {
    RETURN_IF_ERROR(Require(path, file, {"watchdog.timeout"}));
    config.watchdog_timeout = DurationOr(true, file.watchdog().timeout(), absl::ZeroDuration());
    config.watchdog_fifo = fill(file.watchdog().fifo(), "{run}/watchdog");
  }
  if (file.has_uboot()) {
    RETURN_IF_ERROR(Require(path, file, {"uboot.scripts"}));
    const config::v1::SimUboot& uboot = file.uboot();
    config.uboot = UbootChainConfig{.copy_a = fill(uboot.copy_a(), "{unit}/bootloader-a.bin"),
                                    .copy_b = fill(uboot.copy_b(), "{unit}/bootloader-b.bin"),
                                    .record = fill(uboot.record(), "{unit}/bootloader.rec"),
                                    .disk = fill(uboot.disk(), "{unit}/uboot-disk.img"),
                                    .scripts = fill(uboot.scripts(), ""),
                                    .timeout = DurationOr(uboot.has_timeout(), uboot.timeout(), absl::Seconds(10))};
  }
  std::set<std::string> names;
  for (const config::v1::SimPeripheral& one : file.peripherals()) {
    RETURN_IF_ERROR(Require(absl::StrCat(path, ": peripherals"), one, {"name", "argv"}));
    if (!names.insert(one.name()).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": there are two peripherals named ", one.name()));
    }
    Peripheral peripheral{.name = one.name(), .argv = {}};
    for (const std::string& word : one.argv()) peripheral.argv.push_back(fill(word, ""));
    config.peripherals.push_back(std::move(peripheral));
  }
  for (const config::v1::SimService& one : file.services()) {
    RETURN_IF_ERROR(Require(absl::StrCat(path, ": services"), one, {"name", "argv"}));
    if (!names.insert(one.name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": there are two services or peripherals named ", one.name()));
    }
    Service service{.name = one.name(), .restart = one.restart() == config::v1::SimService::ALWAYS};
    for (const std::string& word : one.argv()) service.argv.push_back(fill(word, ""));
    for (const auto& [name, value] : one.environment()) service.environment.emplace_back(name, fill(value, ""));
    service.restart_delay = DurationOr(one.has_restart_delay(), one.restart_delay(), absl::Milliseconds(500));
    config.services.push_back(std::move(service));
  }
  return config;
}

std::vector<std::string> Fill(std::vector<std::string> argv, boot::Slot slot) {
  for (std::string& word : argv) word = absl::StrReplaceAll(word, {{"{slot}", boot::SlotName(slot)}});
  return argv;
}

}  // namespace tandem::sim
