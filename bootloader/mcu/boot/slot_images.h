// The images in the slots of one flash: checked, and brought to where they run. Freestanding.
#ifndef TANDEM_BOOTLOADER_MCU_BOOT_SLOT_IMAGES_H_
#define TANDEM_BOOTLOADER_MCU_BOOT_SLOT_IMAGES_H_

#include <cstdint>
#include <span>

#include "bootloader/core/boot_record.h"
#include "bootloader/core/flash.h"
#include "bootloader/mcu/boot/image_check.h"
#include "bootloader/mcu/flash_layout.h"

namespace tandem::mcu {

// What the boot flow and the SMP server ask about slots. Tests and fuzzers give their own answers.
class SlotImages {
 public:
  // The image where it lies, with all checks that the bootloader makes. `image` holds its form when that is good.
  virtual CheckResult Check(boot::Slot slot, uint32_t security_counter, boot::Image& image) = 0;
  // Check(), and the image is where it runs; `vector_table` is its start.
  virtual CheckResult Load(boot::Slot slot, uint32_t security_counter, uint32_t& vector_table) = 0;
  // SHA-256 of the slot's first bytes; false when they cannot be read.
  virtual bool Hash(boot::Slot slot, uint32_t size, Digest& digest) = 0;

 protected:
  ~SlotImages() = default;
};

struct SlotImagesConfig {
  boot::Flash* flash = nullptr;
  FlashLayout layout;
  ImageRules rules;
  // The RAM at an address; empty when images may not go there (board::ImageRam()).
  std::span<uint8_t> (*ram)(uint32_t address, uint32_t size) = nullptr;
  // Where the processor sees the flash's byte; 0: nowhere (board::FlashAddress()).
  uint32_t (*flash_address)(uint32_t at) = nullptr;
};

class FlashSlotImages final : public SlotImages {
 public:
  explicit FlashSlotImages(const SlotImagesConfig& config) : config_(config) {}

  CheckResult Check(boot::Slot slot, uint32_t security_counter, boot::Image& image) override;
  // An image with the flag RAM_LOAD is copied first and then checked in RAM, so that what was checked is what runs.
  CheckResult Load(boot::Slot slot, uint32_t security_counter, uint32_t& vector_table) override;
  bool Hash(boot::Slot slot, uint32_t size, Digest& digest) override;

 private:
  FlashSource Source(boot::Slot slot) const;
  ImageRules Rules(uint32_t security_counter) const;
  // kOk when the image may run where it wants to.
  CheckResult CheckPlace(boot::Slot slot, const boot::Image& image) const;

  const SlotImagesConfig config_;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_BOOT_SLOT_IMAGES_H_
