#include "bootloader/mcu/smp/image_upload.h"

#include <algorithm>

namespace tandem::mcu {

using boot::FlashResult;

bool ImageUpload::InFlash(const UploadId& id) {
  UploadId stored;
  return progress_.Load(stored) && stored == id;
}

FlashResult ImageUpload::Begin(const UploadId& id, bool has_sha) {
  if (has_sha && active_ && has_sha_ && id_ == id && !(complete() && !matches_)) return FlashResult::kOk;
  active_ = false;
  id_ = id;
  has_sha_ = has_sha;
  matches_ = false;
  written_ = 0;
  pending_size_ = 0;
  if (has_sha && InFlash(id)) {
    written_ = std::min(progress_.DoneBytes(), id.size);
    // The slot may have changed since; and a client that offers the same bytes again wants them to be there.
    matches_ = written_ == id.size && ContentMatches();
    active_ = written_ < id.size || matches_;
    if (active_) return FlashResult::kOk;
    written_ = 0;
  }
  const FlashResult started = has_sha ? progress_.Start(id) : progress_.Clear();
  active_ = started == FlashResult::kOk;
  return started;
}

FlashResult ImageUpload::Abort() {
  active_ = false;
  return progress_.Clear();
}

bool ImageUpload::ContentMatches() {
  Digest digest{};
  return !has_sha_ || (images_.Hash(id_.slot, id_.size, digest) && digest == id_.sha);
}

FlashResult ImageUpload::ProgramUnits(std::span<const uint8_t> units) {
  const uint32_t sector = flash_.geometry().sector_size;
  while (!units.empty()) {
    const uint32_t at = layout_.SlotStart(id_.slot) + written_;
    // What a torn write left there goes, too.
    if (written_ % sector == 0) {
      if (const FlashResult erased = flash_.Erase(at); erased != FlashResult::kOk) return erased;
    }
    const std::span<const uint8_t> now = units.first(std::min<size_t>(units.size(), sector - written_ % sector));
    if (const FlashResult result = flash_.Program(at, now); result != FlashResult::kOk) return result;
    written_ += static_cast<uint32_t>(now.size());
    units = units.subspan(now.size());
    if (has_sha_ && written_ % sector == 0) progress_.MarkDone(written_, /*complete=*/false);
  }
  return FlashResult::kOk;
}

FlashResult ImageUpload::Write(std::span<const uint8_t> bytes) {
  const uint32_t unit = flash_.geometry().program_size;
  FlashResult result = FlashResult::kOk;
  while (!bytes.empty() && result == FlashResult::kOk) {
    if (pending_size_ == 0 && bytes.size() >= unit) {
      const size_t whole = bytes.size() / unit * unit;
      result = ProgramUnits(bytes.first(whole));
      bytes = bytes.subspan(whole);
      continue;
    }
    pending_[pending_size_++] = bytes[0];
    bytes = bytes.subspan(1);
    if (pending_size_ < unit) continue;
    pending_size_ = 0;
    result = ProgramUnits(std::span<const uint8_t>(pending_).first(unit));
  }
  if (result == FlashResult::kOk && complete()) result = Finish();
  if (result != FlashResult::kOk) active_ = false;
  return result;
}

FlashResult ImageUpload::Finish() {
  if (pending_size_ > 0) {
    const uint32_t unit = flash_.geometry().program_size;
    std::fill(pending_.begin() + pending_size_, pending_.end(), flash_.geometry().erased);
    pending_size_ = 0;
    const FlashResult result = ProgramUnits(std::span<const uint8_t>(pending_).first(unit));
    if (result != FlashResult::kOk) return result;
    written_ = id_.size;
  }
  if (has_sha_) progress_.MarkDone(id_.size, /*complete=*/true);
  matches_ = ContentMatches();
  return FlashResult::kOk;
}

}  // namespace tandem::mcu
