#include "um-plugins/mcu/smp_packet.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"

namespace tandem::smp {
namespace {

using nlohmann::json;

TEST(SmpPacketTest, IsTheseBytes) {
  // Version 2, write, group 1, sequence 0x42, command 0: {"confirm": false, "hash": h'0102'}.
  const std::string bytes = absl::HexStringToBytes(
      "0a00001300014200"
      "a267636f6e6669726df46468617368420102");
  const std::string made =
      EncodeSmpPacket({.op = SmpOp::kWrite, .group = kSmpImageGroup, .sequence = 0x42, .command = 0},
                      {{"confirm", false}, {"hash", BytesValue("\x01\x02")}});
  EXPECT_EQ(absl::BytesToHexString(made), absl::BytesToHexString(bytes).replace(6, 2, "12"));
  const SmpPacket packet = DecodeSmpPacket(made).value();
  EXPECT_EQ(packet.header.op, SmpOp::kWrite);
  EXPECT_EQ(packet.header.version, 1);
  EXPECT_EQ(packet.header.group, 1);
  EXPECT_EQ(packet.header.sequence, 0x42);
  EXPECT_EQ(FindBool(packet.body, "confirm"), false);
  EXPECT_EQ(FindBytes(packet.body, "hash"), "\x01\x02");
}

TEST(SmpPacketTest, RefusesWhatIsNotWholeOrNoMap) {
  const std::string good = EncodeSmpPacket({}, {{"off", 5}});
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(DecodeSmpPacket(good.substr(0, size)).ok()) << size;
  EXPECT_FALSE(DecodeSmpPacket(good + "x").ok());
  EXPECT_FALSE(DecodeSmpPacket(absl::HexStringToBytes("010000010001000005")).ok()) << "a number";
  EXPECT_FALSE(DecodeSmpPacket(absl::HexStringToBytes("0100000200010000a0a0")).ok()) << "two maps";
  EXPECT_TRUE(DecodeSmpPacket(absl::HexStringToBytes("0100000000010000")).ok()) << "an empty body is an empty map";
}

TEST(SmpPacketTest, DeepNestingIsRefusedBeforeItIsRead) {
  std::string body(60'000, '\x81');
  body.back() = '\0';
  std::string packet = absl::HexStringToBytes(
                           "01000000"
                           "00010000") +
                       body;
  packet[2] = static_cast<char>(body.size() >> 8);
  packet[3] = static_cast<char>(body.size() & 0xff);
  EXPECT_FALSE(DecodeSmpPacket(packet).ok());
}

TEST(SmpPacketTest, MembersOfAnotherTypeAreNotThere) {
  const json body = {{"text", "t"}, {"number", 7}, {"negative", -7}};
  EXPECT_EQ(FindNumber(body, "text"), std::nullopt);
  EXPECT_EQ(FindNumber(body, "negative"), std::nullopt);
  EXPECT_EQ(FindNumber(body, "number"), 7);
  EXPECT_EQ(FindText(body, "number"), std::nullopt);
  EXPECT_EQ(FindBytes(body, "text"), std::nullopt);
  EXPECT_EQ(FindBool(body, "none"), std::nullopt);
  EXPECT_EQ(FindBool(json::array(), "none"), std::nullopt);
}

}  // namespace
}  // namespace tandem::smp
