#include "bootloader/mcu/smp/frame.h"

#include <algorithm>
#include <array>

namespace tandem::mcu {
namespace {

constexpr uint8_t kFirst0 = 0x06;
constexpr uint8_t kFirst1 = 0x09;
constexpr uint8_t kNext0 = 0x04;
constexpr uint8_t kNext1 = 0x14;
constexpr size_t kMaxFrame = 127;
// Between the two marks and the newline, whole groups of four characters.
constexpr size_t kRawPerFrame = (kMaxFrame - 3) / 4 * 3;
constexpr size_t kLengthSize = 2;
constexpr size_t kCrcSize = 2;
constexpr uint8_t kNoDigit = 0xff;

constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

uint8_t DigitValue(uint8_t c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : kNoDigit;
}

uint16_t AddToCrc(uint16_t crc, uint8_t byte) {
  crc = static_cast<uint16_t>(crc ^ (byte << 8));
  for (int bit = 0; bit < 8; ++bit) {
    crc = static_cast<uint16_t>((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
  }
  return crc;
}

}  // namespace

uint16_t Crc16(std::span<const uint8_t> bytes) {
  uint16_t crc = 0;
  for (const uint8_t byte : bytes) crc = AddToCrc(crc, byte);
  return crc;
}

void PacketDecoder::Drop() {
  in_packet_ = false;
  state_ = State::kSkip;
}

void PacketDecoder::StartPacket() {
  in_packet_ = true;
  size_ = 0;
}

void PacketDecoder::PutByte(uint8_t byte) {
  if (size_ == buffer_.size()) return Drop();
  buffer_[size_++] = byte;
}

void PacketDecoder::TakeBase64(uint8_t byte) {
  const uint8_t value = byte == '=' ? uint8_t{0} : DigitValue(byte);
  // After padding nothing but padding comes.
  if (value == kNoDigit || (padding_ > 0 && byte != '=')) return Drop();
  if (byte == '=') ++padding_;
  group_ = (group_ << 6) | value;
  if (++group_size_ < 4) return;
  if (padding_ > 2) return Drop();
  const auto count = static_cast<uint8_t>(3 - padding_);
  for (uint8_t i = 0; i < count && state_ == State::kInFrame; ++i) {
    PutByte(static_cast<uint8_t>(group_ >> (16 - 8 * i)));
  }
  group_size_ = 0;
  group_ = 0;
}

std::span<const uint8_t> PacketDecoder::EndFrame() {
  state_ = State::kSkip;
  if (group_size_ != 0) {
    Drop();
    return {};
  }
  if (size_ < kLengthSize) return {};
  const size_t total = kLengthSize + static_cast<size_t>((buffer_[0] << 8) | buffer_[1]);
  if (size_ < total) return {};
  if (size_ > total || total <= kLengthSize + kCrcSize) {
    Drop();
    return {};
  }
  const std::span<const uint8_t> packet = buffer_.subspan(kLengthSize, total - kLengthSize - kCrcSize);
  const auto crc = static_cast<uint16_t>((buffer_[total - 2] << 8) | buffer_[total - 1]);
  if (Crc16(packet) != crc) {
    Drop();
    return {};
  }
  in_packet_ = false;
  return packet;
}

std::span<const uint8_t> PacketDecoder::Feed(uint8_t byte) {
  // Both marks' first bytes are never inside base64, so they start a frame wherever they come.
  if (byte == kFirst0 || byte == kNext0) {
    if (state_ == State::kInFrame) Drop();
    state_ = byte == kFirst0 ? State::kAfter06 : State::kAfter04;
    return {};
  }
  switch (state_) {
    case State::kSkip:
      return {};
    case State::kAfter06:
    case State::kAfter04: {
      const bool first = state_ == State::kAfter06;
      state_ = State::kSkip;
      if (byte != (first ? kFirst1 : kNext1)) return {};
      if (first) StartPacket();
      if (!in_packet_) return {};
      state_ = State::kInFrame;
      group_ = 0;
      group_size_ = 0;
      padding_ = 0;
      return {};
    }
    case State::kInFrame:
      if (byte == '\n') return EndFrame();
      if (byte != '\r') TakeBase64(byte);
      return {};
  }
  return {};
}

void WritePacket(std::span<const uint8_t> packet, void (*write)(void* context, std::span<const uint8_t> frame),
                 void* context) {
  const size_t length = packet.size() + kCrcSize;
  const uint16_t crc = Crc16(packet);
  const size_t total = kLengthSize + length;
  // The packet between its length and its checksum, without a copy of it.
  const auto raw = [&](size_t i) -> uint8_t {
    if (i < kLengthSize) return static_cast<uint8_t>(i == 0 ? length >> 8 : length);
    if (i < kLengthSize + packet.size()) return packet[i - kLengthSize];
    return static_cast<uint8_t>(i == total - 2 ? crc >> 8 : crc);
  };
  for (size_t at = 0; at < total; at += kRawPerFrame) {
    std::array<uint8_t, kMaxFrame> frame{};
    size_t size = 0;
    frame[size++] = at == 0 ? kFirst0 : kNext0;
    frame[size++] = at == 0 ? kFirst1 : kNext1;
    const size_t end = std::min(at + kRawPerFrame, total);
    for (size_t i = at; i < end; i += 3) {
      const size_t count = std::min<size_t>(3, end - i);
      uint32_t group = 0;
      for (size_t k = 0; k < 3; ++k) group = (group << 8) | (k < count ? raw(i + k) : 0U);
      for (size_t k = 0; k < 4; ++k) {
        frame[size++] = k <= count ? static_cast<uint8_t>(kDigits[(group >> (18 - 6 * k)) & 63]) : uint8_t{'='};
      }
    }
    frame[size++] = '\n';
    write(context, std::span<const uint8_t>(frame).first(size));
  }
}

}  // namespace tandem::mcu
