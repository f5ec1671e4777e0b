// When serial recovery gives the slots another chance by itself: what brought the device there may have been a fault
// that passes, such as one failed read, and nobody may be near it. Freestanding, pure.
//
//   RecoveryExit exit(handover.recovery_exits, Milliseconds());
//   exit.Heard(Milliseconds());                                       // a request came
//   if (exit.IsDue(Milliseconds()) && HasSomethingToBoot(records.Load())) Reset(...);
//
// The wait is 2 minutes without a request, then 4, 8, ... up to 256, counted in RAM that survives a reset. After
// kMaxRecoveryExits in a row (8 h 30 min in all) recovery stays until the power is cut or somebody speaks to it.
#ifndef TANDEM_BOOTLOADER_MCU_BOOT_RECOVERY_EXIT_H_
#define TANDEM_BOOTLOADER_MCU_BOOT_RECOVERY_EXIT_H_

#include <cstdint>

#include "bootloader/core/boot_record.h"

namespace tandem::mcu {

inline constexpr uint32_t kFirstRecoverySilenceMs = 2 * 60 * 1000;
inline constexpr uint32_t kMaxRecoveryExits = 8;

class RecoveryExit {
 public:
  // `exits`: those before, since an image ran last. Times are those of a clock that may wrap.
  constexpr RecoveryExit(uint32_t exits, uint32_t now_ms)
      : silence_ms_(exits < kMaxRecoveryExits ? kFirstRecoverySilenceMs << exits : 0), heard_ms_(now_ms) {}

  constexpr void Heard(uint32_t now_ms) { heard_ms_ = now_ms; }
  constexpr bool IsDue(uint32_t now_ms) const { return silence_ms_ != 0 && now_ms - heard_ms_ >= silence_ms_; }

 private:
  const uint32_t silence_ms_;
  uint32_t heard_ms_;
};

// False when the record is lost, or an upload has begun that made its active slot unbootable.
constexpr bool HasSomethingToBoot(const boot::LoadedRecord& loaded) {
  return loaded.state != boot::RecordState::kLost && loaded.record.IsBootable(loaded.record.active);
}

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_BOOT_RECOVERY_EXIT_H_
