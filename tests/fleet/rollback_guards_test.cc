// Automatic rollback and its guards, on a fleet in memory: FLEET items 15 to 19.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

using release::v1::CONFIG;
using release::v1::FIRMWARE;
using release::v1::MODEL;
using testing::AnyOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kUnit[] = "u000";
constexpr int64_t kHour = 3600;

v1::RolloutSpec OneRing(const std::string& release) {
  v1::RolloutSpec spec = FleetUnderTest::Spec(release);
  spec.add_rings()->set_name("all");
  spec.mutable_score_age()->set_seconds(120);
  return spec;
}

bool IsOver(const std::string& state) { return state == "aborted" || state == "complete"; }

// All units on a verified r1.
std::string BeginVerified(FleetUnderTest& fleet, int units) {
  fleet.AddUnits(units);
  const std::string r1 = fleet.ImportVerified("r1", "1.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r1));
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  return r1;
}

TEST(AutoRollbackTest, OneOfAThousandFailsAndEveryUnitThatHadItReturns) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 1000);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose(
      "r2", [](const SimulatedUnit& unit) { return unit.unit_id == "u017" ? Diagnosis::kFails : Diagnosis::kPasses; });
  v1::RolloutSpec spec = OneRing(r2);
  // Not all at once, so that there are some that must not get it any more.
  spec.set_units_per_minute(3000);
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.ReleaseOf(r2).verdict == ReleaseVerdict::kFailed; }, 200));
  // From the verdict on nobody is ordered to it.
  const auto had_it = [&] {
    std::set<std::string> units;
    for (const auto& [unit_id, unit] : fleet.units()) {
      for (const auto& [sequence, digests] : unit.orders) {
        if (digests.starts_with(r2.substr(0, 8))) units.insert(unit_id);
      }
    }
    return units;
  };
  const std::set<std::string> before = had_it();
  EXPECT_THAT(before.size(), testing::AllOf(testing::Gt(1), testing::Lt(1000))) << "the rate kept some from it";
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }, 200));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 1000; }, 50));
  EXPECT_EQ(had_it(), before);
  for (const auto& [unit_id, unit] : fleet.units()) {
    const auto retained = fleet.Retained(unit_id);
    EXPECT_EQ(HexEncode(retained->planes(0).release_digest()), r1) << unit_id;
    EXPECT_THAT(unit.orders, SizeIs(before.contains(unit_id) ? 3 : 1)) << unit_id;
    EXPECT_EQ(HexEncode(retained->rollback_of()), before.contains(unit_id) ? r2 : "") << unit_id;
  }
  const size_t ordered_back = before.size();
  EXPECT_THAT(fleet.Audits("unit.release.auto_rolled_back"), SizeIs(ordered_back));
  EXPECT_EQ(fleet.Audits("unit.release.auto_rolled_back")[0].severity, 3);
  EXPECT_TRUE(fleet.ReleaseOf(r2).frozen);
  EXPECT_THAT(fleet.ReleaseOf(r2).frozen_reason, HasSubstr("unit u017 failed its verification"));
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("u017"));
  // The old attempt says what took it back, and what it is back on is verified again.
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.AttemptsOf("u017")[0].state == AttemptState::kVerified; }, 30));
  const auto attempts = fleet.AttemptsOf("u017");
  EXPECT_EQ(attempts[0].kind, AttemptKind::kRollback);
  EXPECT_EQ(attempts[1].rolled_back_by, attempts[0].number);
}

TEST(AutoRollbackTest, AUnitGoesBackToItsOwnPreviousVerifiedRelease) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 2);
  // Only u001 gets it, and verifies it.
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  v1::RolloutSpec spec = OneRing(r2);
  spec.set_target("unit_id == \"u001\"");
  const int64_t second = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(second) == "complete"; }));
  const std::string r3 = fleet.ImportVerified("r3", "3.0.0");
  fleet.Diagnose("r3", Diagnosis::kFails);
  const int64_t third = fleet.Roll(OneRing(r3));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(third) == "aborted"; }));
  fleet.Run(10);
  EXPECT_EQ(fleet.unit("u000").runs.at("FIRMWARE").first, r1);
  EXPECT_EQ(fleet.unit("u001").runs.at("FIRMWARE").first, r2);
}

TEST(AutoRollbackTest, WithoutAVerifiedPredecessorTheLastAppliedOneMustDo) {
  FleetUnderTest fleet;
  fleet.AddUnits(1);
  const std::string r1 = fleet.ImportVerified("r1", "1.0.0");
  fleet.Diagnose("r1", Diagnosis::kHangs);
  const int64_t first = fleet.Roll(OneRing(r1));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(first, 0, "verifying") == 1; }, 30));
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kFails);
  fleet.Diagnose("r1", Diagnosis::kPasses);
  const int64_t second = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(second) == "aborted"; }));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 1; }, 20));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.AttemptsOf(kUnit)[0].state == AttemptState::kVerified; }, 20));
}

TEST(AutoRollbackTest, WithNoPredecessorAtAllTheReleaseIsFrozenAndSomebodyIsTold) {
  FleetUnderTest fleet;
  fleet.AddUnits(1);
  const std::string r1 = fleet.ImportVerified("r1", "1.0.0");
  fleet.Diagnose("r1", Diagnosis::kFails);
  const int64_t rollout = fleet.Roll(OneRing(r1));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  fleet.Run(10);
  EXPECT_EQ(fleet.UnitsAt(r1), 1) << "it keeps what it runs";
  EXPECT_TRUE(fleet.ReleaseOf(r1).frozen);
  EXPECT_THAT(fleet.Audits("unit.release.no_predecessor"), SizeIs(1));
  EXPECT_EQ(fleet.Audits("unit.release.no_predecessor")[0].severity, 3);
}

TEST(AutoRollbackTest, ACompleteRolloutGoesBackTooWhenALateUnitFails) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 10);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  // A unit that joins.
  fleet.Diagnose("r2", Diagnosis::kFails);
  fleet.AddUnits(1);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }, 100));
  fleet.Run(10);
  EXPECT_EQ(fleet.UnitsAt(r1), 10);
}

TEST(AutoRollbackTest, AStatisticalGateDoesNotHoldItBackUnlessTheRolloutSaysSo) {
  for (const bool scored : {false, true}) {
    FleetUnderTest fleet;
    const std::string r1 = BeginVerified(fleet, 60);
    const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
    fleet.Diagnose("r2", [](const SimulatedUnit& unit) {
      return unit.unit_id == "u007" ? Diagnosis::kFails : Diagnosis::kPasses;
    });
    v1::RolloutSpec spec = OneRing(r2);
    spec.mutable_rings(0)->mutable_gate()->mutable_statistical()->set_p0(0.05);
    spec.mutable_rings(0)->mutable_gate()->mutable_statistical()->set_p1(0.5);
    if (scored) spec.set_on_verification_failure(v1::SCORE);
    const int64_t rollout = fleet.Roll(spec);
    ASSERT_TRUE(fleet.RunUntil([&] { return IsOver(fleet.State(rollout)); }, 400));
    fleet.Run(10);
    EXPECT_EQ(fleet.State(rollout), scored ? "complete" : "aborted");
    EXPECT_EQ(fleet.UnitsAt(r1), scored ? 0 : 60);
    EXPECT_EQ(fleet.ReleaseOf(r2).verdict, ReleaseVerdict::kFailed);
  }
}

TEST(AutoRollbackTest, SwitchedOffItPausesAndAnOperatorDecides) {
  FleetUnderTest fleet;
  fleet.verification_options.auto_rollback = false;
  fleet.Restart();
  const std::string r1 = BeginVerified(fleet, 4);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kFails);
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.View(rollout).paused(); }, 100));
  fleet.Run(10);
  EXPECT_EQ(fleet.UnitsAt(r2), 4);
  EXPECT_EQ(fleet.Count(rollout, 0, "verification_failed"), 4) << "states flip all the same";
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("automatic rollback is switched off"));
  ASSERT_TRUE(fleet.Change(rollout, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 4; }, 100));
}

TEST(AutoRollbackTest, AReleaseThatWasTakenBackIsNotRolledOutAgainUntilSomebodyLetsItGo) {
  FleetUnderTest fleet;
  BeginVerified(fleet, 2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kFails);
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  EXPECT_THAT(fleet.TryRoll(OneRing(r2)).status().message(), HasSubstr("is frozen: unit u00"));
}

TEST(AutoRollbackTest, AControllerKilledBetweenVerdictAndFanOutFinishesAfterItsRestartOnce) {
  // Killed at each write after the failing result, before and after its commit.
  for (int kill = 0;; ++kill) {
    FleetUnderTest fleet;
    const std::string r1 = BeginVerified(fleet, 6);
    const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
    fleet.Diagnose("r2", Diagnosis::kFails);
    const int64_t rollout = fleet.Roll(OneRing(r2));
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verifying") == 6; }, 50));
    fleet.faults->DieAt(kill / 2 + 1, kill % 2 == 0 ? FaultPlan::When::kBeforeCommit : FaultPlan::When::kAfterCommit);
    bool died = false;
    for (int i = 0; i < 60; ++i) {
      if (!fleet.Step().ok() || fleet.faults->dead()) {
        died = true;
        fleet.Restart();
      }
      ++fleet.now;
    }
    ASSERT_EQ(fleet.State(rollout), "aborted") << kill;
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 6; }, 50)) << kill;
    EXPECT_THAT(fleet.Audits("unit.release.auto_rolled_back"), SizeIs(6)) << kill;
    EXPECT_THAT(fleet.Audits("release.verification_failed"), SizeIs(1)) << kill;
    EXPECT_EQ(fleet.Guard().streak.size(), 1) << kill;
    for (const auto& [unit_id, unit] : fleet.units()) {
      EXPECT_THAT(unit.orders, SizeIs(3)) << unit_id << " " << kill;
    }
    fleet.faults->Revive();
    if (!died) break;
    ASSERT_LT(kill, 400);
  }
}

// --- the ladder ---

TEST(RollbackLadderLifeTest, ConfigFirstThenModelThenFirmwareUntilItHelps) {
  // What must be back before the unit is well.
  for (const int helps : {1, 2, 3}) {
    FleetUnderTest fleet;
    fleet.AddUnits(1);
    const std::string r1 = fleet.ImportVerified("r1", "1.0.0", {FIRMWARE, MODEL, CONFIG});
    const int64_t first = fleet.Roll(OneRing(r1));
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(first) == "complete"; }));
    const std::string r2 = fleet.ImportVerified("r2", "2.0.0", {FIRMWARE, MODEL, CONFIG}, {CONFIG, MODEL, FIRMWARE});
    const auto back = [&](const SimulatedUnit& unit) {
      int planes = 0;
      for (const auto& [plane, what] : unit.runs) planes += what.first == r1 ? 1 : 0;
      return planes;
    };
    const auto diagnosis = [&](const SimulatedUnit& unit) {
      const int planes = back(unit);
      return planes >= helps ? Diagnosis::kPasses : Diagnosis::kFails;
    };
    fleet.Diagnose("r2", diagnosis);
    fleet.Diagnose("r1", diagnosis);
    const int64_t second = fleet.Roll(OneRing(r2));
    ASSERT_TRUE(fleet.RunUntil(
        [&] {
          const AttemptRow newest = fleet.AttemptsOf(kUnit)[0];
          return IsRollback(newest.kind) && newest.state == AttemptState::kVerified;
        },
        200))
        << helps << fleet.View(second).DebugString();
    EXPECT_EQ(back(fleet.unit(kUnit)), helps);
    EXPECT_EQ(fleet.unit(kUnit).runs.at("CONFIG").first, r1);
    EXPECT_EQ(fleet.unit(kUnit).runs.at("FIRMWARE").first, helps == 3 ? r1 : r2);
    EXPECT_EQ(fleet.AttemptsOf(kUnit)[0].kind, static_cast<AttemptKind>(2 + helps));
    EXPECT_THAT(fleet.Row(kUnit).storm, IsEmpty());
  }
}

TEST(RollbackLadderLifeTest, TheLadderEndsInAStorm) {
  FleetUnderTest fleet;
  fleet.AddUnits(1);
  const std::string r1 = fleet.ImportVerified("r1", "1.0.0", {FIRMWARE, CONFIG});
  const int64_t first = fleet.Roll(OneRing(r1));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(first) == "complete"; }));
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0", {FIRMWARE, CONFIG}, {CONFIG});
  fleet.Diagnose("r1", Diagnosis::kFails);
  fleet.Diagnose("r2", Diagnosis::kFails);
  fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return !fleet.Row(kUnit).storm.empty(); }, 300));
  fleet.Run(100);
  EXPECT_EQ(fleet.AttemptsOf(kUnit)[0].kind, AttemptKind::kRollbackSecond);
  EXPECT_THAT(fleet.unit(kUnit).orders, SizeIs(4)) << "r1, r2, config back, firmware back; and no more";
}

TEST(RollbackLadderLifeTest, OnlyUnitsThatHaveTheReleaseClimb) {
  FleetUnderTest fleet;
  fleet.AddUnits(3);
  const std::string r1 = fleet.ImportVerified("r1", "1.0.0", {FIRMWARE, CONFIG});
  const int64_t first = fleet.Roll(OneRing(r1));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(first) == "complete"; }));
  // One never sees the release, one refuses it.
  fleet.SetOnline("u001", false);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0", {FIRMWARE, CONFIG}, {CONFIG});
  fleet.Behave(
      "r2", [](const SimulatedUnit& unit) { return unit.unit_id == "u002" ? Behaviour::kReverts : Behaviour::kGood; });
  fleet.Diagnose("r2", Diagnosis::kFails);
  v1::RolloutSpec spec = OneRing(r2);
  spec.mutable_rings(0)->mutable_gate()->mutable_any()->set_failure_threshold(3);
  const int64_t second = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(second) == "aborted"; }, 100));
  for (const char* unit : {"u001", "u002"}) {
    const auto retained = fleet.Retained(unit);
    for (const auto& plane : retained->planes()) EXPECT_EQ(HexEncode(plane.release_digest()), r1) << unit;
  }
}

TEST(AutoRollbackTest, ReleasesThatPassedAfterAnotherPlaneWentOnGoBackInTheirOwnPlane) {
  FleetUnderTest fleet;
  fleet.AddUnits(2);
  const std::string r1 = fleet.ImportVerified("r1", "1.0.0", {FIRMWARE, MODEL});
  const int64_t first = fleet.Roll(OneRing(r1));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(first) == "complete"; }));
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0", {FIRMWARE, MODEL});
  const int64_t second = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(second) == "complete"; }));
  const std::string m3 = fleet.ImportVerified("m3", "3.0.0", {MODEL});
  v1::RolloutSpec only_one = OneRing(m3);
  only_one.set_target("unit_id == \"u000\"");
  const int64_t third = fleet.Roll(only_one);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(third) == "complete"; }));
  // A unit that joins finds r2 bad.
  fleet.Diagnose("r2", Diagnosis::kFails);
  v1::RolloutSpec again = OneRing(r2);
  again.set_target("unit_id == \"u100\"");
  fleet.Write([&](StoreTransaction& tx) {
    return fleet.registry->Register(tx, {.attributes = {.unit_id = "u100", .hardware = "gw-2"}}, "test", fleet.now)
        .status();
  });
  fleet.units()["u100"] = {.unit_id = "u100"};
  fleet.SetOnline("u100", true);
  fleet.Roll(again);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.ReleaseOf(r2).verdict == ReleaseVerdict::kFailed; }, 100));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r2, "FIRMWARE") == 1; }, 100))
      << "but for the one with nothing before";
  EXPECT_EQ(fleet.unit("u000").runs.at("FIRMWARE").first, r1);
  EXPECT_EQ(fleet.unit("u000").runs.at("MODEL").first, m3) << "that was not taken back";
  EXPECT_EQ(fleet.unit("u001").runs.at("MODEL").first, r1);
}

// --- the loop guard ---

TEST(LoopGuardTest, AUnitWhoseOldReleaseFailsTooIsLeftAloneUntilAnOperatorSaysOtherwise) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 3);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kFails);
  fleet.Diagnose(
      "r1", [](const SimulatedUnit& unit) { return unit.unit_id == kUnit ? Diagnosis::kFails : Diagnosis::kPasses; });
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return !fleet.Row(kUnit).storm.empty(); }, 200));
  fleet.Run(20);
  EXPECT_EQ(fleet.AttemptsOf(kUnit)[0].state, AttemptState::kVerificationStorm);
  ASSERT_THAT(fleet.Audits("unit.release.verification_storm"), SizeIs(1));
  EXPECT_EQ(fleet.Audits("unit.release.verification_storm")[0].severity, 3);
  EXPECT_EQ(fleet.Counter("storm"), 1);
  EXPECT_EQ(fleet.Row("u001").storm, "");
  EXPECT_EQ(fleet.ReleaseOf(r1).verdict, ReleaseVerdict::kVerified) << "it was not rolled out just now";
  EXPECT_EQ(fleet.State(rollout), "aborted");
  const size_t orders = fleet.unit(kUnit).orders.size();
  // A new release goes around it.
  const std::string r3 = fleet.ImportVerified("r3", "3.0.0");
  const int64_t next = fleet.Roll(OneRing(r3));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(next, 0, "verified") == 2; }, 50));
  fleet.Run(20);
  EXPECT_THAT(fleet.View(next).reason(), HasSubstr("stopped by the loop guard"));
  EXPECT_EQ(fleet.unit(kUnit).orders.size(), orders);
  fleet.Write([&](StoreTransaction& tx) {
    return fleet.unit_operations->Hold(tx, kUnit, false, "its camera was replaced", "test", fleet.now);
  });
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(next, 0, "verified") == 3; }, 50));
  EXPECT_EQ(fleet.Counter("storm"), 0);
  EXPECT_THAT(fleet.Audits("unit.updates_enabled"), SizeIs(1));
}

TEST(LoopGuardTest, ADiagnosticThatIsBrokenForEverStopsAfterTheGuards) {
  FleetUnderTest fleet;
  BeginVerified(fleet, 20);
  for (const char* release : {"r1", "r2"}) fleet.Diagnose(release, Diagnosis::kFails);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Counter("storm") == 20; }, 300));
  const size_t before = fleet.link.published().size();
  fleet.Run(600);
  EXPECT_EQ(fleet.link.published().size(), before) << "nothing is ordered any more";
}

TEST(LoopGuardTest, ARollbackToAReleaseThatWasNeverVerifiedIsVerifiedNow) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kFails);
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  fleet.Run(150);
  // r1 has no diagnostics: back on it is where it ends.
  EXPECT_EQ(fleet.UnitsAt(r1), 2);
  EXPECT_EQ(fleet.AttemptsOf(kUnit)[0].state, AttemptState::kPassed);
  EXPECT_THAT(fleet.Row(kUnit).storm, IsEmpty());
}

TEST(LoopGuardTest, AHeldUnitGetsNoNewReleaseButGoesBack) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  fleet.Write([&](StoreTransaction& tx) {
    return fleet.unit_operations->Hold(tx, kUnit, true, "on a test drive", "test", fleet.now);
  });
  EXPECT_EQ(fleet.Counter("held"), 1);
  const std::string r3 = fleet.ImportVerified("r3", "3.0.0");
  const int64_t next = fleet.Roll(OneRing(r3));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(next, 0, "verified") == 1; }, 50));
  fleet.Run(10);
  EXPECT_THAT(fleet.View(next).reason(), HasSubstr("held back by an operator"));
  fleet.Write([&](StoreTransaction& tx) {
    return fleet.unit_operations->RollBack(tx, kUnit, 0, "customer asks", "test", fleet.now);
  });
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.unit(kUnit).runs.at("FIRMWARE").first == r1; }, 20));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.AttemptsOf(kUnit)[0].state == AttemptState::kVerified; }, 20));
}

TEST(LoopGuardTest, BackToTheLastVerifiedReleaseByOneVerbAndNotTwice) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  const auto back = [&] {
    return fleet.store->Write("test", [&](StoreTransaction& tx) {
      return fleet.unit_operations->RollBack(tx, kUnit, 0, "it rattles", "test", fleet.now);
    });
  };
  ASSERT_TRUE(back().ok());
  EXPECT_THAT(back().message(), HasSubstr("is on its way back already"));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 1; }, 20));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.AttemptsOf(kUnit)[0].state == AttemptState::kVerified; }, 20));
  EXPECT_EQ(HexEncode(fleet.Retained(kUnit)->rollback_of()), r2);
  EXPECT_THAT(back().message(), HasSubstr("ran nothing before release r1"));
  EXPECT_EQ(fleet.ReleaseOf(r2).verdict, ReleaseVerdict::kVerified) << "one unit's way back says nothing of it";
}

// --- the storm guard ---

// Releases one after the other, each failing on its first unit; the rollouts.
std::vector<int64_t> FailInARow(FleetUnderTest& fleet, int releases, int from = 2) {
  std::vector<int64_t> rollouts;
  for (int i = from; i < from + releases; ++i) {
    const std::string id = absl::StrCat("r", i);
    fleet.Diagnose(id, Diagnosis::kFails);
    const std::string digest = fleet.ImportVerified(id, absl::StrCat(i, ".0.0"));
    rollouts.push_back(fleet.Roll(OneRing(digest)));
    EXPECT_TRUE(fleet.RunUntil([&] { return fleet.ReleaseOf(digest).verdict == ReleaseVerdict::kFailed; }, 100));
    fleet.Run(20);
  }
  return rollouts;
}

TEST(StormGuardLifeTest, TheThirdFailureInARowStaysAndOnlyAnOperatorTakesItBack) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 4);
  const auto rollouts = FailInARow(fleet, 2);
  EXPECT_EQ(fleet.UnitsAt(r1), 4);
  EXPECT_EQ(fleet.Guard().streak.size(), 2);
  EXPECT_THAT(fleet.Audits("project.auto_rollback.storm_disabled"), IsEmpty());
  const int64_t third = FailInARow(fleet, 1, 4)[0];
  EXPECT_EQ(fleet.UnitsAt(r1), 0) << "nothing goes back by itself";
  EXPECT_TRUE(fleet.View(third).paused());
  EXPECT_EQ(fleet.Count(third, 0, "verification_failed"), 4) << "verification still runs, and states flip";
  ASSERT_THAT(fleet.Audits("project.auto_rollback.storm_disabled"), SizeIs(1));
  EXPECT_EQ(fleet.Audits("project.auto_rollback.storm_disabled")[0].severity, 3);
  EXPECT_NEAR(fleet.Guard().disabled_until - fleet.now, 24 * kHour, 200);
  EXPECT_THAT(fleet.View(third).reason(), HasSubstr("the storm guard has switched automatic rollback off until"));
  // Nor when the units have the age to be scored.
  fleet.Run(200);
  EXPECT_EQ(fleet.State(third), "rolling");
  EXPECT_EQ(fleet.UnitsAt(r1), 0);
  ASSERT_TRUE(fleet.Change(third, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 4; }, 100));
}

TEST(StormGuardLifeTest, TheTimerSwitchesItOnAgain) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 2);
  const int64_t third = FailInARow(fleet, 3).back();
  ASSERT_TRUE(fleet.Change(third, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 2; }, 100));
  fleet.now += 24 * kHour + 60;
  fleet.Run(40);
  EXPECT_TRUE(MayRollBack(fleet.Guard(), fleet.now));
  EXPECT_THAT(fleet.Audits("project.auto_rollback.enabled"), SizeIs(1));
  FailInARow(fleet, 1, 5);
  EXPECT_EQ(fleet.UnitsAt(r1), 2) << "it went back by itself";
}

TEST(StormGuardLifeTest, AnOperatorSwitchesItOnBefore) {
  FleetUnderTest fleet;
  const std::string r1 = BeginVerified(fleet, 2);
  const int64_t third = FailInARow(fleet, 3).back();
  ASSERT_TRUE(fleet.Change(third, "abort").ok());
  fleet.Write([&](StoreTransaction& tx) {
    return fleet.unit_operations->SetAutoRollback(tx, true, "the test bench was broken", "test", fleet.now);
  });
  fleet.Run(30);
  FailInARow(fleet, 1, 5);
  EXPECT_EQ(fleet.UnitsAt(r1), 2);
  EXPECT_EQ(fleet.Guard().streak.size(), 1);
}

TEST(StormGuardLifeTest, AForwardVerifiedReleaseResetsTheStreakAndARollbackDoesNot) {
  FleetUnderTest fleet;
  BeginVerified(fleet, 2);
  FailInARow(fleet, 2);
  // Both rollbacks were verified.
  EXPECT_EQ(fleet.AttemptsOf(kUnit)[0].state, AttemptState::kVerified);
  EXPECT_EQ(fleet.Guard().streak.size(), 2);
  const std::string good = fleet.ImportVerified("good", "4.0.0");
  const int64_t rollout = fleet.Roll(OneRing(good));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 2; }, 50));
  EXPECT_EQ(fleet.Guard().streak.size(), 2) << "its first units say little";
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }, 200));
  fleet.Run(2);
  EXPECT_THAT(fleet.Guard().streak, IsEmpty());
  FailInARow(fleet, 2, 5);
  EXPECT_EQ(fleet.UnitsAt(good), 2);
}

}  // namespace
}  // namespace tandem::fleet
