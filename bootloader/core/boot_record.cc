#include "bootloader/core/boot_record.h"

#include "bootloader/core/little_endian.h"

namespace tandem::boot {
namespace {

constexpr uint32_t kMagic = 0x52424454;  // "TDBR"
constexpr uint8_t kFormat = 1;
constexpr uint8_t kAllSlots = 3;
constexpr size_t kCrcOffset = kBootRecordSize - 4;
static_assert(kReservedOffset + kReservedSize == kCrcOffset);

bool IsAll(std::span<const uint8_t> bytes, uint8_t value) {
  for (const uint8_t byte : bytes) {
    if (byte != value) return false;
  }
  return true;
}

// Sequence numbers may wrap.
bool IsNewer(uint32_t one, uint32_t other) { return static_cast<int32_t>(one - other) > 0; }

bool IsSlot(uint8_t value) { return value <= 1; }
bool IsSlotOrNone(uint8_t value) { return value <= 1 || value == 0xff; }

}  // namespace

const char* SlotName(Slot slot) {
  switch (slot) {
    case Slot::kA:
      return "A";
    case Slot::kB:
      return "B";
    case Slot::kNone:
      break;
  }
  return "none";
}

uint32_t Crc32(std::span<const uint8_t> bytes) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
  }
  return ~crc;
}

EncodedRecord Encode(const BootRecord& record) {
  EncodedRecord bytes{};
  Put32(bytes, 0, kMagic);
  bytes[4] = kFormat;
  bytes[5] = kFormat;
  bytes[6] = kBootRecordSize;
  Put32(bytes, 8, record.sequence);
  bytes[12] = static_cast<uint8_t>(record.active);
  bytes[13] = static_cast<uint8_t>(record.trial);
  bytes[14] = record.attempts_left;
  bytes[15] = record.confirmed;
  bytes[16] = record.unbootable;
  bytes[17] = static_cast<uint8_t>(record.last_chosen);
  Put32(bytes, 18, record.security_counter);
  for (size_t i = 0; i < kReservedSize; ++i) bytes[kReservedOffset + i] = record.reserved[i];
  Put32(bytes, kCrcOffset, Crc32(std::span(bytes).first(kCrcOffset)));
  return bytes;
}

CopyState Decode(std::span<const uint8_t> bytes, BootRecord& record) {
  if (bytes.size() < kBootRecordSize) return CopyState::kInvalid;
  bytes = bytes.first(kBootRecordSize);
  if (IsAll(bytes, 0x00) || IsAll(bytes, 0xff)) return CopyState::kBlank;
  if (Get32(bytes, 0) != kMagic || Get32(bytes, kCrcOffset) != Crc32(bytes.first(kCrcOffset))) {
    return CopyState::kInvalid;
  }
  if (bytes[5] > kFormat) return CopyState::kTooNew;
  if (!IsSlot(bytes[12]) || !IsSlotOrNone(bytes[13]) || bytes[14] > kMaxAttempts || bytes[15] > kAllSlots ||
      bytes[16] > kAllSlots || !IsSlotOrNone(bytes[17])) {
    return CopyState::kInvalid;
  }
  record.sequence = Get32(bytes, 8);
  record.active = static_cast<Slot>(bytes[12]);
  record.trial = static_cast<Slot>(bytes[13]);
  record.attempts_left = bytes[14];
  record.confirmed = bytes[15];
  record.unbootable = bytes[16];
  record.last_chosen = static_cast<Slot>(bytes[17]);
  record.security_counter = Get32(bytes, 18);
  for (size_t i = 0; i < kReservedSize; ++i) record.reserved[i] = bytes[kReservedOffset + i];
  return CopyState::kValid;
}

namespace {

// Nothing but bits of the record that the first boot writes has changed since the copy was as blank as the other one:
// nothing that a later record decays to.
bool IsTornFirstWrite(std::span<const uint8_t> copy, uint8_t erased) {
  BootRecord first;
  first.sequence = 1;
  first.last_chosen = first.active;
  const EncodedRecord whole = Encode(first);
  if (copy.size() < whole.size()) return false;
  for (size_t i = 0; i < whole.size(); ++i) {
    const auto changed = static_cast<uint8_t>(copy[i] ^ erased);
    const auto to_change = static_cast<uint8_t>(whole[i] ^ erased);
    if ((changed & ~to_change) != 0) return false;
  }
  return true;
}

}  // namespace

LoadedRecord Choose(std::span<const uint8_t> copy0, std::span<const uint8_t> copy1) {
  BootRecord record0;
  BootRecord record1;
  const CopyState state0 = Decode(copy0, record0);
  const CopyState state1 = Decode(copy1, record1);
  if (state0 == CopyState::kValid && state1 == CopyState::kValid) {
    const bool second_is_newer = IsNewer(record1.sequence, record0.sequence);
    return {RecordState::kValid, second_is_newer ? record1 : record0, uint8_t{second_is_newer}};
  }
  // What newer software has decided is not undone by what it decided before.
  if ((state0 == CopyState::kTooNew && state1 == CopyState::kValid && IsNewer(Get32(copy0, 8), record1.sequence)) ||
      (state1 == CopyState::kTooNew && state0 == CopyState::kValid && IsNewer(Get32(copy1, 8), record0.sequence))) {
    return {RecordState::kLost, BootRecord(), 1};
  }
  if (state0 == CopyState::kValid) return {RecordState::kValid, record0, 0};
  if (state1 == CopyState::kValid) return {RecordState::kValid, record1, 1};
  if (state0 == CopyState::kBlank && state1 == CopyState::kBlank) return {RecordState::kBlank, BootRecord(), 1};
  // Whole records are only ever written beside a valid one; so a torn one beside a blank one is the first of all.
  if ((state0 == CopyState::kBlank && IsTornFirstWrite(copy1, copy0[0])) ||
      (state1 == CopyState::kBlank && IsTornFirstWrite(copy0, copy1[0]))) {
    return {RecordState::kBlank, BootRecord(), 1};
  }
  return {RecordState::kLost, BootRecord(), 1};
}

}  // namespace tandem::boot
