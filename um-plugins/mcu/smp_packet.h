// One packet of the Simple Management Protocol (SMP, "mcumgr"): what MCUboot and Zephyr devices are managed by.
//
// On the wire (Zephyr, "SMP Protocol Specification"): 8 bytes big-endian, {res:3 | version:2 | op:3}, flags 0,
// u16 length of the body, u16 group, u8 sequence, u8 command; then the body, one CBOR map.
//
//   const std::string bytes = EncodeSmpPacket({.op = SmpOp::kRead, .group = kSmpImageGroup, .command = 0},
//                                             nlohmann::json::object());
//   ASSIGN_OR_RETURN(SmpPacket answer, DecodeSmpPacket(bytes_from_the_line));
#ifndef TANDEM_UM_PLUGINS_MCU_SMP_PACKET_H_
#define TANDEM_UM_PLUGINS_MCU_SMP_PACKET_H_

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem::smp {

inline constexpr size_t kSmpHeaderSize = 8;
inline constexpr size_t kMaxSmpBody = 0xffff;
// Maps within maps; what devices send has three.
inline constexpr int kMaxSmpDepth = 8;

inline constexpr uint16_t kSmpOsGroup = 0;
inline constexpr uint16_t kSmpImageGroup = 1;
// The first group that is left to vendors; see mcu_commands.h.
inline constexpr uint16_t kSmpBootGroup = 100;

enum class SmpOp : uint8_t { kRead = 0, kReadAnswer = 1, kWrite = 2, kWriteAnswer = 3 };

struct SmpHeader {
  SmpOp op = SmpOp::kRead;
  // 0: protocol version 1; 1: version 2, which answers errors by group.
  uint8_t version = 1;
  uint16_t group = 0;
  uint8_t sequence = 0;
  uint8_t command = 0;
};

struct SmpPacket {
  SmpHeader header;
  // Always an object.
  nlohmann::json body;
};

// `body` is an object of at most kMaxSmpBody bytes as CBOR.
std::string EncodeSmpPacket(const SmpHeader& header, const nlohmann::json& body);

// INVALID_ARGUMENT when the packet is not whole, has bytes left, or its body is no CBOR map of bounded depth.
absl::StatusOr<SmpPacket> DecodeSmpPacket(std::string_view bytes);

// ---- Members of a body, whatever a device put there ----

// nullopt: not there, or of another type.
std::optional<uint64_t> FindNumber(const nlohmann::json& body, const char* key);
std::optional<bool> FindBool(const nlohmann::json& body, const char* key);
std::optional<std::string> FindText(const nlohmann::json& body, const char* key);
// A byte string.
std::optional<std::string> FindBytes(const nlohmann::json& body, const char* key);
// The value as a byte string of CBOR.
nlohmann::json BytesValue(std::string_view bytes);

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_SMP_PACKET_H_
