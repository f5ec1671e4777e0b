// The two machines of the fleet, over all their states and events.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "fleet/rollout/attempt_machine.h"
#include "fleet/rollout/rollout_machine.h"

namespace tandem::fleet {
namespace {

std::vector<AttemptState> AttemptStates() {
  std::vector<AttemptState> states;
  for (int i = 0; i < kAttemptStates; ++i) states.push_back(static_cast<AttemptState>(i));
  return states;
}

std::vector<AttemptEvent> AttemptEvents() {
  std::vector<AttemptEvent> events;
  for (int i = 0; i <= static_cast<int>(AttemptEvent::kRetry); ++i) events.push_back(static_cast<AttemptEvent>(i));
  return events;
}

TEST(AttemptMachineTest, NoRowIsHiddenByOneAboveIt) {
  std::set<std::pair<AttemptState, AttemptEvent>> seen;
  for (const AttemptRule& rule : AttemptRules()) {
    for (const AttemptState from : rule.from) {
      EXPECT_TRUE(seen.insert({from, rule.event}).second) << Name(from) << " " << Name(rule.event);
    }
  }
}

TEST(AttemptMachineTest, AClockRunsWhileAnOrderIsOpenAndStopsWithTheScore) {
  // From every state that events lead to, with what its clock does on the way.
  std::set<std::pair<AttemptState, bool>> reached = {{AttemptState::kQueued, false}};
  for (size_t before = 0; before != reached.size();) {
    before = reached.size();
    for (const auto& [state, clock] : std::set(reached)) {
      for (const AttemptEvent event : AttemptEvents()) {
        const auto step = Step(state, event);
        if (!step.has_value()) continue;
        const bool runs = step->effects.start_clock || (clock && !step->effects.stop_clock);
        reached.insert({step->to, runs});
      }
    }
  }
  for (const AttemptState state : {AttemptState::kAsked, AttemptState::kUpdating, AttemptState::kProvisional,
                                   AttemptState::kVerifying, AttemptState::kVerifyingTrial, AttemptState::kCleared}) {
    EXPECT_FALSE(reached.contains({state, false})) << Name(state) << " would never be scored";
  }
  EXPECT_FALSE(reached.contains({AttemptState::kQueued, true}));
  EXPECT_FALSE(reached.contains({AttemptState::kPassed, true}));
  EXPECT_FALSE(reached.contains({AttemptState::kVerificationStorm, true}));
}

TEST(AttemptMachineTest, WhatIsOpenEndsAtItsAge) {
  for (const AttemptState state : AttemptStates()) {
    if (!IsOpen(state) || state == AttemptState::kOffline) continue;
    // Their diagnostics end, whatever their age.
    if (IsVerifying(state)) continue;
    const auto step = Step(state, AttemptEvent::kScoreTime);
    ASSERT_TRUE(step.has_value()) << Name(state);
    EXPECT_FALSE(IsOpen(step->to)) << Name(state);
    EXPECT_EQ(step->effects.score, state == AttemptState::kApplied ? AttemptScore::kPass : AttemptScore::kFail);
  }
}

TEST(AttemptMachineTest, NothingPassesThatDidNotApply) {
  for (const AttemptState state : AttemptStates()) {
    for (const AttemptEvent event : AttemptEvents()) {
      const auto step = Step(state, event);
      if (!step.has_value() || step->to != AttemptState::kPassed) continue;
      EXPECT_EQ(state, AttemptState::kApplied) << Name(state) << " " << Name(event);
    }
  }
}

TEST(AttemptMachineTest, NothingIsVerifiedThatDidNotPassItsDiagnosticsAndCommit) {
  // From every state without those two events.
  for (const AttemptEvent without : {AttemptEvent::kDiagnosticsPassed, AttemptEvent::kApplied}) {
    std::set<AttemptState> reached = {AttemptState::kQueued};
    for (size_t before = 0; before != reached.size();) {
      before = reached.size();
      for (const AttemptState state : std::set(reached)) {
        for (const AttemptEvent event : AttemptEvents()) {
          if (event == without) continue;
          if (const auto step = Step(state, event); step.has_value()) reached.insert(step->to);
        }
      }
    }
    EXPECT_FALSE(reached.contains(AttemptState::kVerified)) << Name(without);
  }
}

TEST(AttemptMachineTest, NothingLeavesAVerificationStorm) {
  for (const AttemptEvent event : AttemptEvents()) {
    EXPECT_FALSE(Step(AttemptState::kVerificationStorm, event).has_value()) << Name(event);
  }
}

TEST(AttemptMachineTest, AFailureIsForgottenOnlyByARetry) {
  for (const AttemptState failed : {AttemptState::kFailed, AttemptState::kVerificationFailed}) {
    for (const AttemptEvent event : AttemptEvents()) {
      const auto step = Step(failed, event);
      if (event == AttemptEvent::kRetry) {
        EXPECT_EQ(step->to, AttemptState::kQueued);
      } else if (step.has_value()) {
        EXPECT_EQ(step->to, failed) << Name(event);
      }
    }
  }
}

TEST(AttemptMachineTest, NamesAreReadBack) {
  for (const AttemptState state : AttemptStates()) EXPECT_EQ(ParseAttemptState(Name(state)), state);
  EXPECT_FALSE(ParseAttemptState("nonsense").has_value());
}

std::vector<RolloutCondition> Conditions() {
  std::vector<RolloutCondition> all;
  for (int state = 0; state < kRolloutStates; ++state) {
    for (const bool paused : {false, true}) {
      for (const bool last : {false, true}) all.push_back({static_cast<RolloutState>(state), paused, last});
    }
  }
  return all;
}

TEST(RolloutMachineTest, WhatIsOverStaysOverButForAFailedVerification) {
  for (const RolloutCondition& condition : Conditions()) {
    if (condition.state != RolloutState::kAborted && condition.state != RolloutState::kSuperseded) continue;
    for (int event = 0; event <= static_cast<int>(RolloutEvent::kAbort); ++event) {
      const auto step = Step(condition, static_cast<RolloutEvent>(event));
      // Units may still have what a newer rollout was to replace, or what an abort let them keep.
      const bool goes_back = static_cast<RolloutEvent>(event) == RolloutEvent::kVerificationFailed;
      if (goes_back) {
        EXPECT_EQ(step->to, RolloutState::kAborting);
        continue;
      }
      EXPECT_TRUE(absl::IsFailedPrecondition(step.status())) << Name(condition.state) << event;
    }
  }
}

TEST(RolloutMachineTest, APausedRolloutIsNotPromotedByItsGateButIsAborted) {
  const RolloutCondition paused{.state = RolloutState::kRolling, .paused = true};
  EXPECT_FALSE(Step(paused, RolloutEvent::kGatePromote).ok());
  EXPECT_EQ(Step(paused, RolloutEvent::kGateAbort)->to, RolloutState::kAborting);
}

TEST(RolloutMachineTest, EveryEndOfOrdersCancelsWhatIsQueued) {
  for (const RolloutCondition& condition : Conditions()) {
    for (int event = 0; event <= static_cast<int>(RolloutEvent::kAbort); ++event) {
      const auto step = Step(condition, static_cast<RolloutEvent>(event));
      if (!step.ok() || (step->to != RolloutState::kAborting && step->to != RolloutState::kSuperseded)) continue;
      EXPECT_TRUE(step->effects.cancel_queued) << Name(condition.state) << " " << event;
    }
  }
}

TEST(RolloutMachineTest, TheLastRingsPromotionCompletesAndAnothersBeginsTheNext) {
  EXPECT_EQ(Step({.state = RolloutState::kRolling, .last_ring = true}, RolloutEvent::kGatePromote)->to,
            RolloutState::kComplete);
  const auto next = Step({.state = RolloutState::kRolling, .last_ring = false}, RolloutEvent::kGatePromote);
  EXPECT_EQ(next->to, RolloutState::kFilling);
  EXPECT_TRUE(next->effects.next_ring);
}

TEST(RolloutMachineTest, ARefusedVerbNamesThoseThatAreTaken) {
  const auto refused = Step({.state = RolloutState::kRolling, .paused = true}, RolloutEvent::kPause);
  EXPECT_EQ(refused.status().message(),
            "the rollout is rolling and paused: it takes no pause; it takes resume, promote, retry, abort");
}

TEST(RolloutMachineTest, VerbsAreReadBack) {
  for (const RolloutEvent verb : {RolloutEvent::kPause, RolloutEvent::kResume, RolloutEvent::kPromote,
                                  RolloutEvent::kRetry, RolloutEvent::kAbort}) {
    EXPECT_EQ(ParseVerb(Name(verb)), verb);
  }
  EXPECT_FALSE(ParseVerb("start").has_value());
}

}  // namespace
}  // namespace tandem::fleet
