// What bootloader and application tell each other through RAM that keeps its bytes over a reset, but not over a loss of
// power. Nothing that must be kept is only here. Freestanding.
#ifndef TANDEM_BOOTLOADER_MCU_HANDOVER_H_
#define TANDEM_BOOTLOADER_MCU_HANDOVER_H_

#include <cstdint>

#include "bootloader/core/boot_record.h"

namespace tandem::mcu {

enum class ResetCause : uint32_t {
  // Or whatever else clears the RAM.
  kPowerOn = 0,
  // Asked for by software: after an update, by SMP.
  kSoftware = 1,
  // A fault (access, instruction) was caught.
  kFault = 2,
  // Nobody fed the watchdog; or the reset pin.
  kWatchdog = 3,
};

// "power on", "software", ...
constexpr const char* ResetCauseText(ResetCause cause) {
  switch (cause) {
    case ResetCause::kPowerOn:
      return "power on";
    case ResetCause::kSoftware:
      return "software";
    case ResetCause::kFault:
      return "fault";
    case ResetCause::kWatchdog:
      break;
  }
  return "watchdog";
}

inline constexpr uint32_t kHandoverMagic = 0x484f5654;  // "TVOH"
inline constexpr uint32_t kRecoveryWanted = 0x52455659;

struct Handover {
  // kHandoverMagic, else nothing below means anything.
  uint32_t magic;
  // Why the next reset happens, when somebody knows; set to kWatchdog before a jump.
  ResetCause next_cause;
  // Why the last one happened.
  ResetCause cause;
  // kRecoveryWanted: the bootloader stays in serial recovery once.
  uint32_t recovery;
  // The slot that runs.
  uint32_t running;
  // How often recovery was left for want of requests, since an image ran last.
  uint32_t recovery_exits;
  // Boots since power on.
  uint32_t boots;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_HANDOVER_H_
