// The changes of the boot record that SMP commands ask for: each is decided by the record as it stands in flash, and
// durable when it returns kOk. Freestanding.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_SLOT_CHANGES_H_
#define TANDEM_BOOTLOADER_MCU_SMP_SLOT_CHANGES_H_

#include <cstdint>

#include "bootloader/mcu/smp/device.h"

namespace tandem::mcu {

inline constexpr uint8_t kTrialAttempts = 3;

class SlotChanges {
 public:
  explicit SlotChanges(const Device& device) : device_(device) {}

  // The slot that uploads go to.
  boot::Slot Target() const;
  // The bytes of the target are about to change: it cannot be booted until they are whole again. In recovery a record
  // that was lost is begun anew, with a security counter not below those of the genuine images.
  Answer GiveUpTarget();
  // In recovery the target is whole and checked: it is active and confirmed.
  Answer AdoptTarget();
  // The verified image of `slot` is booted a few times. On the slot that runs on trial: it has all its attempts again.
  Answer SetTrial(boot::Slot slot);
  // The running slot is confirmed; or, for the active slot while the other one runs on trial: back to it at the next
  // reset.
  Answer Confirm(boot::Slot slot);
  // Never above what the running, confirmed image carries.
  Answer RaiseSecurityCounter(uint32_t value, uint32_t of_running_image);

 private:
  Answer Save(const boot::LoadedRecord& loaded, boot::BootRecord record);
  boot::BootRecord RecordAfterLoss();

  const Device& device_;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_SLOT_CHANGES_H_
