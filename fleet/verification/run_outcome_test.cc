#include "fleet/verification/run_outcome.h"

#include <gtest/gtest.h>

#include <vector>

namespace tandem::fleet {
namespace {

using enum RunState;

VerificationOutcome Of(const std::vector<RunState>& runs) { return Decide(runs); }

TEST(RunOutcomeTest, NothingIsDecidedWhileOneIsPending) {
  EXPECT_EQ(Of({kPassed, kPending}), VerificationOutcome::kPending);
  EXPECT_EQ(Of({kFailed, kPending}), VerificationOutcome::kPending);
}

TEST(RunOutcomeTest, AllPassedIsPassed) { EXPECT_EQ(Of({kPassed, kPassed}), VerificationOutcome::kPassed); }

TEST(RunOutcomeTest, EachOtherEndFails) {
  for (const RunState bad : {kFailed, kTimeout, kError}) {
    EXPECT_EQ(Of({kPassed, bad, kPassed}), VerificationOutcome::kFailed) << Name(bad);
  }
}

TEST(RunOutcomeTest, WhatWasSupersededDecidesNothing) {
  EXPECT_EQ(Of({}), VerificationOutcome::kPending);
  EXPECT_EQ(Of({kSuperseded, kSuperseded}), VerificationOutcome::kPending);
}

TEST(RunOutcomeTest, TheDeadlineIsOneAndAHalfTimesTheLongestTimeout) {
  EXPECT_EQ(DeadlineOf(1000, 60), 1090);
  EXPECT_EQ(DeadlineOf(1000, 300), 1450);
  EXPECT_EQ(DeadlineOf(1000, 1), 1002);
}

TEST(RunOutcomeTest, AbsenceExtendsUpToTheGrace) {
  EXPECT_EQ(ExtensionFor(/*away=*/true, 0, 100), kReapSeconds);
  EXPECT_EQ(ExtensionFor(/*away=*/true, 90, 100), 10);
  EXPECT_EQ(ExtensionFor(/*away=*/true, 100, 100), 0);
  EXPECT_EQ(ExtensionFor(/*away=*/true, 0, 0), 0);
  EXPECT_EQ(ExtensionFor(/*away=*/false, 0, 100), 0);
}

TEST(RunOutcomeTest, OutcomesOfUnitsAreReadAndNothingElse) {
  for (const RunState state : {kPassed, kFailed, kTimeout, kError}) EXPECT_EQ(ParseOutcome(Name(state)), state);
  EXPECT_EQ(ParseOutcome("pending"), std::nullopt);
  EXPECT_EQ(ParseOutcome("superseded"), std::nullopt);
  EXPECT_EQ(ParseOutcome("fine"), std::nullopt);
}

}  // namespace
}  // namespace tandem::fleet
