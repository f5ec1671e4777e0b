// SMP over a serial line: packets in base64 frames with a checksum. Freestanding, bounded, no heap.
//
// A packet is sent as {u16 BE length of packet and checksum, packet, u16 BE CRC-16 of the packet (polynomial 0x1021,
// initial 0)}, in base64, cut into frames of at most 127 bytes: 06 09 for the first, 04 14 for the others, a newline
// after each. (Zephyr, "SMP over console")
//
//   PacketReader<2048> reader;
//   if (const std::span<const uint8_t> packet = reader.Feed(byte); !packet.empty()) Handle(packet);
#ifndef TANDEM_BOOTLOADER_MCU_SMP_FRAME_H_
#define TANDEM_BOOTLOADER_MCU_SMP_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::mcu {

uint16_t Crc16(std::span<const uint8_t> bytes);

// Takes a line's bytes one by one. Text between frames, torn frames and noise are skipped: the next first frame starts
// afresh. Frames may be longer than 127 bytes.
class PacketDecoder {
 public:
  // `buffer` holds the largest packet and 4 bytes more.
  explicit PacketDecoder(std::span<uint8_t> buffer) : buffer_(buffer) {}

  // The packet that `byte` completes, valid until the next call; empty: none.
  std::span<const uint8_t> Feed(uint8_t byte);

 private:
  enum class State : uint8_t {
    // Before a frame's first byte.
    kSkip,
    kAfter06,
    kAfter04,
    kInFrame,
  };

  void StartPacket();
  void TakeBase64(uint8_t byte);
  void PutByte(uint8_t byte);
  std::span<const uint8_t> EndFrame();
  void Drop();

  const std::span<uint8_t> buffer_;
  size_t size_ = 0;
  State state_ = State::kSkip;
  // A first frame was read, so that a continuation has something to continue.
  bool in_packet_ = false;
  // Of the base64 group under way: its bits, characters and padding.
  uint32_t group_ = 0;
  uint8_t group_size_ = 0;
  uint8_t padding_ = 0;
};

template <size_t kMaxPacket>
class PacketReader {
 public:
  PacketReader() : decoder_(buffer_) {}
  std::span<const uint8_t> Feed(uint8_t byte) { return decoder_.Feed(byte); }

 private:
  uint8_t buffer_[kMaxPacket + 4] = {};
  PacketDecoder decoder_;
};

// Writes a packet as frames; `write` gets a whole frame each time.
void WritePacket(std::span<const uint8_t> packet, void (*write)(void* context, std::span<const uint8_t> frame),
                 void* context);

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_FRAME_H_
