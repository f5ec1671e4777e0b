// Each row of the table of phases by itself: facts in which it is the one that holds, and facts beside them in which
// none does. What the rows do together is in unit_update_test.cc.
#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "cm/update/machine/unit_update.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;

const Limits kLimits;

Participant UmIn(const std::string& node_id, UmState state, bool on_target = false) {
  Participant p{.node_id = node_id, .prepares = 1, .starts = 1};
  p.targets.push_back({.component_id = node_id, .component_type = node_id, .version = "2", .previous_version = "1"});
  p.connected = true;
  p.reported = true;
  p.state = state;
  p.runs = on_target ? Runs::kTarget : Runs::kOther;
  p.tells_running = true;
  p.answered = true;
  return p;
}

// Two UMs in these states, in a phase that has just begun.
UnitUpdate In(Phase phase, Participant first, Participant second) {
  UnitUpdate update;
  update.phase = phase;
  update.participants = {std::move(first), std::move(second)};
  return update;
}

UnitUpdate In(Phase phase, UmState state) { return In(phase, UmIn("a", state), UmIn("b", state)); }

template <typename Change>
UnitUpdate With(UnitUpdate update, Change change) {
  change(update);
  return update;
}

struct Row {
  std::string name;
  UnitUpdate before;
  Phase after;
  Decision decision = Decision::kNone;
  std::string reason = "";
  Outcome outcome = Outcome::kNone;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

std::vector<Row> Rows() {
  using P = Phase;
  using S = UmState;
  constexpr auto kAbort = Decision::kAbort;
  constexpr auto kCommit = Decision::kCommit;
  const auto wanted_gone = [](UnitUpdate& u) { u.abort_reason = "enough"; };
  const auto fails_b = [](UnitUpdate& u) {
    u.participants[1].state = S::kFailed;
    u.participants[1].error = "flash";
  };
  const auto loses_b = [](absl::Duration time) {
    return [time](UnitUpdate& u) {
      u.participants[1].connected = false;
      u.participants[1].missing_for = time;
    };
  };
  const auto off_target = [](UnitUpdate& u) { u.participants[0].runs = Runs::kOther; };
  const auto compensating = [](UnitUpdate& u) { u.compensating = true; };
  const UnitUpdate trial = In(P::kTrial, UmIn("a", S::kUpdated, true), UmIn("b", S::kUpdated, true));
  const UnitUpdate committing = With(In(P::kCommitting, UmIn("a", S::kIdle, true), UmIn("b", S::kUpdated, true)),
                                     [](UnitUpdate& u) { u.decision = Decision::kCommit; });
  const auto aborted = [](UnitUpdate update) {
    return With(std::move(update), [](UnitUpdate& u) {
      u.decision = Decision::kAbort;
      u.reason = "first";
    });
  };
  return {
      {"PreparingWantedGone", With(In(P::kPreparing, UmIn("a", S::kPrepared), UmIn("b", S::kIdle)), wanted_gone),
       P::kReverting, kAbort, "enough"},
      {"PreparingFailed", With(In(P::kPreparing, S::kPrepared), fails_b), P::kReverting, kAbort, "b: flash"},
      {"PreparingTooOften",
       With(In(P::kPreparing, UmIn("a", S::kPrepared), UmIn("b", S::kIdle)),
            [](UnitUpdate& u) {
              for (Participant& p : u.participants) p.prepares = kLimits.tries_per_um;
            }),
       P::kReverting, kAbort, "lost"},
      {"PreparingBudget",
       With(In(P::kPreparing, UmIn("a", S::kPrepared), UmIn("b", S::kIdle)),
            [](UnitUpdate& u) {
              u.participants[1].installing = true;
              u.phase_elapsed = kLimits.prepare + absl::Seconds(1);
            }),
       P::kReverting, kAbort, "took longer"},
      {"PreparingDone", In(P::kPreparing, S::kPrepared), P::kReady},

      {"ReadyWantedGone", With(In(P::kReady, S::kPrepared), wanted_gone), P::kReverting, kAbort, "enough"},
      {"ReadyFailed", With(In(P::kReady, S::kPrepared), fails_b), P::kReverting, kAbort, "b: flash"},
      {"ReadyLost", In(P::kReady, UmIn("a", S::kPrepared), UmIn("b", S::kIdle)), P::kPreparing},
      {"ReadyBudget",
       With(In(P::kReady, S::kPrepared), [](UnitUpdate& u) { u.phase_elapsed = kLimits.ready + absl::Seconds(1); }),
       P::kReverting, kAbort, "took longer"},
      {"ReadyMayStart", With(In(P::kReady, S::kPrepared), [](UnitUpdate& u) { u.ready = true; }), P::kStarting},

      {"StartingWantedGone", With(In(P::kStarting, S::kPrepared), wanted_gone), P::kReverting, kAbort, "enough"},
      {"StartingFailed", With(In(P::kStarting, S::kPrepared), fails_b), P::kReverting, kAbort,
       "start failed at b: flash"},
      {"StartingLeft", In(P::kStarting, UmIn("a", S::kPrepared), UmIn("b", S::kIdle)), P::kReverting, kAbort, "b"},
      {"StartingTooLong",
       With(In(P::kStarting, S::kPrepared),
            [](UnitUpdate& u) { u.participants[0].step_elapsed = kLimits.start + absl::Seconds(1); }),
       P::kReverting, kAbort, "a"},
      {"StartingMissing", With(In(P::kStarting, S::kPrepared), loses_b(kLimits.start + absl::Seconds(1))),
       P::kReverting, kAbort, "no connection from b"},
      {"StartingOffTarget", With(In(P::kStarting, UmIn("a", S::kUpdated, true), UmIn("b", S::kPrepared)), off_target),
       P::kReverting, kAbort, "does not run a 2"},
      {"StartingTooOften",
       With(In(P::kStarting, S::kPrepared), [](UnitUpdate& u) { u.participants[0].starts = kLimits.tries_per_um; }),
       P::kReverting, kAbort, "a"},
      {"StartingTrialTooLong",
       With(In(P::kStarting, S::kPrepared),
            [](UnitUpdate& u) {
              u.trial_running = true;
              u.trial_elapsed = kLimits.trial_deadline + absl::Seconds(1);
            }),
       P::kReverting, kAbort, "trial"},
      {"StartingDone", In(P::kStarting, UmIn("a", S::kUpdated, true), UmIn("b", S::kUpdated, true)), P::kTrial},

      {"TrialWantedGone", With(trial, wanted_gone), P::kReverting, kAbort, "enough"},
      {"TrialGateFailedCompensating", With(With(trial, wanted_gone), compensating), P::kReverting, kAbort, "enough"},
      {"TrialFailed", With(trial, fails_b), P::kReverting, kAbort, "failed at b: flash"},
      {"TrialLeft", With(trial, [](UnitUpdate& u) { u.participants[1].state = S::kIdle; }), P::kReverting, kAbort, "b"},
      {"TrialOffTarget", With(trial, off_target), P::kReverting, kAbort, "does not run a 2"},
      {"TrialMissing", With(trial, loses_b(kLimits.registration + absl::Seconds(1))), P::kReverting, kAbort,
       "no connection from b"},
      {"TrialTooLong", With(trial, [](UnitUpdate& u) { u.trial_elapsed = kLimits.trial_deadline + absl::Seconds(1); }),
       P::kReverting, kAbort, "trial"},
      {"TrialPreparedAgain", With(trial, [](UnitUpdate& u) { u.participants[1].state = S::kPrepared; }), P::kStarting},
      {"TrialMayCommit", With(trial, [](UnitUpdate& u) { u.gate_passed = true; }), P::kCommitting, kCommit},

      {"CommittingDone", With(committing, [](UnitUpdate& u) { u.participants[1].state = S::kIdle; }), P::kIdle, kCommit,
       "", Outcome::kApplied},
      {"CommittingExhausted",
       With(committing,
            [](UnitUpdate& u) {
              u.participants[1].state = S::kFailed;
              u.participants[1].runs = Runs::kOther;
              u.participants[1].forward_attempts = kLimits.forward_attempts;
            }),
       P::kReverting, kAbort, "after COMMIT"},
      {"CommittingLeftovers",
       With(committing,
            [&](UnitUpdate& u) {
              loses_b(kLimits.start + absl::Seconds(1))(u);
              u.participants[1].step_elapsed = kLimits.apply + absl::Seconds(1);
            }),
       P::kIdle, kCommit, "b", Outcome::kApplied},

      {"RevertingDone", aborted(In(P::kReverting, S::kIdle)), P::kIdle, kAbort, "first", Outcome::kReverted},
      {"RevertingCompensated",
       aborted(With(In(P::kReverting, UmIn("a", S::kIdle, true), UmIn("b", S::kIdle, true)), compensating)), P::kIdle,
       kAbort, "first", Outcome::kReverted},
      {"RevertingMustCompensate", aborted(In(P::kReverting, UmIn("a", S::kIdle, true), UmIn("b", S::kIdle))),
       P::kPreparing, Decision::kNone, "first"},
      {"RevertingMixed", aborted(With(In(P::kReverting, UmIn("a", S::kIdle, true), UmIn("b", S::kIdle)), compensating)),
       P::kNeedsService, kAbort, "first"},
      {"RevertingGaveUp",
       aborted(With(In(P::kReverting, UmIn("a", S::kIdle), UmIn("b", S::kFailed)),
                    [](UnitUpdate& u) { u.participants[1].step_elapsed = kLimits.revert + absl::Seconds(1); })),
       P::kNeedsService, kAbort, "first"},

      {"RecoveringCommitted", In(P::kRecovering, UmIn("a", S::kIdle, true), UmIn("b", S::kUpdated, true)),
       P::kCommitting, kCommit},
      {"RecoveringAborted", In(P::kRecovering, UmIn("a", S::kPrepared), UmIn("b", S::kIdle)), P::kReverting, kAbort,
       "record"},
      {"RecoveringBudget",
       With(In(P::kRecovering, UmIn("a", S::kPrepared), UmIn("b", S::kIdle)),
            [](UnitUpdate& u) {
              u.participants[1].reported = false;
              u.participants[1].connected = false;
              u.phase_elapsed = kLimits.registration + absl::Seconds(1);
            }),
       P::kReverting, kAbort, "record"},

      {"NeedsServiceBackAfterAll", aborted(In(P::kNeedsService, S::kIdle)), P::kIdle, kAbort, "first",
       Outcome::kReverted},
      {"NeedsServiceCompensatedAfterAll",
       aborted(With(In(P::kNeedsService, UmIn("a", S::kIdle, true), UmIn("b", S::kIdle, true)), compensating)),
       P::kIdle, kAbort, "first", Outcome::kReverted},
      {"NeedsServiceReplaced",
       aborted(With(In(P::kNeedsService, UmIn("a", S::kIdle, true), UmIn("b", S::kIdle)),
                    [](UnitUpdate& u) { u.new_assignment_waits = true; })),
       P::kIdle, kAbort, "first", Outcome::kNeedsService},
  };
}

class RowTest : public testing::TestWithParam<Row> {};

TEST_P(RowTest, LeadsWhereItsFactsSay) {
  const Row& row = GetParam();
  const Step step = Advance(row.before, Event(), kLimits);
  const UnitUpdate& after = step.update;
  EXPECT_EQ(std::ranges::count(step.actions, Action::Kind::kPhaseChanged, &Action::kind), 1);
  EXPECT_EQ(Name(after.phase), Name(row.after));
  EXPECT_EQ(Name(after.decision), Name(row.decision));
  EXPECT_THAT(after.reason, HasSubstr(row.reason));
  EXPECT_EQ(Name(after.outcome), Name(row.outcome));
}

INSTANTIATE_TEST_SUITE_P(Phases, RowTest, testing::ValuesIn(Rows()), [](const auto& test) { return test.param.name; });

TEST(Rows, EveryPhaseStaysWhenNoneHolds) {
  const UnitUpdate trial = In(Phase::kTrial, UmIn("a", UmState::kUpdated, true), UmIn("b", UmState::kUpdated, true));
  const auto works = [](UnitUpdate& u) {
    for (Participant& p : u.participants) p.installing = true;
  };
  const std::vector<UnitUpdate> resting = {
      With(In(Phase::kPreparing, UmState::kIdle), works),
      In(Phase::kReady, UmState::kPrepared),
      With(In(Phase::kStarting, UmState::kPrepared), works),
      trial,
      // The verdict is awaited.
      With(trial,
           [](UnitUpdate& u) {
             u.gate_passed = true;
             u.verify_before_commit = true;
           }),
      With(In(Phase::kCommitting, UmIn("a", UmState::kUpdated, true), UmIn("b", UmState::kUpdated, true)),
           [](UnitUpdate& u) { u.decision = Decision::kCommit; }),
      With(In(Phase::kReverting, UmState::kFailed), works),
      With(In(Phase::kRecovering, UmState::kPrepared), [](UnitUpdate& u) { u.participants[1].reported = false; }),
      With(In(Phase::kNeedsService, UmState::kFailed), works),
  };
  for (const UnitUpdate& before : resting) {
    EXPECT_EQ(Name(Advance(before, Event(), kLimits).update.phase), Name(before.phase));
  }
}

TEST(Rows, ReadinessIsForgottenWithWhatWasPrepared) {
  UnitUpdate lost = In(Phase::kReady, UmIn("a", UmState::kPrepared), UmIn("b", UmState::kIdle));
  lost.ready = true;
  EXPECT_FALSE(Advance(lost, Event(), kLimits).update.ready);
}

TEST(Rows, TheTrialClockRunsFromTheGateOnWhereNothingBoots) {
  const UnitUpdate done = In(Phase::kStarting, UmIn("a", UmState::kUpdated, true), UmIn("b", UmState::kUpdated, true));
  EXPECT_TRUE(Advance(done, Event(), kLimits).update.trial_running);
}

// --- commands ---

std::vector<std::string> SentIn(const UnitUpdate& update) {
  std::vector<std::string> sent;
  for (const Action& action : Advance(update, Event(), kLimits).actions) {
    if (action.kind == Action::Kind::kSend) sent.push_back(action.node_id + ":" + std::string(Name(action.command)));
  }
  return sent;
}

TEST(Rows, LeftoversOfAnOlderUpdateAreRevertedFirst) {
  for (const UmState state : {UmState::kPrepared, UmState::kUpdated, UmState::kFailed}) {
    UnitUpdate update = In(Phase::kPreparing, UmIn("a", UmState::kPrepared), UmIn("b", state));
    update.participants[1].prepares = 0;
    EXPECT_THAT(SentIn(update), testing::ElementsAre("b:RevertUpdate")) << Name(state);
  }
}

TEST(Rows, ALeftoverOnWhatTheUnitIsCommittedToAppliesFirst) {
  for (const Phase phase : {Phase::kPreparing, Phase::kReverting, Phase::kNeedsService}) {
    UnitUpdate update = In(phase, UmIn("a", UmState::kPrepared), UmIn("b", UmState::kUpdated));
    update.participants[0].installing = true;
    Participant& late = update.participants[1];
    late.runs_committed = true;
    late.prepares = 0;
    EXPECT_THAT(SentIn(update), testing::ElementsAre("b:ApplyUpdate")) << Name(phase);
    late.step_elapsed = kLimits.apply + absl::Seconds(1);
    EXPECT_THAT(SentIn(update), testing::ElementsAre(phase == Phase::kPreparing ? "b:RevertUpdate" : "b:ApplyUpdate"))
        << Name(phase) << ": the way forward leads over the old version, the way back does not";
    late.prepares = 1;
    EXPECT_THAT(SentIn(update), testing::Not(testing::Contains("b:ApplyUpdate"))) << "it is part of this update";
  }
}

TEST(Rows, TheApplyBudgetOfALeftoverRunsWhileTheOthersPrepare) {
  UnitUpdate update = In(Phase::kPreparing, UmIn("a", UmState::kPrepared), UmIn("b", UmState::kUpdated));
  update.participants[1].runs_committed = true;
  update.participants[1].prepares = 0;
  const Event minute{.kind = Event::Kind::kTick, .elapsed = absl::Minutes(1)};
  update = Advance(update, minute, kLimits).update;
  EXPECT_EQ(update.participants[1].step_elapsed, absl::Minutes(1));
  EXPECT_EQ(update.participants[0].step_elapsed, absl::ZeroDuration());
}

TEST(Rows, WhatAnotherUpdatePreparedOrSwitchedToIsRevertedFirst) {
  for (const UmState state : {UmState::kPrepared, UmState::kUpdated}) {
    UnitUpdate update = In(Phase::kPreparing, UmIn("a", UmState::kPrepared), UmIn("b", state));
    update.participants[1].staged_other = true;
    EXPECT_THAT(SentIn(update), testing::ElementsAre("b:RevertUpdate")) << Name(state);
  }
  EXPECT_THAT(SentIn(In(Phase::kPreparing, UmIn("a", UmState::kPrepared), UmIn("b", UmState::kUpdated))),
              testing::IsEmpty());
}

TEST(Rows, NeedsServiceOffersRevertToEveryUmThatIsNotAtRest) {
  for (const UmState state : {UmState::kPrepared, UmState::kUpdated, UmState::kFailed}) {
    EXPECT_THAT(SentIn(In(Phase::kNeedsService, UmIn("a", state), UmIn("b", UmState::kIdle))),
                testing::ElementsAre("a:RevertUpdate"))
        << Name(state);
  }
}

TEST(Rows, AfterCommitAUmThatFellBackIsStartedAgainWhileAttemptsAreLeft) {
  for (const UmState state : {UmState::kFailed, UmState::kPrepared}) {
    UnitUpdate update = In(Phase::kCommitting, UmIn("a", UmState::kIdle, true), UmIn("b", state));
    update.decision = Decision::kCommit;
    update.ready = true;
    update.participants[1].since_sent = absl::Hours(1);
    EXPECT_THAT(SentIn(update), testing::ElementsAre("b:StartUpdate")) << Name(state);
    update.ready = false;
    EXPECT_THAT(SentIn(update), testing::IsEmpty()) << Name(state);
  }
}

}  // namespace
}  // namespace tandem::cm
