#include "bootloader/mcu/smp/image_group.h"

#include <algorithm>

#include "bootloader/mcu/smp/version_text.h"

namespace tandem::mcu {
namespace {

using boot::BootRecord;
using boot::Slot;

constexpr Answer Invalid(const char* reason) { return {SmpStatus::kInvalid, ImageStatus::kOk, reason}; }

Answer FlashFailed(boot::FlashResult result, ImageStatus status) {
  if (result == boot::FlashResult::kOk) return {};
  return {SmpStatus::kUnknown, status, FlashResultText(result)};
}

Answer NotBootable(CheckResult result) {
  const ImageStatus status = result == CheckResult::kBelowSecurityCounter ? ImageStatus::kCurrentIsNewer
                             : result == CheckResult::kBadForm            ? ImageStatus::kInvalidHeader
                                                                          : ImageStatus::kInvalidHash;
  return {SmpStatus::kCorrupt, status, CheckResultText(result)};
}

}  // namespace

bool FoundImage::HasForm() const {
  return result != CheckResult::kReadFailed && result != CheckResult::kBlank && result != CheckResult::kBadForm &&
         result != CheckResult::kUnsupported;
}

const FoundImage& ImageGroup::Look(Slot slot) {
  std::optional<FoundImage>& found = found_[static_cast<size_t>(slot)];
  if (!found.has_value()) {
    found.emplace();
    found->result = device_.images->Check(slot, device_.records->Load().record.security_counter, found->image);
  }
  return *found;
}

Slot ImageGroup::FindByHash(std::span<const uint8_t> hash, Slot first) {
  for (const Slot slot : {first, Other(first)}) {
    const FoundImage& found = Look(slot);
    if (found.HasForm() && std::ranges::equal(hash, found.image.hash)) return slot;
  }
  return Slot::kNone;
}

// ---- State ----

void ImageGroup::WriteSlot(Slot slot, const BootRecord& record, CborWriter& out) {
  const FoundImage& found = Look(slot);
  if (!found.HasForm()) return;
  const bool runs = slot == device_.running;
  out.BeginMap();
  out.Key("image").Unsigned(0);
  out.Key("slot").Unsigned(static_cast<uint8_t>(slot));
  out.Key("version").Text(VersionText(found.image.header.version).text());
  out.Key("hash").Bytes(found.image.hash);
  out.Key("bootable").Bool(found.result == CheckResult::kOk);
  out.Key("pending").Bool(slot == record.trial && record.attempts_left > 0 && !runs);
  out.Key("confirmed").Bool(slot == record.active && record.IsConfirmed(slot));
  out.Key("active").Bool(runs);
  out.Key("permanent").Bool(false);
  out.End();
}

Answer ImageGroup::ReadState(CborWriter& out) {
  const BootRecord record = device_.records->Load().record;
  out.Key("images").BeginArray();
  WriteSlot(Slot::kA, record, out);
  WriteSlot(Slot::kB, record, out);
  out.End();
  return {};
}

Answer ImageGroup::TestImage(std::span<const uint8_t> hash) {
  const Slot slot = FindByHash(hash, changes_.Target());
  if (slot == Slot::kNone) return {SmpStatus::kNoEntry, ImageStatus::kHashNotFound, "no slot has that image"};
  // Not what was found some time ago: this is what the trial rests on.
  if (slot != device_.running) Forget(slot);
  if (const CheckResult result = Look(slot).result; result != CheckResult::kOk) return NotBootable(result);
  return changes_.SetTrial(slot);
}

Answer ImageGroup::ConfirmImage(std::optional<std::span<const uint8_t>> hash) {
  const Slot first = device_.InRecovery() ? Slot::kA : device_.running;
  const Slot slot = hash.has_value() ? FindByHash(*hash, first) : first;
  if (slot == Slot::kNone) return {SmpStatus::kNoEntry, ImageStatus::kHashNotFound, "no slot has that image"};
  return changes_.Confirm(slot);
}

Answer ImageGroup::WriteState(const SmpFields& fields, CborWriter& out) {
  const bool confirm = fields.confirm.value_or(false);
  if (!confirm && !fields.hash.has_value()) return Invalid("a test names its image by `hash`");
  const Answer answer = confirm ? ConfirmImage(fields.hash) : TestImage(*fields.hash);
  return answer.ok() ? ReadState(out) : answer;
}

Answer ImageGroup::SlotInfo(CborWriter& out) {
  out.Key("images").BeginArray();
  out.BeginMap();
  out.Key("image").Unsigned(0);
  out.Key("slots").BeginArray();
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    out.BeginMap();
    out.Key("slot").Unsigned(static_cast<uint8_t>(slot));
    out.Key("size").Unsigned(device_.layout.slot_size);
    if (slot == changes_.Target()) out.Key("upload_image_id").Unsigned(0);
    out.End();
  }
  out.End();
  out.Key("max_image_size").Unsigned(device_.layout.slot_size);
  out.End();
  out.End();
  return {};
}

// ---- Upload ----

Answer ImageGroup::CheckFirstBytes(std::span<const uint8_t> data, bool upgrade) {
  if (data.size() < boot::kImageHeaderSize) return {};
  const auto number = [&](size_t at, size_t size) {
    uint32_t value = 0;
    while (size > 0) value = (value << 8) | data[at + --size];
    return value;
  };
  if (number(0, 4) != boot::kImageMagic) {
    return {SmpStatus::kInvalid, ImageStatus::kInvalidMagic, "it is no MCUboot image (wrong magic)"};
  }
  if (!upgrade || device_.InRecovery()) return {};
  const boot::ImageVersion version = {data[20], data[21], static_cast<uint16_t>(number(22, 2)), number(24, 4)};
  if (version <= Look(device_.running).image.header.version) {
    return {SmpStatus::kBadState, ImageStatus::kCurrentIsNewer, "the running image is as new, and `upgrade` was asked"};
  }
  return {};
}

Answer ImageGroup::BeginUpload(const SmpFields& fields, std::span<const uint8_t> data) {
  if (!fields.length.has_value() || *fields.length == 0) {
    return {SmpStatus::kInvalid, ImageStatus::kInvalidLength, "the first packet has no `len`"};
  }
  if (*fields.length > device_.layout.slot_size) {
    return {SmpStatus::kTooLarge, ImageStatus::kTooLarge, "the image is larger than the slot"};
  }
  UploadId id = {.slot = changes_.Target(), .size = *fields.length};
  const bool has_sha = fields.sha.has_value();
  if (has_sha) {
    if (fields.sha->size() != id.sha.size()) return Invalid("`sha` is not 32 bytes long");
    std::ranges::copy(*fields.sha, id.sha.begin());
  }
  if (const Answer first = CheckFirstBytes(data, fields.upgrade.value_or(false)); !first.ok()) return first;
  // In recovery a whole image that was adopted is not given up again for the same upload.
  const bool under_way = upload_.active() && upload_.has_sha() && upload_.id() == id && has_sha;
  if (under_way && upload_.complete() && upload_.matches()) return {};
  if (const Answer given = changes_.GiveUpTarget(); !given.ok()) return given;
  Forget(id.slot);
  return FlashFailed(upload_.Begin(id, has_sha), ImageStatus::kEraseFailed);
}

Answer ImageGroup::TakeData(uint32_t offset, std::span<const uint8_t> data) {
  // What is not wanted next is answered with what is: the client goes on there.
  if (offset != upload_.offset() || data.empty()) return {};
  if (data.size() > upload_.id().size - offset) {
    return {SmpStatus::kInvalid, ImageStatus::kDataOverrun, "more data than `len`"};
  }
  Forget(upload_.id().slot);
  return FlashFailed(upload_.Write(data), ImageStatus::kWriteFailed);
}

Answer ImageGroup::Upload(const SmpFields& fields, CborWriter& out) {
  if (fields.image.value_or(0) != 0) return {SmpStatus::kInvalid, ImageStatus::kInvalidSlot, "there is one image only"};
  if (!fields.offset.has_value()) return {SmpStatus::kInvalid, ImageStatus::kInvalidOffset, "`off` is missing"};
  const std::span<const uint8_t> data = fields.data.value_or(std::span<const uint8_t>());
  if (*fields.offset == 0) {
    if (const Answer begun = BeginUpload(fields, data); !begun.ok()) return begun;
  } else if (!upload_.active()) {
    // After a reset in the middle: 0 makes the client send its first packet again.
    out.Key("off").Unsigned(0);
    return {};
  }
  const bool was_complete = upload_.complete();
  if (const Answer taken = TakeData(*fields.offset, data); !taken.ok()) return taken;
  const bool now_complete = upload_.complete();
  if (device_.InRecovery() && now_complete && upload_.matches() && (!was_complete || *fields.offset == 0)) {
    if (const Answer adopted = changes_.AdoptTarget(); !adopted.ok()) return adopted;
  }
  out.Key("off").Unsigned(upload_.offset());
  if (now_complete && upload_.has_sha()) out.Key("match").Bool(upload_.matches());
  return {};
}

Answer ImageGroup::Erase(const SmpFields& fields) {
  const Slot target = changes_.Target();
  if (fields.slot.has_value() && *fields.slot != static_cast<uint8_t>(target)) {
    return {SmpStatus::kInvalid, ImageStatus::kInvalidSlot, "only the slot that uploads go to can be erased"};
  }
  if (const Answer given = changes_.GiveUpTarget(); !given.ok()) return given;
  Forget(target);
  if (const Answer aborted = FlashFailed(upload_.Abort(), ImageStatus::kEraseFailed); !aborted.ok()) return aborted;
  const uint32_t sector = device_.flash->geometry().sector_size;
  for (uint32_t at = 0; at < device_.layout.slot_size; at += sector) {
    if (device_.keep_alive != nullptr) device_.keep_alive();
    const boot::FlashResult erased = device_.flash->Erase(device_.layout.SlotStart(target) + at);
    if (const Answer answer = FlashFailed(erased, ImageStatus::kEraseFailed); !answer.ok()) return answer;
  }
  return {};
}

Answer ImageGroup::RaiseSecurityCounter(const SmpFields& fields) {
  if (device_.InRecovery()) return {SmpStatus::kNotSupported, ImageStatus::kOk, "not in recovery"};
  if (!fields.security_counter.has_value()) return Invalid("`security_counter` is missing");
  // What is found now decides, and only when all of it is right: the counter of a damaged image could lock out every
  // image there is.
  Forget(device_.running);
  const FoundImage& found = Look(device_.running);
  if (found.result != CheckResult::kOk) return NotBootable(found.result);
  const Answer answer = changes_.RaiseSecurityCounter(*fields.security_counter, found.image.security_counter);
  // The other slot's image may be below it now.
  Forget(Slot::kA);
  Forget(Slot::kB);
  return answer;
}

}  // namespace tandem::mcu
