// Both copies of the boot record in raw flash, each at the start of a sector of its own. Freestanding.
//
//   FlashRecordStore store(flash, /*copy0=*/0, /*copy1=*/4096);
//   const LoadedRecord loaded = store.Load();
//   const Decision decision = Decide(loaded);
//   if (decision.write && store.Save(loaded, decision.record) != FlashResult::kOk) ...
#ifndef TANDEM_BOOTLOADER_CORE_FLASH_RECORD_STORE_H_
#define TANDEM_BOOTLOADER_CORE_FLASH_RECORD_STORE_H_

#include <array>
#include <cstdint>

#include "bootloader/core/boot_record.h"
#include "bootloader/core/flash.h"

namespace tandem::boot {

// Not thread-safe; one owner of both sectors.
class FlashRecordStore {
 public:
  // `copy0` and `copy1` are starts of different sectors.
  FlashRecordStore(Flash& flash, uint32_t copy0, uint32_t copy1) : flash_(flash), at_{copy0, copy1} {}

  // A copy that cannot be read counts as invalid.
  LoadedRecord Load();

  // Erases the sector that `loaded` did not come from, writes `record` there and reads it back. A power cut in the
  // middle, or an error, leaves `loaded`. `record` carries the next sequence number.
  FlashResult Save(const LoadedRecord& loaded, const BootRecord& record);

 private:
  Flash& flash_;
  std::array<uint32_t, 2> at_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_CORE_FLASH_RECORD_STORE_H_
