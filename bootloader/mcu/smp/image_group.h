// SMP group 1: the images of the slots. Freestanding.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_IMAGE_GROUP_H_
#define TANDEM_BOOTLOADER_MCU_SMP_IMAGE_GROUP_H_

#include <array>
#include <optional>
#include <span>

#include "bootloader/mcu/smp/cbor.h"
#include "bootloader/mcu/smp/device.h"
#include "bootloader/mcu/smp/image_upload.h"
#include "bootloader/mcu/smp/request.h"
#include "bootloader/mcu/smp/slot_changes.h"

namespace tandem::mcu {

// What was found in a slot.
struct FoundImage {
  CheckResult result = CheckResult::kBlank;
  boot::Image image;

  // `image` tells version and hash, also when the image is not to be booted.
  bool HasForm() const;
};

class ImageGroup {
 public:
  explicit ImageGroup(const Device& device)
      : device_(device), changes_(device), upload_(*device.flash, device.layout, *device.images) {}

  // Each writes the keys of its response, and is written over when it fails.
  Answer ReadState(CborWriter& out);
  // Test or confirm.
  Answer WriteState(const SmpFields& fields, CborWriter& out);
  Answer Upload(const SmpFields& fields, CborWriter& out);
  Answer Erase(const SmpFields& fields);
  Answer SlotInfo(CborWriter& out);
  Answer RaiseSecurityCounter(const SmpFields& fields);

 private:
  // Checked once, until the slot or the floor changes.
  const FoundImage& Look(boot::Slot slot);
  void Forget(boot::Slot slot) { found_[static_cast<size_t>(slot)].reset(); }
  // kNone when no slot has it; `first` is looked at first.
  boot::Slot FindByHash(std::span<const uint8_t> hash, boot::Slot first);
  void WriteSlot(boot::Slot slot, const boot::BootRecord& record, CborWriter& out);
  Answer TestImage(std::span<const uint8_t> hash);
  Answer ConfirmImage(std::optional<std::span<const uint8_t>> hash);
  Answer BeginUpload(const SmpFields& fields, std::span<const uint8_t> data);
  Answer CheckFirstBytes(std::span<const uint8_t> data, bool upgrade);
  Answer TakeData(uint32_t offset, std::span<const uint8_t> data);

  const Device& device_;
  SlotChanges changes_;
  ImageUpload upload_;
  std::array<std::optional<FoundImage>, 2> found_;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_IMAGE_GROUP_H_
