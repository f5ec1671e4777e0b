#include "bootloader/mcu/smp/upload_progress.h"

#include <algorithm>
#include <span>

#include "bootloader/core/little_endian.h"

namespace tandem::mcu {
namespace {

using boot::FlashResult;
using boot::Get32;
using boot::Put32;

constexpr uint32_t kMagic = 0x50554454;  // "TDUP"
constexpr size_t kIdSize = 48;
constexpr size_t kCrcAt = 44;
constexpr uint32_t kMarksAt = 64;
constexpr size_t kMaxUnit = 16;

std::array<uint8_t, kIdSize> EncodeId(const UploadId& id) {
  std::array<uint8_t, kIdSize> bytes{};
  Put32(bytes, 0, kMagic);
  Put32(bytes, 4, id.size);
  bytes[8] = static_cast<uint8_t>(id.slot);
  std::copy(id.sha.begin(), id.sha.end(), bytes.begin() + 12);
  Put32(bytes, kCrcAt, boot::Crc32(std::span(bytes).first(kCrcAt)));
  return bytes;
}

}  // namespace

UploadProgress::UploadProgress(boot::Flash& flash, const FlashLayout& layout) : flash_(flash), at_(layout.progress) {
  const boot::FlashGeometry& geometry = flash.geometry();
  const uint32_t room = (geometry.sector_size - kMarksAt) / geometry.program_size;
  const uint32_t sectors = layout.slot_size / geometry.sector_size;
  const uint32_t sectors_per_mark = (sectors + room - 1) / room;
  bytes_per_mark_ = sectors_per_mark * geometry.sector_size;
  marks_ = (sectors + sectors_per_mark - 1) / sectors_per_mark;
}

uint32_t UploadProgress::MarkAt(uint32_t mark) const { return at_ + kMarksAt + mark * flash_.geometry().program_size; }

bool UploadProgress::Load(UploadId& id) {
  std::array<uint8_t, kIdSize> bytes{};
  if (flash_.Read(at_, bytes) != FlashResult::kOk) return false;
  if (Get32(bytes, 0) != kMagic || Get32(bytes, kCrcAt) != boot::Crc32(std::span(bytes).first(kCrcAt))) return false;
  id.size = Get32(bytes, 4);
  id.slot = static_cast<boot::Slot>(bytes[8]);
  std::copy_n(bytes.begin() + 12, id.sha.size(), id.sha.begin());
  return true;
}

uint32_t UploadProgress::DoneBytes() {
  std::array<uint8_t, kMaxUnit> unit{};
  const std::span<uint8_t> bytes = std::span(unit).first(flash_.geometry().program_size);
  const auto written = static_cast<uint8_t>(~flash_.geometry().erased);
  uint32_t mark = 0;
  for (; mark < marks_; ++mark) {
    if (flash_.Read(MarkAt(mark), bytes) != FlashResult::kOk) break;
    if (!std::all_of(bytes.begin(), bytes.end(), [&](uint8_t byte) { return byte == written; })) break;
  }
  return mark * bytes_per_mark_;
}

FlashResult UploadProgress::Clear() { return flash_.Erase(at_); }

FlashResult UploadProgress::Start(const UploadId& id) {
  if (const FlashResult erased = Clear(); erased != FlashResult::kOk) return erased;
  return flash_.Program(at_, EncodeId(id));
}

void UploadProgress::MarkDone(uint32_t bytes, bool complete) {
  if (bytes % bytes_per_mark_ != 0 && !complete) return;
  const uint32_t mark = (bytes - 1) / bytes_per_mark_;
  std::array<uint8_t, kMaxUnit> unit{};
  unit.fill(static_cast<uint8_t>(~flash_.geometry().erased));
  // A mark that was torn before cannot be written again without erasing them all: then this one is missing, and a later
  // resumption begins here.
  (void)flash_.Program(MarkAt(mark), std::span<const uint8_t>(unit).first(flash_.geometry().program_size));
}

}  // namespace tandem::mcu
