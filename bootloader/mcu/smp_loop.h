// Serves SMP on the board's serial line, until a reset is asked for.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_LOOP_H_
#define TANDEM_BOOTLOADER_MCU_SMP_LOOP_H_

#include "bootloader/core/boot_record.h"
#include "bootloader/core/flash_record_store.h"
#include "bootloader/mcu/boot/slot_images.h"

namespace tandem::mcu {

// The board's flash, with the key that was built in.
SlotImagesConfig BoardImages();

// `running` is kNone in recovery, which is left by a reset when nobody asks for anything: boot/recovery_exit.h.
[[noreturn]] void ServeSmp(boot::FlashRecordStore& records, SlotImages& images, boot::Slot running);

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_LOOP_H_
