// Numbers of SMP packets and of their serial frames: the highest byte first.
#ifndef TANDEM_UM_PLUGINS_MCU_BIG_ENDIAN_H_
#define TANDEM_UM_PLUGINS_MCU_BIG_ENDIAN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::smp {

inline void Put16(std::string& out, uint16_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value & 0xff));
}

// `at` and the byte behind it are within `bytes`.
inline uint16_t Get16(std::string_view bytes, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8 | static_cast<uint8_t>(bytes[at + 1]));
}

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_BIG_ENDIAN_H_
