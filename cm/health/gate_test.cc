#include "cm/health/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tandem::cm {
namespace {

using testing::HasSubstr;

class GateTest : public testing::Test {
 protected:
  void Start(std::vector<GateRule> rules, GateMode mode = GateMode::kHealth,
             absl::Duration grace = absl::ZeroDuration()) {
    rules_ = std::move(rules);
    mode_ = mode;
    grace_ = grace;
    state_ = InitialGateState(rules_);
  }
  GateVerdict Step(GateEvent::Kind kind, double seconds, size_t probe = 0, const std::string& detail = "") {
    state_ = StepGate(mode_, rules_, grace_, state_, {kind, absl::Seconds(seconds), probe, detail});
    return state_.verdict;
  }
  GateVerdict Pass(double seconds, size_t probe = 0) { return Step(GateEvent::Kind::kProbePassed, seconds, probe); }
  GateVerdict Fail(double seconds, size_t probe = 0, const std::string& detail = "no answer") {
    return Step(GateEvent::Kind::kProbeFailed, seconds, probe, detail);
  }
  GateVerdict Tick(double seconds) { return Step(GateEvent::Kind::kTick, seconds); }

  std::vector<GateRule> rules_;
  GateMode mode_ = GateMode::kHealth;
  absl::Duration grace_;
  GateState state_;
};

constexpr auto kWait = GateVerdict::kWaiting;
constexpr auto kPass = GateVerdict::kPassed;
constexpr auto kFail = GateVerdict::kFailed;

TEST_F(GateTest, WithoutProbesTheGatePassesWhenTheGraceIsOver) {
  Start({}, GateMode::kHealth, absl::Seconds(10));
  EXPECT_EQ(Tick(9.9), kWait);
  EXPECT_EQ(Tick(10), kPass);
}

TEST_F(GateTest, PassesWhenEveryProbePassed) {
  Start({{.name = "a"}, {.name = "b"}});
  EXPECT_EQ(Pass(1, 0), kWait);
  EXPECT_THAT(state_.reason, HasSubstr("\"b\""));
  EXPECT_EQ(Pass(2, 1), kPass);
}

TEST_F(GateTest, FirstFailureFailsByDefault) {
  Start({{.name = "web"}, {.name = "b"}});
  EXPECT_EQ(Fail(1, 0, "status 500"), kFail);
  EXPECT_EQ(state_.reason, "probe \"web\" failed: status 500");
}

TEST_F(GateTest, ResultsInTheGraceDoNotCount) {
  Start({{.name = "a", .grace = absl::Seconds(5)}}, GateMode::kHealth, absl::Seconds(2));
  EXPECT_EQ(Fail(1), kWait);
  EXPECT_EQ(Fail(4.9), kWait);
  EXPECT_EQ(Pass(4.95), kWait);
  EXPECT_EQ(state_.probes[0].state, ProbeState::kWaiting);
  EXPECT_EQ(state_.probes[0].failures, 0u);
  EXPECT_EQ(Pass(5), kPass);
}

TEST_F(GateTest, TheGatesOwnGraceCountsForEveryProbe) {
  Start({{.name = "a"}}, GateMode::kHealth, absl::Seconds(5));
  EXPECT_EQ(Fail(4), kWait);
  EXPECT_EQ(Fail(5), kFail);
}

TEST_F(GateTest, SuccessesMustComeInARow) {
  Start({{.name = "a", .successes_needed = 3, .failures_allowed = 1}});
  EXPECT_EQ(Pass(1), kWait);
  EXPECT_EQ(Pass(2), kWait);
  EXPECT_EQ(Fail(3), kWait);
  EXPECT_EQ(state_.probes[0].successes, 0u);
  EXPECT_EQ(Pass(4), kWait);
  EXPECT_EQ(Pass(5), kWait);
  EXPECT_EQ(Pass(6), kPass);
}

TEST_F(GateTest, FailuresBeyondTheAllowanceFailAndAreCounted) {
  Start({{.name = "a", .failures_allowed = 2}, {.name = "b"}});
  EXPECT_EQ(Fail(1), kWait);
  EXPECT_EQ(Pass(2), kWait);
  EXPECT_EQ(Fail(3), kWait);
  EXPECT_EQ(Fail(4), kFail);
  EXPECT_THAT(state_.reason, HasSubstr("(3 failures, 2 allowed)"));
}

TEST_F(GateTest, AProbeThatPassedMustStillPassWhileOthersAreAwaited) {
  Start({{.name = "a", .failures_allowed = 1}, {.name = "b"}});
  EXPECT_EQ(Pass(1, 0), kWait);
  EXPECT_EQ(Fail(2, 0), kWait);
  EXPECT_EQ(state_.probes[0].state, ProbeState::kFailing);
  EXPECT_EQ(Pass(3, 1), kWait);
  EXPECT_EQ(Pass(4, 0), kPass);
}

TEST_F(GateTest, AVerdictOfHealthIsFinal) {
  Start({{.name = "a"}});
  EXPECT_EQ(Pass(1), kPass);
  EXPECT_EQ(Fail(2), kPass);
  Start({{.name = "a"}});
  EXPECT_EQ(Fail(1), kFail);
  EXPECT_EQ(Pass(2), kFail);
}

TEST_F(GateTest, PreconditionsNeverFailAndMayStopHolding) {
  Start({{.name = "parked"}, {.name = "battery", .successes_needed = 2}}, GateMode::kPreconditions);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Fail(i, 0, "driving"), kWait);
  EXPECT_EQ(state_.reason, "probes \"parked\" (driving), \"battery\"");
  EXPECT_EQ(Pass(101, 0), kWait);
  EXPECT_EQ(Pass(102, 1), kWait);
  EXPECT_EQ(Pass(103, 1), kPass);
  EXPECT_EQ(Fail(104, 0, "driving"), kWait);
  EXPECT_EQ(Pass(105, 0), kPass);
}

TEST_F(GateTest, TheTableHasOneRowForEachStateAndConditionThatCanMeet) {
  std::set<std::pair<ProbeState, GateCondition>> rows;
  for (const GateTransition& row : GateTable()) {
    EXPECT_TRUE(rows.insert({row.from, row.when}).second);
    EXPECT_NE(row.from, ProbeState::kFailed) << "failed is final";
    EXPECT_NE(GateConditionText(row.when), "unknown");
  }
  for (const ProbeState from :
       {ProbeState::kWaiting, ProbeState::kPassing, ProbeState::kPassed, ProbeState::kFailing}) {
    for (const GateCondition when :
         {GateCondition::kPassedEnough, GateCondition::kFailureForgiven, GateCondition::kFailureFinal}) {
      EXPECT_TRUE(rows.contains({from, when}));
    }
  }
}

}  // namespace
}  // namespace tandem::cm
