// ARM MPS2 with the AN385 image (Cortex-M3), as QEMU emulates it: where things are. Also read by host tools.
//
// The 16 MiB PSRAM at 0x21000000 stands for a memory-mapped NOR flash: QEMU keeps it in a file. The SSRAM at 0 stands
// for the bootloader's own ROM; that at 0x20000000 is the RAM:
//   0x20000000  2 MiB  images that run from RAM (load addresses)
//   0x20200000  1 MiB  data of the application
//   0x20300000  1 MiB  data of the bootloader; its last 4 KiB are the handover (handover.h)
#ifndef TANDEM_BOOTLOADER_MCU_PORT_MPS2_AN385_LAYOUT_H_
#define TANDEM_BOOTLOADER_MCU_PORT_MPS2_AN385_LAYOUT_H_

#include <cstdint>

#include "bootloader/core/flash.h"
#include "bootloader/mcu/flash_layout.h"

namespace tandem::mcu::mps2_an385 {

inline constexpr char kHardwareId[] = "mps2-an385";

inline constexpr uint32_t kFlashAddress = 0x21000000;
inline constexpr boot::FlashGeometry kFlash = {.size = 16U << 20, .sector_size = 4096, .program_size = 8};
inline constexpr FlashLayout kLayout = {.record0 = 0x0000,
                                        .record1 = 0x1000,
                                        .progress = 0x2000,
                                        .slot_a = 0x010000,
                                        .slot_b = 0x110000,
                                        .slot_size = 0x100000};

// Images may be loaded to here and nowhere else.
inline constexpr uint32_t kLoadBegin = 0x20000000;
inline constexpr uint32_t kLoadEnd = 0x20200000;
inline constexpr uint32_t kHandoverAddress = 0x203ff000;

}  // namespace tandem::mcu::mps2_an385

#endif  // TANDEM_BOOTLOADER_MCU_PORT_MPS2_AN385_LAYOUT_H_
