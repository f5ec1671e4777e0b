// The configuration of a virtual unit, with defaults and the words in braces filled in.
#ifndef TANDEM_TOOLS_UNIT_SIM_SIM_CONFIG_H_
#define TANDEM_TOOLS_UNIT_SIM_SIM_CONFIG_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "bootloader/core/boot_record.h"

namespace tandem::sim {

struct Service {
  std::string name;
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  bool restart = true;
  absl::Duration restart_delay;
};

struct Peripheral {
  std::string name;
  std::vector<std::string> argv;
};

struct UbootChainConfig {
  std::string copy_a;
  std::string copy_b;
  std::string record;
  std::string disk;
  std::string scripts;
  absl::Duration timeout;
};

// {slot} in argv stays until Fill().
struct Config {
  std::string unit;
  std::string run;
  std::string root;
  std::string boot_record;
  std::string slot_a;
  std::string slot_b;
  std::vector<std::string> unpack_paths;
  std::vector<std::string> init;
  absl::Duration boot_timeout;
  std::vector<Service> services;
  // Zero: no watchdog.
  absl::Duration watchdog_timeout;
  std::string watchdog_fifo;
  absl::Duration stop_timeout;
  int max_failed_boots = 0;
  // Instead of boot_record.
  std::optional<UbootChainConfig> uboot;
  std::vector<Peripheral> peripherals;

  const std::string& Image(boot::Slot slot) const { return slot == boot::Slot::kA ? slot_a : slot_b; }
};

// INVALID_ARGUMENT with file and line.
absl::StatusOr<Config> LoadConfig(const std::string& path);

// argv for the slot that runs.
std::vector<std::string> Fill(std::vector<std::string> argv, boot::Slot slot);

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_SIM_CONFIG_H_
