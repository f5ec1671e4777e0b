// Where things are in the flash that holds the images. Freestanding; also read by host tools.
#ifndef TANDEM_BOOTLOADER_MCU_FLASH_LAYOUT_H_
#define TANDEM_BOOTLOADER_MCU_FLASH_LAYOUT_H_

#include <cstdint>

#include "bootloader/core/boot_record.h"

namespace tandem::mcu {

// All places are starts of sectors, from the start of the flash.
struct FlashLayout {
  // The two copies of the boot record, one sector each.
  uint32_t record0 = 0;
  uint32_t record1 = 0;
  // How far an upload has come, one sector (smp/upload_progress.h).
  uint32_t progress = 0;
  uint32_t slot_a = 0;
  uint32_t slot_b = 0;
  // Bytes of a slot; a multiple of the sector.
  uint32_t slot_size = 0;

  constexpr uint32_t SlotStart(boot::Slot slot) const { return slot == boot::Slot::kB ? slot_b : slot_a; }
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_FLASH_LAYOUT_H_
