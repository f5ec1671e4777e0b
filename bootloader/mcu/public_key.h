// The key that images must be signed with; its bytes are made by the build (TANDEM_MCU_PUBLIC_KEY).
#ifndef TANDEM_BOOTLOADER_MCU_PUBLIC_KEY_H_
#define TANDEM_BOOTLOADER_MCU_PUBLIC_KEY_H_

#include "bootloader/mcu/boot/crypto.h"

namespace tandem::mcu {

extern const PublicKey kImageKey;

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_PUBLIC_KEY_H_
