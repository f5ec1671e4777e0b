#include "bootloader/mcu/smp/frame.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>
#include <vector>

namespace tandem::mcu {
namespace {

using Bytes = std::vector<uint8_t>;

std::string Frames(const Bytes& packet) {
  std::string line;
  WritePacket(
      packet,
      [](void* context, std::span<const uint8_t> frame) {
        EXPECT_LE(frame.size(), 127U);
        static_cast<std::string*>(context)->append(frame.begin(), frame.end());
      },
      &line);
  return line;
}

std::vector<Bytes> Decode(PacketReader<2048>& reader, const std::string& line) {
  std::vector<Bytes> packets;
  for (const char c : line) {
    const std::span<const uint8_t> packet = reader.Feed(static_cast<uint8_t>(c));
    if (!packet.empty()) packets.emplace_back(packet.begin(), packet.end());
  }
  return packets;
}

Bytes Numbers(size_t size) {
  Bytes bytes;
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<uint8_t>(i * 31));
  return bytes;
}

// The vector of PROTOCOLS: an image state read.
TEST(Frame, GoldenVector) {
  const Bytes packet = {0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x42, 0x00, 0xa0};
  EXPECT_EQ(Frames(packet),
            "\x06\x09"
            "AAsAAAABAAFCAKD1Mw==\n");
  PacketReader<2048> reader;
  EXPECT_EQ(Decode(reader,
                   "\x06\x09"
                   "AAsAAAABAAFCAKD1Mw==\n"),
            std::vector<Bytes>{packet});
}

TEST(Frame, EverySizeComesBack) {
  PacketReader<2048> reader;
  for (size_t size = 1; size <= 2048; ++size) {
    ASSERT_EQ(Decode(reader, Frames(Numbers(size))), std::vector<Bytes>{Numbers(size)}) << size;
  }
}

TEST(Frame, APacketThatIsTooLongIsDroppedAndTheNextIsRead) {
  PacketReader<2048> reader;
  EXPECT_TRUE(Decode(reader, Frames(Numbers(2049))).empty());
  EXPECT_EQ(Decode(reader, Frames(Numbers(10))).size(), 1U);
}

TEST(Frame, ConsoleTextBetweenFramesIsSkipped) {
  PacketReader<2048> reader;
  EXPECT_EQ(Decode(reader, "boot: hello\r\n" + Frames(Numbers(10)) + "x\n" + Frames(Numbers(300)) + "~").size(), 2U);
}

TEST(Frame, AnyOneDamagedByteLosesAtMostThePacketAndNeverChangesIt) {
  const std::string line = Frames(Numbers(200));
  for (size_t at = 0; at < line.size(); ++at) {
    for (const int change : {0x01, 0x02, 0x10, 0x80}) {
      PacketReader<2048> reader;
      std::string damaged = line;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      for (const Bytes& packet : Decode(reader, damaged)) EXPECT_EQ(packet, Numbers(200)) << at;
      ASSERT_EQ(Decode(reader, "\n" + Frames(Numbers(7))), std::vector<Bytes>{Numbers(7)}) << at;
    }
  }
}

TEST(Frame, ALostFrameLosesThePacket) {
  const std::string line = Frames(Numbers(300));
  const size_t second = line.find('\n') + 1;
  const size_t third = line.find('\n', second) + 1;
  PacketReader<2048> reader;
  EXPECT_TRUE(Decode(reader, line.substr(0, second) + line.substr(third)).empty());
  EXPECT_EQ(Decode(reader, line).size(), 1U);
}

TEST(Frame, NoiseNeverMakesAPacket) {
  std::mt19937 random(7);
  PacketReader<2048> reader;
  std::string noise;
  for (int i = 0; i < 200000; ++i) noise.push_back(static_cast<char>(random()));
  EXPECT_TRUE(Decode(reader, noise).empty());
}

}  // namespace
}  // namespace tandem::mcu
