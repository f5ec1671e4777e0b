#include "bootloader/core/flash_record_store.h"

namespace tandem::boot {
namespace {

static_assert(kBootRecordSize % 16 == 0, "a copy is a whole number of program units");

}  // namespace

LoadedRecord FlashRecordStore::Load() {
  std::array<EncodedRecord, 2> copies{};
  std::array<std::span<const uint8_t>, 2> readable;
  for (size_t i = 0; i < copies.size(); ++i) {
    if (flash_.Read(at_[i], copies[i]) == FlashResult::kOk) readable[i] = copies[i];
  }
  return Choose(readable[0], readable[1]);
}

FlashResult FlashRecordStore::Save(const LoadedRecord& loaded, const BootRecord& record) {
  const uint32_t at = at_[1 - loaded.copy];
  const EncodedRecord bytes = Encode(record);
  if (const FlashResult erased = flash_.Erase(at); erased != FlashResult::kOk) return erased;
  if (const FlashResult written = flash_.Program(at, bytes); written != FlashResult::kOk) return written;
  EncodedRecord kept{};
  if (const FlashResult read = flash_.Read(at, kept); read != FlashResult::kOk) return read;
  return kept == bytes ? FlashResult::kOk : FlashResult::kFailed;
}

}  // namespace tandem::boot
