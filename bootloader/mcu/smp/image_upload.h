// Writes an image that arrives in pieces into a slot, sector by sector, and remembers how far it came. Freestanding.
//
// Whoever uses it has marked the slot unbootable, durably, before Begin().
#ifndef TANDEM_BOOTLOADER_MCU_SMP_IMAGE_UPLOAD_H_
#define TANDEM_BOOTLOADER_MCU_SMP_IMAGE_UPLOAD_H_

#include <array>
#include <cstdint>
#include <span>

#include "bootloader/mcu/boot/slot_images.h"
#include "bootloader/mcu/smp/upload_progress.h"

namespace tandem::mcu {

class ImageUpload {
 public:
  ImageUpload(boot::Flash& flash, const FlashLayout& layout, SlotImages& images)
      : flash_(flash), layout_(layout), images_(images), progress_(flash, layout) {}

  // Starts `id`, or goes on with it; `has_sha` is false for a client that does not name the content: such an upload is
  // never resumed. At most the slot's size.
  boot::FlashResult Begin(const UploadId& id, bool has_sha);
  // The bytes at offset(), not beyond the upload's size. After an error the upload must begin again.
  boot::FlashResult Write(std::span<const uint8_t> bytes);
  // Forgets the upload, durably.
  boot::FlashResult Abort();

  bool active() const { return active_; }
  // What is wanted next.
  uint32_t offset() const { return written_ + pending_size_; }
  bool complete() const { return active_ && offset() == id_.size; }
  const UploadId& id() const { return id_; }
  bool has_sha() const { return has_sha_; }
  // The complete upload has the content that its client named. True without a name.
  bool matches() const { return matches_; }

 private:
  static constexpr size_t kMaxUnit = 16;

  bool InFlash(const UploadId& id);
  boot::FlashResult ProgramUnits(std::span<const uint8_t> units);
  boot::FlashResult Finish();
  bool ContentMatches();

  boot::Flash& flash_;
  const FlashLayout layout_;
  SlotImages& images_;
  UploadProgress progress_;
  bool active_ = false;
  bool has_sha_ = false;
  bool matches_ = false;
  UploadId id_;
  // Bytes in flash; whole program units.
  uint32_t written_ = 0;
  // The start of the next unit, in RAM until it is whole.
  std::array<uint8_t, kMaxUnit> pending_{};
  uint32_t pending_size_ = 0;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_IMAGE_UPLOAD_H_
