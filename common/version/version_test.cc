#include "common/version/version.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tandem {
namespace {

TEST(VersionTest, OrderIsTotalAlongThisList) {
  const std::vector<std::string> ascending = {
      "",
      "0.9",
      "1.0.0-alpha",
      "1.0.0-alpha.1",
      "1.0.0-alpha.beta",
      "1.0.0-beta",
      "1.0.0-beta.2",
      "1.0.0-beta.11",
      "1.0.0-rc.1",
      "1.0.0",
      "1.0.1",
      "1.2",
      "1.10.0",
      "2.0.0",
      "2026.11.2",
      "2026.11.10",
      "20261121093000123456789",
      "r5",
  };
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j) {
      const int expected = i < j ? -1 : i > j ? 1 : 0;
      EXPECT_EQ(CompareVersions(ascending[i], ascending[j]), expected) << ascending[i] << " against " << ascending[j];
    }
  }
}

TEST(VersionTest, WhatDoesNotCountDoesNotCount) {
  EXPECT_EQ(CompareVersions("v1.2.3", "1.2.3"), 0);
  EXPECT_EQ(CompareVersions("1.2", "1.2.0"), 0);
  EXPECT_EQ(CompareVersions("1.02.3", "1.2.3"), 0);
  EXPECT_EQ(CompareVersions("1.2.3+build.7", "1.2.3"), 0);
}

}  // namespace
}  // namespace tandem
