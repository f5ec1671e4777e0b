// What the SMP server works on, and how its commands answer. Freestanding.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_DEVICE_H_
#define TANDEM_BOOTLOADER_MCU_SMP_DEVICE_H_

#include <cstdint>

#include "bootloader/core/flash_record_store.h"
#include "bootloader/mcu/boot/slot_images.h"
#include "bootloader/mcu/flash_layout.h"
#include "bootloader/mcu/handover.h"

namespace tandem::mcu {

struct Device {
  boot::Flash* flash = nullptr;
  FlashLayout layout;
  boot::FlashRecordStore* records = nullptr;
  SlotImages* images = nullptr;
  // The slot whose image runs; kNone: this is the bootloader's serial recovery, which writes slot A.
  boot::Slot running = boot::Slot::kNone;
  ResetCause reset_cause = ResetCause::kPowerOn;
  uint32_t boots = 0;
  // Of the transport: the largest packet, and how many a client may have under way.
  uint32_t buffer_size = 0;
  uint32_t buffer_count = 0;
  // Called often during long work; may be null.
  void (*keep_alive)() = nullptr;

  bool InRecovery() const { return running == boot::Slot::kNone; }
};

// Errors of SMP itself (Zephyr, "SMP status/error codes").
enum class SmpStatus : uint8_t {
  kOk = 0,
  kUnknown = 1,
  kNoMemory = 2,
  kInvalid = 3,
  kNoEntry = 5,
  kBadState = 6,
  kTooLarge = 7,
  kNotSupported = 8,
  kCorrupt = 9,
  kAccessDenied = 11,
  // The request is of a version of SMP that is not spoken here yet.
  kTooNew = 13,
};

// Errors of the image group, for clients that speak version 2 (Zephyr, "img_mgmt" return codes).
enum class ImageStatus : uint8_t {
  kOk = 0,
  kNoImage = 3,
  kHashNotFound = 8,
  kNoFreeSlot = 9,
  kReadFailed = 11,
  kWriteFailed = 12,
  kEraseFailed = 13,
  kInvalidSlot = 14,
  kInvalidOffset = 20,
  kInvalidLength = 21,
  kInvalidHeader = 22,
  kInvalidMagic = 23,
  kInvalidHash = 24,
  kCurrentIsNewer = 27,
  kAlreadyPending = 28,
  kTooLarge = 30,
  kDataOverrun = 31,
  kConfirmDenied = 32,
  kTestOfActiveDenied = 33,
};

// What a command came to.
struct Answer {
  SmpStatus status = SmpStatus::kOk;
  // kOk: `status` is all there is.
  ImageStatus image_status = ImageStatus::kOk;
  // For a person; sent as `rsn`.
  const char* reason = "";

  bool ok() const { return status == SmpStatus::kOk; }
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_DEVICE_H_
