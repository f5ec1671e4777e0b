#include "cm/update/machine/unit_update.h"

#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Participant Um(const std::string& node_id, uint32_t priority, bool switches_boot = false) {
  Participant p{.node_id = node_id, .priority = priority, .switches_boot = switches_boot};
  p.targets.push_back({.component_id = node_id, .component_type = node_id, .version = "2", .previous_version = "1"});
  return p;
}

// Drives the machine as the coordinator does, and remembers what was sent.
class Unit {
 public:
  explicit Unit(std::vector<Participant> participants, UnitUpdate first = {}) {
    first.ready = true;
    update = Begin(first, std::move(participants));
  }

  void Send(Event event) {
    const Step step = Advance(update, event, limits);
    update = step.update;
    for (const Action& action : step.actions) {
      if (action.kind != Action::Kind::kSend) continue;
      sent.push_back(absl::StrCat(action.node_id, ":", std::string(Name(action.command))));
      if (action.command == UmCommand::kPrepare && !cm_fetches) {
        Send({.kind = Event::Kind::kPrepareWentOut, .node_id = action.node_id});
      }
    }
    const bool is_told_by_test = update.phase == Phase::kReady && !update.compensating;
    if (conditions_hold && !is_told_by_test && WaitsForConditions(update, limits)) {
      Send({.kind = Event::Kind::kReadiness, .flag = true});
    }
  }

  void Reports(const std::string& node, UmState state, bool on_target = false, const std::string& error = "") {
    Send(
        {.kind = Event::Kind::kUmStatus, .node_id = node, .um_state = state, .um_on_target = on_target, .text = error});
  }
  void Registers(const std::string& node, UmState state, bool on_target = false, const std::string& error = "") {
    Send({.kind = Event::Kind::kUmStatus,
          .node_id = node,
          .um_state = state,
          .um_registered = true,
          .um_on_target = on_target,
          .text = error});
  }
  void Installing(const std::string& node, UmState state) {
    Send({.kind = Event::Kind::kUmStatus, .node_id = node, .um_state = state, .um_installing = true});
  }
  void Loses(const std::string& node) { Send({.kind = Event::Kind::kUmLost, .node_id = node}); }
  void Passes(absl::Duration time) { Send({.kind = Event::Kind::kTick, .elapsed = time}); }
  void GatePasses() { Send({.kind = Event::Kind::kGatePassed}); }
  void GateFails(const std::string& why) { Send({.kind = Event::Kind::kGateFailed, .text = why}); }
  void Aborts(const std::string& why) { Send({.kind = Event::Kind::kAbort, .text = why}); }

  // What was sent since the last call.
  std::vector<std::string> Sent() { return std::exchange(sent, {}); }

  UnitUpdate update;
  Limits limits;
  std::vector<std::string> sent;
  // Answers as soon as they are asked for; Ready is told by the tests.
  bool conditions_hold = true;
  // PrepareUpdate does not go out by itself.
  bool cm_fetches = false;
};

// Three UMs in Trial, everything UPDATED: config (1), model (2), rootfs (3, switches a boot).
Unit InTrial() {
  Unit unit({Um("rootfs", 3, true), Um("model", 2), Um("config", 1)});
  for (const char* node : {"rootfs", "model", "config"}) unit.Registers(node, UmState::kIdle);
  for (const char* node : {"rootfs", "model", "config"}) unit.Reports(node, UmState::kPrepared);
  for (const char* node : {"config", "model", "rootfs"}) unit.Reports(node, UmState::kUpdated);
  EXPECT_EQ(unit.update.phase, Phase::kTrial);
  unit.Sent();
  return unit;
}

Unit InCommitting() {
  Unit unit = InTrial();
  unit.GatePasses();
  EXPECT_EQ(unit.update.phase, Phase::kCommitting);
  unit.Sent();
  return unit;
}

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
             .um_on_target = true,
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

TEST(UnitUpdate, NothingTurnsBackAfterCommit) {
  Unit unit = InCommitting();
  unit.Aborts("too late");
  unit.GateFails("too late");
  unit.Passes(unit.limits.apply);
  EXPECT_EQ(unit.update.phase, Phase::kCommitting);
  EXPECT_EQ(unit.update.decision, Decision::kCommit);
}

TEST(UnitUpdate, CommittingClosesWithNamedLeftoversWhenAUmIsGoneOrCannotApply) {
  Unit unit = InCommitting();
  unit.Reports("rootfs", UmState::kIdle, true);
  unit.Loses("model");
  unit.Reports("config", UmState::kUpdated, true, "no space left");
  for (int i = 0; i < 11; ++i) {
    EXPECT_EQ(unit.update.phase, Phase::kCommitting) << i;
    unit.Passes(absl::Minutes(1));
  }
  EXPECT_EQ(unit.update.phase, Phase::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kApplied);
  EXPECT_EQ(unit.update.decision, Decision::kCommit);
  EXPECT_THAT(unit.update.leftovers, ElementsAre("config", "model"));
  EXPECT_EQ(unit.update.reason, "config could not apply: no space left; model is away for longer than 5m");
}

TEST(UnitUpdate, AnApplyThatFailedAtAUmThatIsIdleAllTheSameIsTold) {
  Unit unit = InCommitting();
  unit.Reports("rootfs", UmState::kIdle, true);
  unit.Reports("config", UmState::kIdle, true);
  unit.Reports("model", UmState::kIdle, true, "cannot copy");
  EXPECT_EQ(unit.update.outcome, Outcome::kApplied);
  EXPECT_THAT(unit.update.leftovers, IsEmpty());
  EXPECT_EQ(unit.update.reason, "model: apply: cannot copy");
}

TEST(UnitUpdate, NeedsServiceYieldsToANewAssignmentWhenAUmCannotGoBack) {
  Unit unit = InTrial();
  unit.GateFails("broken");
  for (const char* node : {"rootfs", "model"}) unit.Reports(node, UmState::kIdle);
  for (int i = 0; i < 11; ++i) {
    unit.Reports("config", UmState::kFailed, false, "cannot reload");
    unit.Passes(absl::Minutes(1));
  }
  ASSERT_EQ(unit.update.phase, Phase::kNeedsService);
  EXPECT_EQ(unit.update.reason, "health gate failed: broken");
  unit.Send({.kind = Event::Kind::kNewAssignmentWaits});
  unit.Passes(absl::Minutes(1));
  unit.Reports("config", UmState::kFailed, false, "cannot reload");
  EXPECT_EQ(unit.update.phase, Phase::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kNeedsService);
}

TEST(UnitUpdate, WhenNothingTellsWhoTookPartServiceIsNeededUntilANewAssignmentComes) {
  UnitUpdate lost;
  lost.phase = Phase::kNeedsService;
  lost.reason = "both copies of the update record are lost";
  Unit unit({});
  unit.update = lost;
  unit.Passes(absl::Hours(1));
  EXPECT_EQ(unit.update.phase, Phase::kNeedsService);
  unit.Send({.kind = Event::Kind::kNewAssignmentWaits});
  EXPECT_EQ(unit.update.outcome, Outcome::kNeedsService);
}

TEST(UnitUpdate, AnAosUmIsNotSentBackByALowerVersion) {
  Participant aos = Um("aos", 1);
  aos.highest_first = true;
  Unit unit({aos});
  unit.Registers("aos", UmState::kIdle);
  unit.Reports("aos", UmState::kPrepared);
  unit.Reports("aos", UmState::kUpdated);
  unit.GateFails("broken");
  unit.Reports("aos", UmState::kIdle, true, "revert failed");
  EXPECT_EQ(unit.update.phase, Phase::kNeedsService);
  EXPECT_EQ(unit.update.reason, "health gate failed: broken; going back: aos did not come back to the version before");
}

TEST(UnitUpdate, AFailedApplyIsRetriedWithBackoff) {
  Unit unit = InCommitting();
  unit.Reports("rootfs", UmState::kUpdated, false, "boot record busy");
  EXPECT_THAT(unit.Sent(), IsEmpty());
  unit.Passes(absl::Seconds(1));
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:ApplyUpdate"));
  unit.Reports("rootfs", UmState::kUpdated, false, "boot record busy");
  unit.Passes(absl::Seconds(1));
  EXPECT_THAT(unit.Sent(), IsEmpty());
  unit.Passes(absl::Seconds(1));
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:ApplyUpdate"));
}

TEST(UnitUpdate, AfterCommitAUmThatFellBackIsStartedAgainThenApplied) {
  Unit unit = InCommitting();
  unit.Loses("rootfs");
  unit.Registers("rootfs", UmState::kFailed, false, "boot of slot B failed, fell back to A");
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:StartUpdate"));
  unit.Loses("rootfs");
  unit.Registers("rootfs", UmState::kFailed, false, "boot of slot B failed, fell back to A");
  EXPECT_THAT(unit.Sent(), IsEmpty()) << "the next try comes after a pause";
  unit.Passes(absl::Seconds(1));
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:StartUpdate"));
  unit.Loses("rootfs");
  unit.Registers("rootfs", UmState::kUpdated);
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:ApplyUpdate"));
}

TEST(UnitUpdate, AfterCommitArtifactsThatCannotBeHadEndInCompensation) {
  Unit unit = InCommitting();
  // The rootfs UM is found IDLE on its old version: it must be prepared again.
  unit.Registers("rootfs", UmState::kIdle);
  for (int i = 0; i < 10 && unit.update.phase == Phase::kCommitting; ++i) {
    unit.Send({.kind = Event::Kind::kNoArtifacts, .node_id = "rootfs", .text = "404"});
    unit.Passes(absl::Minutes(1));
  }
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
  EXPECT_THAT(unit.update.reason, HasSubstr("after COMMIT the new version did not come up in 3 further tries"));
}

TEST(UnitUpdate, AUmThatAnswersNothingAfterCommitEndsInCompensation) {
  Unit unit = InCommitting();
  unit.Registers("rootfs", UmState::kFailed, false, "fell back to A");
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:StartUpdate"));
  for (int i = 0; i < 300 && unit.update.phase == Phase::kCommitting; ++i) unit.Passes(absl::Seconds(1));
  EXPECT_EQ(unit.update.phase, Phase::kReverting) << "silence is no success";
}

TEST(UnitUpdate, AUmThatWorksForEverAfterCommitEndsInCompensation) {
  Unit unit = InCommitting();
  unit.Registers("rootfs", UmState::kFailed, false, "fell back to A");
  unit.Installing("rootfs", UmState::kPrepared);
  unit.Passes(unit.limits.prepare);
  EXPECT_EQ(unit.update.phase, Phase::kCommitting);
  unit.Passes(unit.limits.start + absl::Seconds(1));
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
}

TEST(UnitUpdate, AUmThatIsGoneForGoodDoesNotKeepANewAssignmentFromStarting) {
  Unit unit = InTrial();
  unit.GateFails("broken");
  unit.Loses("model");
  unit.Reports("rootfs", UmState::kIdle);
  for (int i = 0; i < 60; ++i) unit.Passes(absl::Minutes(1));
  unit.Reports("config", UmState::kIdle);
  ASSERT_EQ(unit.update.phase, Phase::kNeedsService);
  unit.Passes(unit.limits.registration);
  EXPECT_EQ(unit.update.phase, Phase::kNeedsService);
  unit.Send({.kind = Event::Kind::kNewAssignmentWaits});
  EXPECT_EQ(unit.update.phase, Phase::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kNeedsService);
}

TEST(UnitUpdate, BeforeCommitArtifactsThatCannotBeHadAbort) {
  Unit unit({Um("a", 1)});
  unit.Registers("a", UmState::kIdle);
  unit.Send({.kind = Event::Kind::kNoArtifacts, .node_id = "a", .text = "404"});
  EXPECT_EQ(unit.update.reason, "artifacts for a: 404");
  Unit prepared({Um("a", 1), Um("b", 2)});
  for (const char* node : {"a", "b"}) prepared.Registers(node, UmState::kIdle);
  prepared.Reports("a", UmState::kPrepared);
  prepared.Send({.kind = Event::Kind::kNoArtifacts, .node_id = "a", .text = "the stick was pulled out"});
  EXPECT_EQ(prepared.update.phase, Phase::kPreparing) << "it has everything";
}

TEST(UnitUpdate, WhenForwardAttemptsAreSpentACompensatingUpdateBringsAllBack) {
  Unit unit = InCommitting();
  // config has applied already in this story: drive it so.
  unit.Reports("rootfs", UmState::kIdle, true);
  unit.Reports("config", UmState::kIdle, true);
  unit.Sent();
  for (int i = 0; i < 4; ++i) {
    unit.Loses("model");
    unit.Registers("model", UmState::kFailed, false, "engine refuses");
    unit.Passes(absl::Seconds(31));
  }
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
  EXPECT_EQ(unit.update.decision, Decision::kAbort);
  unit.Sent();
  unit.Reports("model", UmState::kIdle, false);
  EXPECT_EQ(unit.update.phase, Phase::kPreparing);
  EXPECT_TRUE(unit.update.compensating);
  EXPECT_THAT(unit.Sent(), ElementsAre("config:PrepareUpdate", "rootfs:PrepareUpdate"));
  EXPECT_EQ(unit.update.participants[0].targets[0].version, "1");
  unit.Reports("config", UmState::kPrepared);
  unit.Reports("rootfs", UmState::kPrepared);
  unit.Reports("config", UmState::kUpdated);
  unit.Reports("rootfs", UmState::kUpdated);
  unit.GatePasses();
  unit.Reports("rootfs", UmState::kIdle, true);
  unit.Reports("config", UmState::kIdle, true);
  EXPECT_EQ(unit.update.phase, Phase::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
}

TEST(UnitUpdate, NobodyAbortsACompensatingUpdate) {
  Unit unit = InCommitting();
  unit.Reports("rootfs", UmState::kIdle, true);
  for (int i = 0; i < 4; ++i) {
    unit.Loses("model");
    unit.Registers("model", UmState::kFailed, false, "engine refuses");
    unit.Passes(absl::Seconds(31));
  }
  unit.Aborts("superseded");
  unit.Reports("model", UmState::kIdle, false);
  unit.Reports("config", UmState::kIdle, false);
  ASSERT_TRUE(unit.update.compensating);
  unit.Aborts("superseded");
  unit.Reports("rootfs", UmState::kPrepared);
  unit.Reports("rootfs", UmState::kUpdated);
  ASSERT_EQ(unit.update.phase, Phase::kTrial);
  unit.GatePasses();
  unit.Reports("rootfs", UmState::kIdle, true);
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
}

TEST(UnitUpdate, WhatCannotBeRevertedNeedsServiceWhileTheRestGoesBack) {
  Unit unit = InTrial();
  unit.Aborts("operator");
  unit.Sent();
  unit.Reports("rootfs", UmState::kFailed, false, "flash is worn out");
  unit.Passes(absl::Minutes(10) + absl::Seconds(1));
  unit.Passes(absl::Seconds(1));
  EXPECT_THAT(unit.Sent(), ::testing::Contains("model:RevertUpdate"));
  unit.Reports("model", UmState::kIdle);
  unit.Reports("config", UmState::kIdle);
  unit.Passes(absl::Seconds(1));
  EXPECT_EQ(unit.update.phase, Phase::kNeedsService);
  unit.Sent();
  unit.Loses("rootfs");
  unit.Registers("rootfs", UmState::kFailed);
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:RevertUpdate"));
  unit.Reports("rootfs", UmState::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
}

TEST(UnitUpdate, ALostDecisionRecordGoesForwardWhenOneUmIsCommitted) {
  Unit unit({Um("a", 1), Um("b", 2)});
  unit.update.phase = Phase::kRecovering;
  for (Participant& p : unit.update.participants) p.prepares = 1;
  unit.Registers("a", UmState::kUpdated);
  EXPECT_THAT(unit.Sent(), IsEmpty());
  unit.Registers("b", UmState::kIdle, true);
  EXPECT_EQ(unit.update.decision, Decision::kCommit);
  EXPECT_THAT(unit.Sent(), ElementsAre("a:ApplyUpdate"));
}

TEST(UnitUpdate, ALostDecisionRecordGoesBackWhenNobodyIsCommitted) {
  Unit unit({Um("a", 1), Um("b", 2)});
  unit.update.phase = Phase::kRecovering;
  for (Participant& p : unit.update.participants) p.prepares = 1;
  unit.Registers("a", UmState::kUpdated);
  unit.Registers("b", UmState::kUpdated);
  EXPECT_EQ(unit.update.decision, Decision::kAbort);
  EXPECT_THAT(unit.Sent(), ElementsAre("b:RevertUpdate"));
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
