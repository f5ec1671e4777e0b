#include "bootloader/mcu/port/bounded_write.h"

#include <gtest/gtest.h>

#include <string>

namespace tandem::mcu::board {
namespace {

TEST(BoundedWrite, WaitsForASlowTransmitter) {
  std::string sent;
  int looks = 0;
  const auto is_full = [&] { return ++looks % 4 != 0; };
  EXPECT_TRUE(BoundedWrite("boot\n", 3, is_full, [&](uint8_t byte) { sent.push_back(static_cast<char>(byte)); }));
  EXPECT_EQ(sent, "boot\n");
}

TEST(BoundedWrite, AStuckTransmitterLosesTheRestOfTheTextAndNotTheBoot) {
  std::string sent;
  const auto is_full = [&] { return sent.size() == 2; };
  EXPECT_FALSE(BoundedWrite("boot\n", 1000, is_full, [&](uint8_t byte) { sent.push_back(static_cast<char>(byte)); }));
  EXPECT_EQ(sent, "bo");
}

}  // namespace
}  // namespace tandem::mcu::board
