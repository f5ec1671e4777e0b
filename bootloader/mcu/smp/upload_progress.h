// How far an upload has come, in one flash sector, so that it goes on after a loss of power. Freestanding.
//
// 48 bytes, little-endian: u32 magic "TDUP", u32 size of the upload, u8 slot, 3 bytes 0, 32 bytes SHA-256 of the
// upload, u32 CRC-32 of these. From byte 64 on one program unit for each sector of the slot (or for some sectors, where
// there are more sectors than room), all bits turned when they are written. A cut while marking loses that mark only;
// the sectors are written again.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_UPLOAD_PROGRESS_H_
#define TANDEM_BOOTLOADER_MCU_SMP_UPLOAD_PROGRESS_H_

#include <array>
#include <cstdint>

#include "bootloader/core/boot_record.h"
#include "bootloader/core/flash.h"
#include "bootloader/mcu/flash_layout.h"

namespace tandem::mcu {

// Which upload it is; the same one may be continued.
struct UploadId {
  boot::Slot slot = boot::Slot::kNone;
  uint32_t size = 0;
  // Of the whole upload, as the client named it.
  std::array<uint8_t, 32> sha{};

  bool operator==(const UploadId&) const = default;
};

class UploadProgress {
 public:
  UploadProgress(boot::Flash& flash, const FlashLayout& layout);

  // False when no upload is under way, or its note is damaged.
  bool Load(UploadId& id);
  // Bytes from the start that are known to be written; whole sectors.
  uint32_t DoneBytes();
  // Forgets the one before.
  boot::FlashResult Start(const UploadId& id);
  boot::FlashResult Clear();
  // The slot is written up to `bytes`. Durable when it returns; an error loses only some progress.
  void MarkDone(uint32_t bytes, bool complete);

 private:
  uint32_t MarkAt(uint32_t mark) const;

  boot::Flash& flash_;
  const uint32_t at_;
  // Of the slot, per mark; a multiple of the sector.
  uint32_t bytes_per_mark_;
  uint32_t marks_;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_UPLOAD_PROGRESS_H_
