// Numbers in records and images: the lowest byte first. The caller has seen to it that they are within `bytes`.
#ifndef TANDEM_BOOTLOADER_CORE_LITTLE_ENDIAN_H_
#define TANDEM_BOOTLOADER_CORE_LITTLE_ENDIAN_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::boot {

inline uint16_t Get16(std::span<const uint8_t> bytes, size_t at) {
  return static_cast<uint16_t>(bytes[at] | (bytes[at + 1] << 8));
}

inline uint32_t Get32(std::span<const uint8_t> bytes, size_t at) {
  return Get16(bytes, at) | (static_cast<uint32_t>(Get16(bytes, at + 2)) << 16);
}

inline void Put32(std::span<uint8_t> bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_CORE_LITTLE_ENDIAN_H_
