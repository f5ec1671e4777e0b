#include "um-plugins/mcu/mcu_version.h"

#include <gtest/gtest.h>

namespace tandem::plugins {
namespace {

TEST(McuVersionTest, SpellingsOfOneVersion) {
  EXPECT_TRUE(SameMcuVersion("1.2.3", "1.2.3.0"));
  EXPECT_TRUE(SameMcuVersion("1.2.3.4", "1.2.3+4"));
  EXPECT_TRUE(SameMcuVersion("1.2", "1.2.0"));
  EXPECT_TRUE(SameMcuVersion("1.2+7", "1.2.0.7"));
  EXPECT_TRUE(SameMcuVersion("spring", "spring"));
  EXPECT_FALSE(SameMcuVersion("1.2.3", "1.2.4"));
  EXPECT_FALSE(SameMcuVersion("1.2.3", "spring"));
}

TEST(McuVersionTest, WhatDoesNotFitAnImageIsNoVersion) {
  for (const char* const text : {"", "1", ".", "1.", "1.2.3.4.5", "256.0.0", "0.256.0", "0.0.65536", "1.2.3.4294967296",
                                 "1.2.-3", "1.2.3 ", "v1.2.3", "1.2.3+", "1.2.3.4+5", "1.2+3+4"}) {
    EXPECT_EQ(ParseMcuVersion(text), std::nullopt) << text;
  }
  EXPECT_EQ(McuVersionText(*ParseMcuVersion("255.255.65535+4294967295")), "255.255.65535.4294967295");
}

}  // namespace
}  // namespace tandem::plugins
