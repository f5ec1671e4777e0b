// The boot record: what the bootloader and the running system tell each other across resets.
//
// Freestanding: no heap, no libc; the same files run on the MCU and on the host.
//
// The record lives in two copies. A change is written to the older copy, with the next sequence number, and is made
// durable before anything relies on it; so a power cut while writing loses at most the change, never the record.
//
// A copy, 64 bytes, little-endian:
//    0 u32  magic "TDBR"
//    4 u8   format (1)
//    5 u8   oldest reader format that may use this copy
//    6 u16  size of the copy (64)
//    8 u32  sequence number; newer when (a - b) is positive as a signed number, so it may wrap
//   12 u8   active slot: booted when nothing is on trial
//   13 u8   slot on trial, 0xff: none
//   14 u8   trial boots left
//   15 u8   confirmed slots, bit 0 A, bit 1 B: their bytes have proven themselves
//   16 u8   unbootable slots, bit 0 A, bit 1 B
//   17 u8   slot that was chosen last, 0xff: none
//   18 u32  security counter
//   22      reserved, kept as read
//   60 u32  CRC-32 (IEEE 802.3) of bytes 0 to 59
#ifndef TANDEM_BOOTLOADER_CORE_BOOT_RECORD_H_
#define TANDEM_BOOTLOADER_CORE_BOOT_RECORD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::boot {

inline constexpr size_t kBootRecordSize = 64;
inline constexpr size_t kReservedOffset = 22;
inline constexpr size_t kReservedSize = 38;
inline constexpr uint8_t kMaxAttempts = 9;

enum class Slot : uint8_t { kA = 0, kB = 1, kNone = 0xff };

constexpr Slot Other(Slot slot) { return slot == Slot::kA ? Slot::kB : Slot::kA; }
constexpr uint8_t Bit(Slot slot) { return slot == Slot::kNone ? uint8_t{0} : uint8_t(1U << uint8_t(slot)); }
// "A", "B" or "none".
const char* SlotName(Slot slot);

struct BootRecord {
  uint32_t sequence = 0;
  Slot active = Slot::kA;
  Slot trial = Slot::kNone;
  // 0 to kMaxAttempts.
  uint8_t attempts_left = 0;
  uint8_t confirmed = Bit(Slot::kA);
  uint8_t unbootable = 0;
  Slot last_chosen = Slot::kNone;
  uint32_t security_counter = 0;
  // Of a later format; written back as it was read.
  std::array<uint8_t, kReservedSize> reserved{};

  bool IsConfirmed(Slot slot) const { return (confirmed & Bit(slot)) != 0; }
  bool IsBootable(Slot slot) const { return slot != Slot::kNone && (unbootable & Bit(slot)) == 0; }
  bool operator==(const BootRecord&) const = default;
};

using EncodedRecord = std::array<uint8_t, kBootRecordSize>;

EncodedRecord Encode(const BootRecord& record);

enum class CopyState : uint8_t {
  kValid,
  // Only 0x00, or only 0xff: never written, or erased.
  kBlank,
  // Wrong magic, checksum or an impossible value.
  kInvalid,
  // Whole, but made by software that this one is too old to understand. Of every format magic, both format bytes, size,
  // sequence number and CRC-32 are where they are now.
  kTooNew,
};

// `record` is set only when kValid. `bytes` shorter than a copy are kInvalid.
CopyState Decode(std::span<const uint8_t> bytes, BootRecord& record);

enum class RecordState : uint8_t {
  kValid,
  // A unit fresh from its maker; `record` is the factory record (A active and confirmed). Both copies are blank, or one
  // is and the other is what a power cut left of the first write ever, which the first boot makes.
  kBlank,
  // Neither copy can be used, or the newer one is too new to be understood: nothing is known about the slots.
  kLost,
};

struct LoadedRecord {
  RecordState state = RecordState::kLost;
  BootRecord record;
  // 0 or 1: the copy that `record` came from. The next write goes to the other one.
  uint8_t copy = 1;
};

// The newest valid of both copies.
LoadedRecord Choose(std::span<const uint8_t> copy0, std::span<const uint8_t> copy1);

uint32_t Crc32(std::span<const uint8_t> bytes);

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_CORE_BOOT_RECORD_H_
