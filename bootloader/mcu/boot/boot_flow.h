// From a reset to the image that runs: the record's decision, made durable, and the check of what it chose.
// Freestanding.
//
//   FlashRecordStore records(flash, layout.record0, layout.record1);
//   const BootOutcome outcome = ChooseImage(records, images);
//   if (outcome.slot == boot::Slot::kNone) return Recovery();
//   board::Jump(outcome.vector_table);
//
// An image that fails its check twice is marked unbootable, durably, and the record is asked again; after at most both
// slots there is an image or recovery. An image that cannot be read is not marked: it is passed over in this boot only,
// and a trial of it has used one attempt. A power cut anywhere leaves a record that decides the same or better.
#ifndef TANDEM_BOOTLOADER_MCU_BOOT_BOOT_FLOW_H_
#define TANDEM_BOOTLOADER_MCU_BOOT_BOOT_FLOW_H_

#include <cstdint>

#include "bootloader/core/flash_record_store.h"
#include "bootloader/core/slot_policy.h"
#include "bootloader/mcu/boot/slot_images.h"

namespace tandem::mcu {

struct BootOutcome {
  // kNone: recovery.
  boot::Slot slot = boot::Slot::kNone;
  uint32_t vector_table = 0;
  boot::BootReason reason = boot::BootReason::kNothingBootable;
  // What was found in slot A and slot B, for those that were looked at and refused; kOk otherwise.
  CheckResult refused[2] = {CheckResult::kOk, CheckResult::kOk};
  // A write of the record failed: the flash is worn out or broken. A trial is not booted then, as it could not be
  // counted.
  bool flash_failed = false;
};

BootOutcome ChooseImage(boot::FlashRecordStore& records, SlotImages& images);

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_BOOT_BOOT_FLOW_H_
