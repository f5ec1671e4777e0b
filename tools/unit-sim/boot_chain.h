// What runs between power-on and the kernel, and chooses the slot.
#ifndef TANDEM_TOOLS_UNIT_SIM_BOOT_CHAIN_H_
#define TANDEM_TOOLS_UNIT_SIM_BOOT_CHAIN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bootloader/core/boot_record.h"
#include "tools/unit-sim/sim_config.h"

namespace tandem::sim {

struct BootChoice {
  // kNone: recovery.
  boot::Slot slot = boot::Slot::kNone;
  std::string reason;
  // Some stage is on trial: the watchdog is armed.
  bool trial = false;
  // Of the slot on trial, or else of the copy of the bootloader on trial.
  uint32_t attempts_left = 0;
  // What the stages add to the kernel's command line.
  std::string cmdline;
};

class BootChain {
 public:
  virtual ~BootChain() = default;

  // Makes what a unit fresh from its maker has, where it is missing.
  virtual absl::Status Provision() = 0;
  // From reset to the jump into the kernel; what the stages say goes to `console`.
  virtual absl::StatusOr<BootChoice> Choose(const std::function<void(const std::string&)>& console) = 0;
  // The slot's image is bad.
  virtual absl::Status MarkUnbootable(boot::Slot slot) = 0;
};

// `config` must outlive it.
std::unique_ptr<BootChain> MakeBootChain(const Config& config);

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_BOOT_CHAIN_H_
