// An SMP request: its header and the fields of its CBOR map. Freestanding.
//
// Header, 8 bytes, big-endian: res:3|version:2|op:3, flags, u16 length of the map, u16 group, u8 sequence, u8 command.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_REQUEST_H_
#define TANDEM_BOOTLOADER_MCU_SMP_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tandem::mcu {

inline constexpr size_t kSmpHeaderSize = 8;

enum class SmpOp : uint8_t { kRead = 0, kReadResponse = 1, kWrite = 2, kWriteResponse = 3 };

struct SmpHeader {
  // 0: errors are `rc`; 1: they are `err`.
  uint8_t version = 0;
  SmpOp op = SmpOp::kRead;
  uint16_t length = 0;
  uint16_t group = 0;
  uint8_t sequence = 0;
  uint8_t command = 0;
};

// False when `packet` is no request: too short, a response, or not as long as its header says.
bool ReadHeader(std::span<const uint8_t> packet, SmpHeader& header);
void WriteHeader(const SmpHeader& header, std::span<uint8_t> into);

// All fields that any command knows; others are skipped, as SMP wants it.
struct SmpFields {
  std::optional<uint32_t> image;
  std::optional<uint32_t> length;
  std::optional<uint32_t> offset;
  std::optional<uint32_t> slot;
  std::optional<uint32_t> boot_mode;
  std::optional<uint32_t> security_counter;
  std::optional<bool> confirm;
  std::optional<bool> upgrade;
  std::optional<std::span<const uint8_t>> data;
  std::optional<std::span<const uint8_t>> sha;
  std::optional<std::span<const uint8_t>> hash;
  std::optional<std::string_view> echo;
};

// False when the map is malformed, or a known field is there twice, of a wrong type or beyond 32 bits. An empty payload
// is an empty map.
bool ReadFields(std::span<const uint8_t> payload, SmpFields& fields);

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_REQUEST_H_
