#include "um/um_state.h"

#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::um {
namespace {

struct Published {
  UmStep from;
  UmInput command;
  // Results on the way.
  std::vector<UmInput> results;
  WireState to;
};

void PrintTo(const Published& p, std::ostream* out) { *out << Name(p.from) << " " << Name(p.command); }

// The transitions published for updatemanager.v2, and the ones that Tandem adds (PREPARED -Revert-> IDLE,
// FAILED -Start->, Apply and Revert that fail).
class UmTableTest : public testing::TestWithParam<Published> {};

TEST_P(UmTableTest, LeadsWhereTheProtocolSays) {
  const Published& p = GetParam();
  auto row = FindUmTransition(p.from, p.command);
  ASSERT_TRUE(row.has_value());
  EXPECT_TRUE(IsWorking(row->to));
  UmStep step = row->to;
  for (UmInput result : p.results) {
    row = FindUmTransition(step, result);
    ASSERT_TRUE(row.has_value()) << Name(step) << " " << Name(result);
    step = row->to;
  }
  EXPECT_FALSE(IsWorking(step));
  EXPECT_EQ(WireStateOf(step), p.to);
}

INSTANTIATE_TEST_SUITE_P(
    Protocol, UmTableTest,
    testing::Values(Published{UmStep::kIdle, UmInput::kPrepareCommand, {UmInput::kJobDone}, WireState::kPrepared},
                    Published{UmStep::kIdle, UmInput::kPrepareCommand, {UmInput::kJobFailed}, WireState::kFailed},
                    Published{UmStep::kPrepared, UmInput::kStartCommand, {UmInput::kJobDone}, WireState::kUpdated},
                    Published{UmStep::kPrepared, UmInput::kStartCommand, {UmInput::kJobFailed}, WireState::kFailed},
                    Published{UmStep::kPrepared,
                              UmInput::kStartCommand,
                              {UmInput::kJobNeedsReboot, UmInput::kRestarted, UmInput::kJobDone},
                              WireState::kUpdated},
                    Published{UmStep::kPrepared,
                              UmInput::kStartCommand,
                              {UmInput::kJobNeedsReboot, UmInput::kRestarted, UmInput::kJobFailed},
                              WireState::kFailed},
                    Published{UmStep::kUpdated, UmInput::kApplyCommand, {UmInput::kJobDone}, WireState::kIdle},
                    Published{UmStep::kUpdated, UmInput::kApplyCommand, {UmInput::kJobFailed}, WireState::kUpdated},
                    Published{UmStep::kUpdated, UmInput::kRevertCommand, {UmInput::kJobDone}, WireState::kIdle},
                    Published{UmStep::kUpdated,
                              UmInput::kRevertCommand,
                              {UmInput::kJobNeedsReboot, UmInput::kRestarted, UmInput::kJobDone},
                              WireState::kIdle},
                    Published{UmStep::kFailed, UmInput::kRevertCommand, {UmInput::kJobDone}, WireState::kIdle},
                    Published{UmStep::kFailed, UmInput::kRevertCommand, {UmInput::kJobFailed}, WireState::kFailed},
                    Published{UmStep::kPrepared, UmInput::kRevertCommand, {UmInput::kJobDone}, WireState::kIdle},
                    Published{UmStep::kFailed, UmInput::kStartCommand, {UmInput::kJobDone}, WireState::kUpdated}));

constexpr UmStep kSteps[] = {UmStep::kIdle,      UmStep::kPreparing, UmStep::kPrepared, UmStep::kStarting,
                             UmStep::kRebooting, UmStep::kUpdated,   UmStep::kChecking, UmStep::kApplying,
                             UmStep::kReverting, UmStep::kFailed,    UmStep::kSealing};

TEST(UmTable, NoRowStandsTwice) {
  std::set<std::pair<UmStep, UmInput>> seen;
  for (const UmTransition& row : UmTransitions()) EXPECT_TRUE(seen.insert({row.from, row.input}).second);
}

TEST(UmTable, EveryStepKnowsWhatARestartMeansAndEveryJobEnds) {
  for (UmStep step : kSteps) {
    EXPECT_TRUE(FindUmTransition(step, UmInput::kRestarted).has_value()) << Name(step);
    if (!IsWorking(step)) continue;
    EXPECT_TRUE(FindUmTransition(step, UmInput::kJobDone).has_value()) << Name(step);
    EXPECT_TRUE(FindUmTransition(step, UmInput::kJobFailed).has_value()) << Name(step);
  }
}

TEST(UmTable, NeverBecomesIdleWhileUncommittedExceptByRevert) {
  for (const UmTransition& row : UmTransitions()) {
    if (row.to != UmStep::kIdle || row.from == UmStep::kIdle || row.from == UmStep::kSealing) continue;
    EXPECT_TRUE((row.from == UmStep::kApplying && row.input == UmInput::kJobDone) ||
                (row.from == UmStep::kReverting && row.input == UmInput::kJobDone) ||
                (row.from == UmStep::kPreparing && row.input == UmInput::kRestarted))
        << Name(row.from);
  }
}

TEST(UmTable, CommandsThatDoNotFitChangeNothing) {
  EXPECT_FALSE(FindUmTransition(UmStep::kIdle, UmInput::kStartCommand).has_value());
  EXPECT_FALSE(FindUmTransition(UmStep::kIdle, UmInput::kApplyCommand).has_value());
  EXPECT_FALSE(FindUmTransition(UmStep::kPrepared, UmInput::kApplyCommand).has_value());
  EXPECT_FALSE(FindUmTransition(UmStep::kFailed, UmInput::kApplyCommand).has_value());
  EXPECT_FALSE(FindUmTransition(UmStep::kUpdated, UmInput::kStartCommand).has_value());
  EXPECT_FALSE(FindUmTransition(UmStep::kApplying, UmInput::kRevertCommand).has_value());
}

TEST(UmTable, APreparedUmTakesAPrepareOfOtherTargets) {
  const auto row = FindUmTransition(UmStep::kPrepared, UmInput::kPrepareCommand);
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(row->to, UmStep::kPreparing);
  EXPECT_EQ(row->job, UmJob::kPrepare);
}

TEST(UmTable, SealsOnlyAtRest) {
  for (UmStep step : kSteps) {
    EXPECT_EQ(FindUmTransition(step, UmInput::kSealCommand).has_value(), step == UmStep::kIdle) << Name(step);
  }
}

TEST(UmTable, StepNamesSurviveTheRecord) {
  for (UmStep step : kSteps) EXPECT_EQ(ParseUmStep(Name(step)), step);
  EXPECT_EQ(ParseUmStep("dancing"), std::nullopt);
}

// What a step does while it is worked on; a restart and a reboot do it again, or ask how it went.
std::vector<UmJob> JobsOf(UmStep step) {
  switch (step) {
    case UmStep::kPreparing:
      return {UmJob::kPrepare};
    case UmStep::kStarting:
      return {UmJob::kStart};
    case UmStep::kRebooting:
      return {UmJob::kReboot, UmJob::kCheck};
    case UmStep::kChecking:
      return {UmJob::kCheck};
    case UmStep::kApplying:
      return {UmJob::kApply};
    case UmStep::kReverting:
      return {UmJob::kRevert, UmJob::kReboot};
    case UmStep::kSealing:
      return {UmJob::kSeal};
    default:
      return {UmJob::kNone};
  }
}

TEST(UmTable, AStepThatIsWorkedOnHasItsJobAndOneAtRestHasNone) {
  for (const UmTransition& row : UmTransitions()) {
    EXPECT_THAT(JobsOf(row.to), testing::Contains(row.job))
        << Name(row.from) << " " << Name(row.input) << " " << Name(row.job);
  }
}

TEST(UmTable, ARebootIsDoneAndThenAskedAbout) {
  for (const UmStep step : {UmStep::kStarting, UmStep::kRebooting, UmStep::kChecking, UmStep::kReverting}) {
    const auto row = FindUmTransition(step, UmInput::kJobNeedsReboot);
    ASSERT_TRUE(row.has_value()) << Name(step);
    EXPECT_EQ(row->job, UmJob::kReboot) << Name(step);
  }
  EXPECT_EQ(FindUmTransition(UmStep::kRebooting, UmInput::kRestarted)->job, UmJob::kCheck);
  EXPECT_EQ(FindUmTransition(UmStep::kReverting, UmInput::kRestarted)->job, UmJob::kRevert);
}

TEST(UmTable, EveryStepKnowsARestartAndEveryJobItsEnd) {
  for (UmStep step : kSteps) {
    EXPECT_TRUE(FindUmTransition(step, UmInput::kRestarted).has_value()) << Name(step);
    if (!IsWorking(step)) continue;
    EXPECT_TRUE(FindUmTransition(step, UmInput::kJobDone).has_value()) << Name(step);
    EXPECT_TRUE(FindUmTransition(step, UmInput::kJobFailed).has_value()) << Name(step);
  }
}

TEST(UmTable, WhatIsPreparedOrSealedGivesWayToCommands) {
  const auto leads = [](UmStep from, UmInput input, UmStep to) {
    const auto row = FindUmTransition(from, input);
    return row.has_value() && row->to == to;
  };
  EXPECT_TRUE(leads(UmStep::kSealing, UmInput::kPrepareCommand, UmStep::kPreparing));
  EXPECT_TRUE(leads(UmStep::kPreparing, UmInput::kPrepareCommand, UmStep::kPreparing));
  EXPECT_TRUE(leads(UmStep::kPreparing, UmInput::kRevertCommand, UmStep::kReverting));
}

}  // namespace
}  // namespace tandem::um
