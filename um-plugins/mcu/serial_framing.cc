#include "um-plugins/mcu/serial_framing.h"

#include <algorithm>
#include <array>

#include "absl/strings/escaping.h"
#include "um-plugins/mcu/big_endian.h"

namespace tandem::smp {
namespace {

constexpr std::string_view kFirst = "\x06\x09";
constexpr std::string_view kNext = "\x04\x14";
// Some devices make longer frames than they should.
constexpr size_t kMaxLine = 512;
constexpr size_t kLengthSize = 2;
constexpr size_t kCrcSize = 2;

constexpr std::array<uint16_t, 256> MakeCrcTable() {
  std::array<uint16_t, 256> table{};
  for (size_t i = 0; i < table.size(); ++i) {
    auto crc = static_cast<uint16_t>(i << 8);
    for (int bit = 0; bit < 8; ++bit) crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint16_t, 256> kCrcTable = MakeCrcTable();

}  // namespace

uint16_t SerialCrc(std::string_view bytes) {
  uint16_t crc = 0;
  for (const char c : bytes) {
    crc = static_cast<uint16_t>(crc << 8 ^ kCrcTable[(crc >> 8 ^ static_cast<uint8_t>(c)) & 0xff]);
  }
  return crc;
}

std::string EncodeSerialFrames(std::string_view packet) {
  std::string body;
  body.reserve(kLengthSize + packet.size() + kCrcSize);
  Put16(body, static_cast<uint16_t>(packet.size() + kCrcSize));
  body.append(packet);
  Put16(body, SerialCrc(packet));

  std::string frames;
  frames.reserve(SerialFramesSize(packet.size()));
  std::string base64;
  for (size_t at = 0; at < body.size(); at += kSerialFramePayload) {
    absl::Base64Escape(absl::string_view(body).substr(at, kSerialFramePayload), &base64);
    frames.append(at == 0 ? kFirst : kNext).append(base64).push_back('\n');
  }
  return frames;
}

size_t SerialFramesSize(size_t packet_size) {
  constexpr size_t kAround = 3;
  const size_t body = kLengthSize + packet_size + kCrcSize;
  const size_t whole = body / kSerialFramePayload;
  const size_t rest = body % kSerialFramePayload;
  return whole * kMaxSerialFrame + (rest == 0 ? 0 : (rest + 2) / 3 * 4 + kAround);
}

std::vector<std::string> SerialDecoder::Feed(std::string_view bytes) {
  std::vector<std::string> packets;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (!skipping_) line_.append(part.substr(0, kMaxLine + 1 - std::min(kMaxLine + 1, line_.size())));
    if (line_.size() > kMaxLine) {
      skipping_ = true;
      line_.clear();
    }
    if (end == std::string_view::npos) break;
    TakeLine(packets);
    line_.clear();
    skipping_ = false;
    bytes.remove_prefix(end + 1);
  }
  return packets;
}

void SerialDecoder::Drop() { packet_.clear(); }

void SerialDecoder::TakeLine(std::vector<std::string>& packets) {
  // Log text may stand before a frame. Neither marker can be within base64.
  const size_t first = line_.rfind(kFirst);
  const size_t next = line_.rfind(kNext);
  const bool is_first = first != std::string::npos && (next == std::string::npos || first > next);
  if (!is_first && next == std::string::npos) return;
  // A frame without the one before it.
  if (!is_first && packet_.empty()) return;
  if (is_first) Drop();

  absl::string_view base64 = absl::string_view(line_).substr((is_first ? first : next) + kFirst.size());
  if (!base64.empty() && base64.back() == '\r') base64.remove_suffix(1);
  std::string decoded;
  if (!absl::Base64Unescape(base64, &decoded) || decoded.empty()) return Drop();
  packet_.append(decoded);
  if (packet_.size() < kLengthSize) return Drop();
  const size_t length = Get16(packet_, 0);
  if (length < kCrcSize || packet_.size() > kLengthSize + length) return Drop();
  if (packet_.size() < kLengthSize + length) return;
  const std::string_view packet = std::string_view(packet_).substr(kLengthSize, length - kCrcSize);
  if (SerialCrc(packet) == Get16(packet_, kLengthSize + length - kCrcSize)) packets.emplace_back(packet);
  Drop();
}

}  // namespace tandem::smp
