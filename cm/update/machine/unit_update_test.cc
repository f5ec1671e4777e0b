#include "cm/update/machine/unit_update.h"

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/unit_update_driver.h"

namespace tandem::cm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(UnitUpdate, PreparesInParallelStartsByPriorityAppliesBootOwnersFirst) {
  Unit unit({Um("rootfs", 3, true), Um("model", 2), Um("config", 1)});
  for (const char* node : {"rootfs", "model", "config"}) unit.Registers(node, UmState::kIdle);
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:PrepareUpdate", "model:PrepareUpdate", "config:PrepareUpdate"));
  unit.Reports("rootfs", UmState::kPrepared);
  unit.Reports("model", UmState::kPrepared);
  EXPECT_THAT(unit.Sent(), IsEmpty());
  unit.Reports("config", UmState::kPrepared);
  EXPECT_THAT(unit.Sent(), ElementsAre("config:StartUpdate"));
  unit.Reports("config", UmState::kUpdated);
  EXPECT_THAT(unit.Sent(), ElementsAre("model:StartUpdate"));
  unit.Reports("model", UmState::kUpdated);
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:StartUpdate"));
  unit.Loses("rootfs");
  unit.Registers("rootfs", UmState::kUpdated);
  EXPECT_EQ(unit.update.phase, Phase::kTrial);
  EXPECT_THAT(unit.Sent(), IsEmpty());
  unit.GatePasses();
  EXPECT_EQ(unit.update.decision, Decision::kCommit);
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:ApplyUpdate"));
  unit.Reports("rootfs", UmState::kIdle, true);
  EXPECT_THAT(unit.Sent(), ElementsAre("config:ApplyUpdate", "model:ApplyUpdate"));
  unit.Reports("config", UmState::kIdle, true);
  unit.Reports("model", UmState::kIdle, true);
  EXPECT_EQ(unit.update.phase, Phase::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kApplied);
}

TEST(UnitUpdate, EqualPrioritiesStartBootSwitchersLastThenByNodeId) {
  std::vector<Participant> ums = {Um("z", 5), Um("boot", 5, true), Um("a", 5)};
  SortInStartOrder(ums);
  EXPECT_EQ(ums[0].node_id + ums[1].node_id + ums[2].node_id, "azboot");
}

TEST(UnitUpdate, AosUmsStartHighestPriorityFirst) {
  std::vector<Participant> ums = {Um("low", 1), Um("high", 9)};
  for (Participant& um : ums) um.highest_first = true;
  SortInStartOrder(ums);
  EXPECT_EQ(ums[0].node_id, "high");
}

TEST(UnitUpdate, RevertsInReverseOrderOneAfterTheOther) {
  Unit unit = InTrial();
  unit.GateFails("model-latency: 120 is above 50");
  EXPECT_EQ(unit.update.decision, Decision::kAbort);
  EXPECT_THAT(unit.update.reason, HasSubstr("model-latency"));
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:RevertUpdate"));
  unit.Loses("rootfs");
  unit.Registers("rootfs", UmState::kIdle);
  EXPECT_THAT(unit.Sent(), ElementsAre("model:RevertUpdate"));
  unit.Reports("model", UmState::kIdle);
  EXPECT_THAT(unit.Sent(), ElementsAre("config:RevertUpdate"));
  unit.Reports("config", UmState::kIdle);
  EXPECT_EQ(unit.update.phase, Phase::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
}

TEST(UnitUpdate, AFailedPrepareDropsWhatOthersPreparedAndCancelsWhoStillPrepares) {
  Unit unit({Um("a", 1), Um("b", 2), Um("c", 3)});
  for (const char* node : {"a", "b", "c"}) unit.Registers(node, UmState::kIdle);
  unit.Reports("a", UmState::kPrepared);
  unit.Installing("c", UmState::kIdle);
  unit.Sent();
  unit.Reports("b", UmState::kFailed, false, "no space left");
  EXPECT_EQ(unit.update.reason, "prepare failed at b: no space left");
  EXPECT_THAT(unit.Sent(), ElementsAre("c:RevertUpdate"));
  unit.Reports("c", UmState::kIdle);
  EXPECT_THAT(unit.Sent(), ElementsAre("b:RevertUpdate"));
  unit.Reports("b", UmState::kIdle);
  EXPECT_THAT(unit.Sent(), ElementsAre("a:RevertUpdate"));
  unit.Reports("a", UmState::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
}

TEST(UnitUpdate, ReadyWaitsForPreconditionsAndApprovalAndResume) {
  UnitUpdate first;
  first.needs_approval = true;
  Unit unit({Um("a", 1)}, first);
  unit.Send({.kind = Event::Kind::kReadiness, .text = "standstill: speed is 30"});
  unit.Send({.kind = Event::Kind::kPaused});
  unit.Registers("a", UmState::kIdle);
  unit.Reports("a", UmState::kPrepared);
  unit.Sent();
  EXPECT_EQ(unit.update.phase, Phase::kReady);
  EXPECT_THAT(WaitsFor(unit.update, unit.limits),
              ElementsAre(HasSubstr("resume"), HasSubstr("approv"), "standstill: speed is 30"));
  unit.Send({.kind = Event::Kind::kApproved});
  unit.Send({.kind = Event::Kind::kReadiness, .flag = true});
  EXPECT_EQ(unit.update.phase, Phase::kReady);
  unit.Send({.kind = Event::Kind::kResumed});
  EXPECT_EQ(unit.update.phase, Phase::kStarting);
  EXPECT_THAT(unit.Sent(), ElementsAre("a:StartUpdate"));
}

TEST(UnitUpdate, AUmThatLostWhatItPreparedPreparesAgainABoundedNumberOfTimes) {
  Unit unit({Um("a", 1)}, {});
  unit.update.ready = false;
  unit.Registers("a", UmState::kIdle);
  for (int i = 0; i < 4; ++i) {
    unit.Reports("a", UmState::kPrepared);
    EXPECT_EQ(unit.update.phase, Phase::kReady);
    unit.Loses("a");
    unit.Sent();
    unit.Registers("a", UmState::kIdle);
    EXPECT_EQ(unit.update.phase, Phase::kPreparing) << i;
    EXPECT_THAT(unit.Sent(), IsEmpty()) << "the next try comes after a pause";
    unit.Passes(absl::Minutes(1));
    EXPECT_THAT(unit.Sent(), ElementsAre("a:PrepareUpdate"));
  }
  unit.Loses("a");
  unit.Registers("a", UmState::kIdle);
  unit.Passes(absl::Minutes(1));
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
  EXPECT_THAT(unit.update.reason, HasSubstr("5 times"));
}

TEST(UnitUpdate, AUmThatIsAwayBeforeStartIsWaitedForWithinThePhasesOwnBudget) {
  Unit unit({Um("a", 1), Um("b", 2)});
  for (const char* node : {"a", "b"}) unit.Registers(node, UmState::kIdle);
  unit.Reports("a", UmState::kPrepared);
  unit.Loses("b");
  unit.Passes(absl::Hours(23));
  EXPECT_EQ(unit.update.phase, Phase::kPreparing);
  EXPECT_THAT(WaitsFor(unit.update, unit.limits), ElementsAre("b (not connected) to be PREPARED"));
  unit.Registers("b", UmState::kPrepared);
  EXPECT_EQ(unit.update.phase, Phase::kStarting);

  Unit sleeps({Um("a", 1), Um("b", 2)});
  sleeps.update.ready = false;
  for (const char* node : {"a", "b"}) sleeps.Registers(node, UmState::kIdle);
  for (const char* node : {"a", "b"}) sleeps.Reports(node, UmState::kPrepared);
  sleeps.Loses("b");
  sleeps.Passes(absl::Hours(24 * 6));
  EXPECT_EQ(sleeps.update.phase, Phase::kReady);
  sleeps.Passes(absl::Hours(25));
  EXPECT_EQ(sleeps.update.phase, Phase::kReverting) << "its own budget decides";
}

TEST(UnitUpdate, AUmThatDiesInEveryPrepareIsGivenUpAfterABoundedNumberOfSpacedTries) {
  Unit unit({Um("a", 1)});
  unit.Registers("a", UmState::kIdle);
  int commands = 1;
  for (int second = 0; second < 600 && unit.update.phase == Phase::kPreparing; ++second) {
    unit.Loses("a");
    unit.Sent();
    unit.Registers("a", UmState::kIdle);
    unit.Passes(absl::Seconds(1));
    commands += static_cast<int>(unit.Sent().size());
  }
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
  EXPECT_EQ(commands, 5);
}

TEST(UnitUpdate, ProgressClearsTheCountOfTries) {
  Unit unit({Um("a", 1)});
  unit.Registers("a", UmState::kIdle);
  for (uint64_t tries = 1; tries < 20; ++tries) {
    unit.Send({.kind = Event::Kind::kUmStatus, .node_id = "a", .um_installing = true, .um_bytes_done = tries * 1000});
    unit.Loses("a");
    unit.Registers("a", UmState::kIdle);
    unit.Passes(absl::Minutes(1));
    ASSERT_EQ(unit.update.phase, Phase::kPreparing) << tries;
  }
}

TEST(UnitUpdate, APrepareThatNeverWentOutLeavesNothingToRevert) {
  Unit unit({Um("a", 1), Um("b", 2)});
  unit.cm_fetches = true;
  for (const char* node : {"a", "b"}) unit.Registers(node, UmState::kIdle);
  EXPECT_TRUE(StillWantsPrepare(unit.update, "a"));
  unit.Send({.kind = Event::Kind::kPrepareWentOut, .node_id = "b"});
  unit.Sent();
  unit.Aborts("superseded");
  EXPECT_FALSE(StillWantsPrepare(unit.update, "a")) << "nothing is sent after ABORT but Revert";
  EXPECT_THAT(unit.Sent(), ElementsAre("b:RevertUpdate"));
  unit.Reports("b", UmState::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
}

TEST(UnitUpdate, AUmThatHasPreparedAnotherVersionIsRevertedAndPreparedAnew) {
  Unit unit({Um("a", 1)});
  unit.Registers("a", UmState::kIdle);
  unit.Sent();
  unit.Send({.kind = Event::Kind::kUmStatus, .node_id = "a", .um_state = UmState::kPrepared, .um_staged_other = true});
  EXPECT_EQ(unit.update.phase, Phase::kPreparing);
  EXPECT_THAT(unit.Sent(), ElementsAre("a:RevertUpdate"));
  unit.Reports("a", UmState::kIdle);
  unit.Passes(absl::Minutes(1));
  EXPECT_THAT(unit.Sent(), ElementsAre("a:PrepareUpdate"));
  unit.Reports("a", UmState::kPrepared);
  EXPECT_EQ(unit.update.phase, Phase::kStarting);
}

TEST(UnitUpdate, AUmThatIsUpdatedToAnotherVersionIsNoProgress) {
  Unit unit({Um("a", 1)});
  unit.Registers("a", UmState::kIdle);
  unit.Reports("a", UmState::kPrepared);
  unit.Send({.kind = Event::Kind::kUmStatus, .node_id = "a", .um_state = UmState::kUpdated, .um_staged_other = true});
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
}

TEST(UnitUpdate, EveryStartAsksTheConditionsAgainAndWaitsWithinTheTrialDeadline) {
  Unit unit({Um("a", 1), Um("b", 2)});
  unit.conditions_hold = false;
  for (const char* node : {"a", "b"}) unit.Registers(node, UmState::kIdle);
  for (const char* node : {"a", "b"}) unit.Reports(node, UmState::kPrepared);
  unit.Sent();
  unit.Reports("a", UmState::kUpdated);
  EXPECT_TRUE(WaitsForConditions(unit.update, unit.limits));
  unit.Send({.kind = Event::Kind::kReadiness, .text = "standstill: speed is 30"});
  unit.Passes(absl::Minutes(14));
  EXPECT_EQ(unit.update.phase, Phase::kStarting);
  EXPECT_THAT(unit.Sent(), IsEmpty());
  EXPECT_THAT(WaitsFor(unit.update, unit.limits), ElementsAre("standstill: speed is 30"));
  Unit never = unit;
  unit.Send({.kind = Event::Kind::kReadiness, .flag = true});
  EXPECT_THAT(unit.Sent(), ElementsAre("b:StartUpdate"));
  EXPECT_FALSE(unit.update.ready);
  never.Passes(absl::Minutes(2));
  EXPECT_EQ(never.update.phase, Phase::kReverting);
  EXPECT_THAT(never.update.reason, HasSubstr("standstill: speed is 30"));
}

TEST(UnitUpdate, AUmThatDoesNotComeBackFromItsStartAborts) {
  Unit unit({Um("a", 1), Um("b", 2)});
  for (const char* node : {"a", "b"}) unit.Registers(node, UmState::kIdle);
  for (const char* node : {"a", "b"}) unit.Reports(node, UmState::kPrepared);
  unit.Reports("a", UmState::kUpdated);
  unit.Loses("b");
  unit.Passes(absl::Minutes(10) + absl::Seconds(1));
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
  EXPECT_THAT(unit.update.reason, HasSubstr("b did not come back within 10m"));
}

TEST(UnitUpdate, AUmThatVanishesAfterItsStartWhileOthersWaitAborts) {
  Unit unit({Um("a", 1), Um("b", 2)});
  for (const char* node : {"a", "b"}) unit.Registers(node, UmState::kIdle);
  for (const char* node : {"a", "b"}) unit.Reports(node, UmState::kPrepared);
  unit.Reports("a", UmState::kUpdated);
  // The whole computer goes away, as for a reboot; only b comes back.
  unit.Loses("a");
  unit.Loses("b");
  unit.Registers("b", UmState::kPrepared);
  EXPECT_THAT(WaitsFor(unit.update, unit.limits), ElementsAre("a (not connected) to connect"));
  unit.Passes(unit.limits.start);
  EXPECT_EQ(unit.update.phase, Phase::kStarting);
  unit.Passes(absl::Seconds(1));
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
  EXPECT_EQ(unit.update.reason, "no connection from a for 10m");
}

TEST(UnitUpdate, AUmThatIsUpdatedToAnotherVersionAborts) {
  Unit unit({Um("a", 1)});
  unit.Registers("a", UmState::kIdle);
  unit.Reports("a", UmState::kPrepared);
  unit.Send({.kind = Event::Kind::kUmStatus, .node_id = "a", .um_state = UmState::kUpdated, .um_tells_running = true});
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
  EXPECT_EQ(unit.update.reason, "a says that it is updated, but does not run a 2");
  Unit good({Um("a", 1)});
  good.Registers("a", UmState::kIdle);
  good.Reports("a", UmState::kPrepared);
  good.Send({.kind = Event::Kind::kUmStatus,
             .node_id = "a",
             .um_state = UmState::kUpdated,
             .um_runs = Runs::kTarget,
             .um_tells_running = true});
  EXPECT_EQ(good.update.phase, Phase::kTrial);
}

TEST(UnitUpdate, WhatHeldInReadyIsLookedAtAgainAfterALostPreparation) {
  Unit unit({Um("a", 1)});
  unit.Send({.kind = Event::Kind::kPaused});
  unit.Registers("a", UmState::kIdle);
  unit.Reports("a", UmState::kPrepared);
  ASSERT_EQ(unit.update.phase, Phase::kReady);
  unit.Registers("a", UmState::kIdle);
  ASSERT_EQ(unit.update.phase, Phase::kPreparing);
  unit.Send({.kind = Event::Kind::kResumed});
  unit.Reports("a", UmState::kPrepared);
  EXPECT_EQ(unit.update.phase, Phase::kReady);
  unit.Send({.kind = Event::Kind::kReadiness, .flag = true});
  EXPECT_EQ(unit.update.phase, Phase::kStarting);
}

TEST(UnitUpdate, ReconnectsBeforePrepareWentOutAreNoLostPreparations) {
  Unit unit({Um("a", 1)});
  unit.cm_fetches = true;
  for (int i = 0; i < 20; ++i) {
    unit.Registers("a", UmState::kIdle);
    unit.Passes(absl::Seconds(5));
    unit.Loses("a");
  }
  EXPECT_EQ(unit.update.phase, Phase::kPreparing);
  EXPECT_EQ(unit.update.participants[0].prepares, 1U);
}

TEST(UnitUpdate, NewSourcesGoToAUmThatAlreadyPreparesOnce) {
  Unit unit({Um("a", 1), Um("b", 2)});
  for (const char* node : {"a", "b"}) unit.Registers(node, UmState::kIdle);
  unit.Installing("a", UmState::kIdle);
  unit.Reports("b", UmState::kPrepared);
  unit.Sent();
  unit.Send({.kind = Event::Kind::kSourcesChanged});
  EXPECT_THAT(unit.Sent(), ElementsAre("a:PrepareUpdate"));
  unit.Passes(absl::Seconds(1));
  unit.Installing("a", UmState::kIdle);
  EXPECT_THAT(unit.Sent(), IsEmpty());
  EXPECT_EQ(unit.update.participants[0].prepares, 1U) << "no lost preparation";
}

TEST(UnitUpdate, AVerdictCountsOnlyForWhatRunsOnTrial) {
  UnitUpdate first;
  first.verify_before_commit = true;
  Unit unit({Um("a", 1)}, first);
  unit.Send({.kind = Event::Kind::kVerified});
  unit.Registers("a", UmState::kIdle);
  unit.Send({.kind = Event::Kind::kNotVerified, .text = "too early"});
  unit.Reports("a", UmState::kPrepared);
  unit.Reports("a", UmState::kUpdated);
  unit.GatePasses();
  EXPECT_EQ(unit.update.phase, Phase::kTrial) << "what came before the trial is forgotten";
  // CM restarts, and the gate is repeated; the verdict on what was reported before counts.
  unit.update.gate_passed = false;
  unit.Send({.kind = Event::Kind::kVerified});
  EXPECT_EQ(unit.update.phase, Phase::kTrial);
  unit.GatePasses();
  EXPECT_EQ(unit.update.phase, Phase::kCommitting);
}

TEST(UnitUpdate, AStaleUpdatedUmAtBeginIsRevertedBeforeItIsPrepared) {
  Unit unit({Um("a", 1)});
  unit.Registers("a", UmState::kUpdated);
  EXPECT_THAT(unit.Sent(), ElementsAre("a:RevertUpdate"));
  unit.Reports("a", UmState::kIdle);
  EXPECT_THAT(unit.Sent(), ElementsAre("a:PrepareUpdate"));
}

TEST(UnitUpdate, AfterTheTrialDeadlineItGoesBack) {
  Unit unit = InTrial();
  unit.Passes(absl::Minutes(15) + absl::Seconds(1));
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
  EXPECT_THAT(unit.update.reason, HasSubstr("trial deadline"));
}

TEST(UnitUpdate, TheWatchdogIsLeftAloneOnlyOnceAnUndecidedTrialIsTooLong) {
  const Limits limits;
  Unit unit = InTrial();
  UnitUpdate update = unit.update;
  EXPECT_FALSE(IsPastTrialDeadline(update, limits));
  update.trial_elapsed = limits.trial_deadline;
  EXPECT_TRUE(IsPastTrialDeadline(update, limits));
  update.decision = Decision::kAbort;
  EXPECT_FALSE(IsPastTrialDeadline(update, limits)) << "it goes back by itself";
  update.decision = Decision::kCommit;
  EXPECT_FALSE(IsPastTrialDeadline(update, limits));
  update.decision = Decision::kNone;
  update.trial_running = false;
  EXPECT_FALSE(IsPastTrialDeadline(update, limits)) << "nothing new runs yet";
}

TEST(UnitUpdate, TheTrialClockRunsFromTheBootSwitchOn) {
  Unit unit({Um("boot", 1, true), Um("late", 2)});
  for (const char* node : {"boot", "late"}) unit.Registers(node, UmState::kIdle);
  for (const char* node : {"boot", "late"}) unit.Reports(node, UmState::kPrepared);
  EXPECT_TRUE(unit.update.trial_running);
  unit.Passes(absl::Minutes(8));
  unit.Reports("boot", UmState::kUpdated);
  unit.Passes(absl::Minutes(8));
  EXPECT_THAT(unit.update.reason, HasSubstr("trial deadline"));
}

TEST(UnitUpdate, CommitOnVerifiedWaitsForTheVerdict) {
  Unit unit = InTrial();
  unit.update.verify_before_commit = true;
  unit.GatePasses();
  EXPECT_EQ(unit.update.phase, Phase::kTrial);
  EXPECT_THAT(WaitsFor(unit.update, unit.limits), ElementsAre("the fleet's verdict"));
  unit.Send({.kind = Event::Kind::kVerified});
  EXPECT_EQ(unit.update.phase, Phase::kCommitting);
}

TEST(UnitUpdate, ABadVerdictReverts) {
  Unit unit = InTrial();
  unit.update.verify_before_commit = true;
  unit.GatePasses();
  unit.Send({.kind = Event::Kind::kNotVerified, .text = "inference wrong"});
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
}

TEST(UnitUpdate, EveryPhaseButIdleHasAWayOutAndEveryRowAName) {
  std::map<Phase, int> ways;
  for (const Transition& row : Transitions()) {
    ++ways[row.from];
    EXPECT_FALSE(row.when.empty());
    EXPECT_NE(row.guard, nullptr);
  }
  for (Phase phase : {Phase::kPreparing, Phase::kReady, Phase::kStarting, Phase::kTrial, Phase::kCommitting,
                      Phase::kReverting, Phase::kRecovering, Phase::kNeedsService}) {
    EXPECT_GT(ways[phase], 0) << Name(phase);
  }
  EXPECT_EQ(ways[Phase::kIdle], 0);
}

}  // namespace
}  // namespace tandem::cm
