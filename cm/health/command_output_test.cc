#include "cm/health/command_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tandem::cm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(CommandOutputTest, TakesMeasurementsAndTheLastReason) {
  const CommandOutput output = ParseCommandOutput(
      "starting\nmeasure latency 12.5 ms\nreason first\nmeasure  frames\t30\nreason  7 frames were lost \n");
  ASSERT_THAT(output.measurements, SizeIs(2));
  EXPECT_EQ(output.measurements[0].name, "latency");
  EXPECT_EQ(output.measurements[0].value, 12.5);
  EXPECT_EQ(output.measurements[0].unit, "ms");
  EXPECT_EQ(output.measurements[1].name, "frames");
  EXPECT_EQ(output.measurements[1].unit, "");
  EXPECT_EQ(output.reason, "7 frames were lost");
}

TEST(CommandOutputTest, WhatIsNotInFormIsJustOutput) {
  for (const char* line : {"measure", "measure x", "measure x y", "measure x 1 ms more", "measure x nan",
                           "measure x inf", " measure x 1", "measured x 1", "Measure x 1", "measure x 1e999"}) {
    EXPECT_THAT(ParseCommandOutput(line).measurements, IsEmpty()) << line;
  }
}

TEST(CommandOutputTest, MeasurementsAndNamesAreBounded) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "measure x 1\n";
  EXPECT_THAT(ParseCommandOutput(text).measurements, SizeIs(kMaxMeasurements));
  EXPECT_THAT(ParseCommandOutput("measure " + std::string(1000, 'n') + " 1").measurements[0].name,
              SizeIs(kMaxMeasurementName));
  EXPECT_THAT(ParseCommandOutput("reason " + std::string(100000, 'r')).reason, SizeIs(kMaxReason));
}

TEST(CommandOutputTest, TheLogIsTheRest) {
  EXPECT_EQ(LogExcerpt("one\nmeasure x 1\ntwo\nreason three\n\n"), "one\ntwo");
  std::string text;
  for (int i = 0; i < 10000; ++i) text += "line " + std::to_string(i) + "\n";
  const std::string log = LogExcerpt(text);
  EXPECT_LE(log.size(), kMaxLogExcerpt);
  EXPECT_GT(log.size(), kMaxLogExcerpt - 100);
  EXPECT_THAT(log, testing::StartsWith("line "));
  EXPECT_THAT(log, testing::EndsWith("line 9999"));
}

TEST(CommandOutputTest, GoldenAnswersAreTheSameOrWithinTheTolerance) {
  double worst = 0;
  EXPECT_TRUE(CompareWithGolden("cat 0.91\n", "cat 0.91\n", 0, worst).ok());
  EXPECT_THAT(std::string(CompareWithGolden("cat 0.92\n", "cat 0.91\n", 0, worst).message()), HasSubstr("at byte 7"));
  EXPECT_TRUE(CompareWithGolden("cat  0.92", "cat 0.91\n", 0.02, worst).ok());
  EXPECT_NEAR(worst, 0.01, 1e-9);
  EXPECT_TRUE(CompareWithGolden("[1, 2.001, -3]", "[1.0, 2, -3]", 0.01, worst).ok());
  EXPECT_THAT(std::string(CompareWithGolden("cat 0.95", "cat 0.91", 0.02, worst).message()),
              HasSubstr("value 2 of the answer is 0.95, the golden one 0.91"));
  EXPECT_NEAR(worst, 0.04, 1e-9);
  EXPECT_FALSE(CompareWithGolden("dog 0.91", "cat 0.91", 0.02, worst).ok());
  EXPECT_FALSE(CompareWithGolden("cat 0.91 1", "cat 0.91", 0.02, worst).ok());
  EXPECT_FALSE(CompareWithGolden("nan", "0.91", 0.02, worst).ok());
  EXPECT_FALSE(CompareWithGolden("", "0.91", 0.02, worst).ok());
}

}  // namespace
}  // namespace tandem::cm
