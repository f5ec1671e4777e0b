// After COMMIT, on the way back, and without a decision record.
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"
#include "cm/update/machine/unit_update.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/unit_update_driver.h"

namespace tandem::cm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

TEST(UnitUpdate, TheOthersApplyWhenTheOneThatSwitchesABootIsGone) {
  Unit unit = InCommitting();
  unit.Loses("rootfs");
  unit.Sent();
  while (unit.sent.empty() && unit.update.phase == Phase::kCommitting) unit.Passes(absl::Minutes(1));
  EXPECT_THAT(unit.Sent(), testing::UnorderedElementsAre("config:ApplyUpdate", "model:ApplyUpdate"));
  for (const char* node : {"config", "model"}) unit.Reports(node, UmState::kIdle, true);
  EXPECT_EQ(unit.update.phase, Phase::kIdle);
  EXPECT_THAT(unit.update.leftovers, ElementsAre("rootfs"));
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
  unit.Registers("rootfs", UmState::kUpdated);
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:ApplyUpdate"));
}

TEST(UnitUpdate, AfterCommitAUmThatWasStartedInVainPreparesAnew) {
  Unit unit = InCommitting();
  unit.Registers("rootfs", UmState::kFailed, false, "its record was damaged");
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:StartUpdate"));
  unit.Reports("rootfs", UmState::kFailed, false, "no update is prepared");
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:RevertUpdate"));
  unit.Reports("rootfs", UmState::kIdle);
  unit.Passes(absl::Seconds(1));
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:PrepareUpdate"));
  unit.Reports("rootfs", UmState::kPrepared);
  unit.Passes(unit.limits.resend_max);
  EXPECT_THAT(unit.Sent(), ElementsAre("rootfs:StartUpdate"));
  unit.Reports("rootfs", UmState::kUpdated);
  unit.Reports("rootfs", UmState::kIdle, true);
  for (const char* node : {"config", "model"}) unit.Reports(node, UmState::kIdle, true);
  EXPECT_EQ(unit.update.outcome, Outcome::kApplied);
  EXPECT_THAT(unit.update.leftovers, IsEmpty());
}

TEST(UnitUpdate, AfterCommitAUmThatCannotEvenGoBackEndsInCompensation) {
  Unit unit = InCommitting();
  for (int i = 0; i < 200 && unit.update.phase == Phase::kCommitting; ++i) {
    unit.Reports("rootfs", UmState::kFailed, false, "flash is worn out");
    unit.Passes(absl::Seconds(1));
  }
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
}

TEST(UnitUpdate, AfterCommitAUmThatDoesNotSayWhatItRunsIsANamedLeftover) {
  Unit unit = InCommitting();
  unit.DoesNotSayWhatItRuns("model");
  unit.Reports("rootfs", UmState::kIdle, true);
  unit.Reports("config", UmState::kIdle, true);
  unit.Sent();
  unit.Passes(unit.limits.apply);
  EXPECT_EQ(unit.update.phase, Phase::kCommitting);
  EXPECT_THAT(unit.Sent(), IsEmpty()) << "what is unknown is not old";
  EXPECT_THAT(WaitsFor(unit.update, unit.limits), ElementsAre("model to say which version it runs"));
  unit.Passes(absl::Seconds(1));
  EXPECT_EQ(unit.update.outcome, Outcome::kApplied);
  EXPECT_THAT(unit.update.leftovers, ElementsAre("model"));
  EXPECT_EQ(unit.update.reason, "model could not apply: it does not say which version it runs");
}

TEST(UnitUpdate, OnTheWayBackAUmThatDoesNotSayWhatItRunsIsNotTakenForOld) {
  Unit unit = InTrial();
  unit.GateFails("broken");
  unit.Reports("rootfs", UmState::kIdle);
  unit.DoesNotSayWhatItRuns("model");
  unit.Reports("config", UmState::kIdle);
  EXPECT_EQ(unit.update.phase, Phase::kReverting);
  for (int i = 0; i < 11; ++i) unit.Passes(absl::Minutes(1));
  EXPECT_EQ(unit.update.phase, Phase::kNeedsService);
  unit.Reports("model", UmState::kIdle);
  EXPECT_EQ(unit.update.outcome, Outcome::kReverted);
}

TEST(UnitUpdate, ANewAssignmentNeedNotWaitForAUmThatDoesNotSayWhatItRuns) {
  Unit unit = InTrial();
  unit.GateFails("broken");
  for (const char* node : {"rootfs", "model", "config"}) unit.DoesNotSayWhatItRuns(node);
  for (int i = 0; i < 40; ++i) unit.Passes(absl::Minutes(1));
  ASSERT_EQ(unit.update.phase, Phase::kNeedsService);
  unit.Send({.kind = Event::Kind::kNewAssignmentWaits});
  EXPECT_EQ(unit.update.outcome, Outcome::kNeedsService);
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
  EXPECT_THAT(unit.update.reason, HasSubstr("after COMMIT the new version did not come up with 4 further commands"));
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

TEST(UnitUpdate, ALostDecisionRecordWaitsForAUmThatDoesNotSayWhatItRuns) {
  Unit unit({Um("a", 1), Um("b", 2)});
  unit.update.phase = Phase::kRecovering;
  for (Participant& p : unit.update.participants) p.prepares = 1;
  unit.Registers("a", UmState::kUpdated);
  unit.DoesNotSayWhatItRuns("b");
  EXPECT_EQ(unit.update.phase, Phase::kRecovering);
  unit.Reports("b", UmState::kIdle, true);
  EXPECT_EQ(unit.update.decision, Decision::kCommit);
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

}  // namespace
}  // namespace tandem::cm
