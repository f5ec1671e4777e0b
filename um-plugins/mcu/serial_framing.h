// SMP packets on a serial line, which may carry log text and noise, too.
//
// On the line (Zephyr, "SMP Transport: UART"): lines of at most 127 bytes, 06 09 for the first and 04 14 for each
// further one of a packet, base64, 0a. Decoded and joined: u16 BE length (of packet and CRC), packet, u16 BE CRC16
// (polynomial 0x1021, from 0) of the packet. Golden vector: tests/golden/smp_serial_frame.hex.
//
//   line.Write(EncodeSerialFrames(packet));
//   SerialDecoder decoder;
//   for (const std::string& packet : decoder.Feed(bytes_read)) ...
#ifndef TANDEM_UM_PLUGINS_MCU_SERIAL_FRAMING_H_
#define TANDEM_UM_PLUGINS_MCU_SERIAL_FRAMING_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::smp {

inline constexpr size_t kMaxSerialFrame = 127;
// What a whole frame carries: 124 characters of base64.
inline constexpr size_t kSerialFramePayload = 93;
// The largest packet that its 16-bit length leaves room for.
inline constexpr size_t kMaxSerialPacket = 0xffff - 2;

// CRC-16/XMODEM.
uint16_t SerialCrc(std::string_view bytes);

// Of at most kMaxSerialPacket bytes.
std::string EncodeSerialFrames(std::string_view packet);

// How many bytes EncodeSerialFrames() makes of a packet so long.
size_t SerialFramesSize(size_t packet_size);

// Takes bytes as they come and gives whole packets whose CRC is right. Whatever else is on the line is skipped, and a
// damaged packet costs itself only. Holds at most one line and one packet. Not thread-safe.
class SerialDecoder {
 public:
  std::vector<std::string> Feed(std::string_view bytes);

 private:
  void TakeLine(std::vector<std::string>& packets);
  void Drop();

  // The line so far, from its marker on.
  std::string line_;
  // The rest of an overlong line is skipped.
  bool skipping_ = false;
  // Decoded bytes of the packet whose frames are coming; empty between packets.
  std::string packet_;
};

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_SERIAL_FRAMING_H_
