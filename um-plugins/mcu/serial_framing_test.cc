#include "um-plugins/mcu/serial_framing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "tests/golden/golden.h"

namespace tandem::smp {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Packet(size_t size) {
  std::string packet;
  for (size_t i = 0; i < size; ++i) packet.push_back(static_cast<char>(i * 13 + size));
  return packet;
}

TEST(SerialFramingTest, IsTheGoldenFrame) {
  const std::string packet = absl::HexStringToBytes("0000000100014200a0");
  EXPECT_EQ(EncodeSerialFrames(packet), GoldenBytes("smp_serial_frame.hex"));
  EXPECT_THAT(SerialDecoder().Feed(GoldenBytes("smp_serial_frame.hex")), ElementsAre(packet));
}

TEST(SerialFramingTest, EverySizeComesBackInFramesOfAtMost127Bytes) {
  SerialDecoder decoder;
  for (size_t size = 1; size < 600; ++size) {
    const std::string frames = EncodeSerialFrames(Packet(size));
    EXPECT_EQ(frames.size(), SerialFramesSize(size)) << size;
    for (const absl::string_view line : absl::StrSplit(frames, '\n')) EXPECT_LT(line.size(), kMaxSerialFrame);
    EXPECT_THAT(decoder.Feed(frames), ElementsAre(Packet(size)));
  }
  EXPECT_THAT(decoder.Feed(EncodeSerialFrames(Packet(kMaxSerialPacket))), ElementsAre(Packet(kMaxSerialPacket)));
}

TEST(SerialFramingTest, BytesMayComeOneByOne) {
  SerialDecoder decoder;
  std::vector<std::string> packets;
  for (const char c : EncodeSerialFrames(Packet(300)) + EncodeSerialFrames(Packet(10))) {
    for (std::string& packet : decoder.Feed({&c, 1})) packets.push_back(std::move(packet));
  }
  EXPECT_THAT(packets, ElementsAre(Packet(300), Packet(10)));
}

TEST(SerialFramingTest, LogTextNoiseAndHalfFramesCostNothingElse) {
  SerialDecoder decoder;
  const std::string frames = EncodeSerialFrames(Packet(200));
  EXPECT_THAT(decoder.Feed("*** Booting ***\r\n\x06\x09" + frames), ElementsAre(Packet(200)));
  EXPECT_THAT(decoder.Feed("[00:00] text without an end " + frames), ElementsAre(Packet(200)));
  EXPECT_THAT(decoder.Feed(frames.substr(0, 60) + "\n" + frames), ElementsAre(Packet(200)));
  EXPECT_THAT(decoder.Feed(frames.substr(127) + frames), ElementsAre(Packet(200))) << "continuation without a first";
  EXPECT_THAT(decoder.Feed(std::string(1 << 20, 'x')), IsEmpty()) << "a line without an end is not kept";
  EXPECT_THAT(decoder.Feed("\n" + frames), ElementsAre(Packet(200)));
  EXPECT_THAT(decoder.Feed("\x06\x09" + std::string("AAAA\n") + frames), ElementsAre(Packet(200)));
}

TEST(SerialFramingTest, ADamagedPacketIsNeverGivenOutAndTheNextOneIs) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 5000; ++i) {
    SerialDecoder decoder;
    std::string frames = EncodeSerialFrames(Packet(180));
    const size_t at = random() % frames.size();
    frames[at] = static_cast<char>(frames[at] ^ (1 << (random() % 8)));
    const std::vector<std::string> damaged = decoder.Feed(frames);
    if (!damaged.empty()) {
      EXPECT_THAT(damaged, ElementsAre(Packet(180))) << at;
    }
    // Of a damaged line end the next frame is a part.
    (void)decoder.Feed("\n");
    EXPECT_THAT(decoder.Feed(EncodeSerialFrames(Packet(20))), ElementsAre(Packet(20))) << at;
  }
}

}  // namespace
}  // namespace tandem::smp
