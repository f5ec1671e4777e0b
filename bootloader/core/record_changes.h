// What the policy's table and the changes of the running system have in common. Only for slot_policy*.cc. Freestanding.
#ifndef TANDEM_BOOTLOADER_CORE_RECORD_CHANGES_H_
#define TANDEM_BOOTLOADER_CORE_RECORD_CHANGES_H_

#include "bootloader/core/boot_record.h"

namespace tandem::boot {

inline void EndTrial(BootRecord& record) {
  record.trial = Slot::kNone;
  record.attempts_left = 0;
}

inline bool OtherIsGood(const BootRecord& record) {
  const Slot other = Other(record.active);
  return record.IsConfirmed(other) && record.IsBootable(other);
}

inline void MakeOtherActive(BootRecord& record) {
  record.active = Other(record.active);
  // What is active is not on trial.
  if (record.trial == record.active) EndTrial(record);
}

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_CORE_RECORD_CHANGES_H_
