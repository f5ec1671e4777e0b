// The life of rollouts on a fleet in memory: real store and controller parts, units that answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "fleet/controller/ring_filler.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

using testing::HasSubstr;

Behaviour Reverts(const SimulatedUnit&) { return Behaviour::kReverts; }

// All units on release r1, by a rollout without rings before the last.
std::string Begin(FleetUnderTest& fleet, int units) {
  fleet.AddUnits(units);
  const std::string release = fleet.Import("r1", "1.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(release);
  spec.add_rings()->set_name("all");
  const int64_t rollout = fleet.Roll(spec);
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; })) << fleet.View(rollout).DebugString();
  EXPECT_EQ(fleet.UnitsAt(release), units);
  return release;
}

TEST(RolloutLifeTest, AGoodReleaseReachesEveryUnitRingByRing) {
  FleetUnderTest fleet;
  Begin(fleet, 60);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  std::set<int> sizes;
  ASSERT_TRUE(fleet.RunUntil([&] {
    sizes.insert(fleet.UnitsAt(r2));
    return fleet.State(rollout) == "complete";
  }));
  // 5 % and 10 % of each region's 30, and all.
  EXPECT_EQ(sizes, (std::set<int>{0, 4, 6, 60}));
  EXPECT_EQ(fleet.Count(rollout, 0, "passed") + fleet.Count(rollout, 1, "passed") + fleet.Count(rollout, 2, "passed"),
            60);
  EXPECT_EQ(fleet.Row("u000").runs[0], 2);
  EXPECT_EQ(fleet.Row("u000").previous[0], 1);
  EXPECT_EQ(fleet.Counter("run/firmware/2"), 60);
}

TEST(RolloutLifeTest, ABadReleaseIsStoppedInTheCanaryAndTakenBack) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 60);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", Reverts);
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  fleet.Run(30);
  EXPECT_EQ(fleet.UnitsAt(r1), 60);
  int ordered = 0;
  for (const auto& [unit_id, unit] : fleet.units()) {
    if (unit.orders.size() > 1) ++ordered;
    // Whoever was ordered to it is ordered back to the release before, in a newer order that names what it takes back.
    const auto retained = fleet.Retained(unit_id);
    ASSERT_TRUE(retained.has_value());
    EXPECT_EQ(HexEncode(retained->planes(0).release_digest()), r1);
    if (unit.orders.size() > 1) {
      EXPECT_EQ(HexEncode(retained->rollback_of()), r2);
    }
  }
  EXPECT_EQ(ordered, 4);
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("canary"));
  EXPECT_EQ(fleet.View(rollout).rings(0).state(), "aborted");
}

TEST(RolloutLifeTest, UnitsThatHadItAlreadyGoBackTooUnlessTheyAreToKeepIt) {
  for (const bool keep : {false, true}) {
    FleetUnderTest fleet;
    const std::string r1 = Begin(fleet, 40);
    const std::string r2 = fleet.Import("r2", "2.0.0");
    const int64_t rollout = fleet.Roll(r2);
    // In the second ring one unit fails.
    fleet.Behave("r2", [&](const SimulatedUnit&) {
      return fleet.View(rollout).ring() == 1 ? Behaviour::kReverts : Behaviour::kGood;
    });
    if (keep) {
      fleet.Write([&](StoreTransaction& tx) {
        return tx.sql.Run("UPDATE rollouts SET on_abort = 1 WHERE number = ?1", {rollout}).status();
      });
    }
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
    fleet.Run(30);
    EXPECT_EQ(fleet.UnitsAt(r2), keep ? 2 : 0);
    EXPECT_EQ(fleet.UnitsAt(r1), keep ? 38 : 40);
  }
}

TEST(RolloutLifeTest, SilenceAtTheScoreAgeIsAFailure) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kSilent; });
  const int64_t rollout = fleet.Roll(r2);
  const int64_t begun = fleet.now;
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  EXPECT_GE(fleet.now - begun, 20);
  EXPECT_THAT(fleet.View(rollout).rings(0).evidence().failed(), testing::Ge(1));
}

TEST(RolloutLifeTest, AUnitThatSaysAppliedAndRunsSomethingElseHasFailed) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kLies; });
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  bool told = false;
  for (const auto& [unit_id, unit] : fleet.units()) {
    for (const AttemptRow& attempt : fleet.AttemptsOf(unit_id)) {
      told = told || attempt.reason.find("says applied, but plane firmware is at release") != std::string::npos;
    }
    EXPECT_EQ(fleet.Row(unit_id).runs[0], 1) << unit_id;
  }
  EXPECT_TRUE(told);
}

TEST(RolloutLifeTest, AUnitThatFallsBackAfterItHadItCountsAgainstTheRelease) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kFallsBackLater; });
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  EXPECT_EQ(fleet.UnitsAt(r2), 0);
}

TEST(RolloutLifeTest, AnAbortReachesAUnitThatIsAway) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  for (auto& [unit_id, unit] : fleet.units()) fleet.SetOnline(unit_id, false);
  const int64_t rollout = fleet.Roll(r2);
  fleet.Run(60);
  // Away is not silent: their clocks have not started, and the gate says what it waits for.
  EXPECT_EQ(fleet.State(rollout), "rolling");
  EXPECT_EQ(fleet.Count(rollout, 0, "offline"), 2);
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("offline"));
  ASSERT_TRUE(fleet.Change(rollout, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  for (auto& [unit_id, unit] : fleet.units()) {
    EXPECT_EQ(HexEncode(fleet.Retained(unit_id)->planes(0).release_digest()), r1);
    fleet.SetOnline(unit_id, true);
  }
  fleet.Run(30);
  for (auto& [unit_id, unit] : fleet.units()) {
    for (const auto& [sequence, digests] : unit.orders) EXPECT_EQ(digests.find(r2.substr(0, 8)), std::string::npos);
  }
}

TEST(RolloutLifeTest, AUnitThatComesBackIsOrderedAndScoredFromThenOn) {
  FleetUnderTest fleet;
  Begin(fleet, 20);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  for (auto& [unit_id, unit] : fleet.units()) fleet.SetOnline(unit_id, false);
  const int64_t rollout = fleet.Roll(r2);
  fleet.Run(100);
  for (auto& [unit_id, unit] : fleet.units()) fleet.SetOnline(unit_id, true);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_EQ(fleet.UnitsAt(r2), 20);
}

TEST(RolloutLifeTest, APausedRolloutGivesNoOrdersAndIsNotPromoted) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r2) == 2; }));
  ASSERT_TRUE(fleet.Change(rollout, "pause").ok());
  fleet.Run(100);
  EXPECT_EQ(fleet.UnitsAt(r2), 2);
  EXPECT_EQ(fleet.View(rollout).ring(), 0);
  ASSERT_TRUE(fleet.Change(rollout, "resume").ok());
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
}

TEST(RolloutLifeTest, AFrozenReleaseIsNeverOrdered) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  fleet.Write([&](StoreTransaction& tx) { return ReleaseTable(tx).SetFrozen(2, true, "recalled"); });
  fleet.Run(50);
  EXPECT_EQ(fleet.UnitsAt(r2), 0);
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("frozen: recalled"));
  EXPECT_TRUE(absl::IsFailedPrecondition(fleet.TryRoll(FleetUnderTest::Spec(r2)).status()));
  fleet.Write([&](StoreTransaction& tx) { return ReleaseTable(tx).SetFrozen(2, false, ""); });
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
}

TEST(RolloutLifeTest, AWithdrawnReleaseIsHeldWithAReason) {
  FleetUnderTest fleet;
  Begin(fleet, 20);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  fleet.Write([&](StoreTransaction& tx) {
    release::v1::ReleaseList list = fleet.maker.ListOf(99, {});
    return fleet.documents->ImportReleaseList(tx, fleet.maker.Seal(list), "test", fleet.now);
  });
  fleet.Restart();
  fleet.Run(10);
  EXPECT_EQ(fleet.UnitsAt(r2), 0);
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("is not in release list 99"));
}

TEST(RolloutLifeTest, AUnitThatJoinsAFinishedRolloutGetsItsRelease) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 10);
  fleet.AddUnits(1);
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 11; }, 50));
}

TEST(RolloutLifeTest, ANewerRolloutTakesThePlaceOfTheOlder) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const std::string r3 = fleet.Import("r3", "3.0.0");
  const int64_t older = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r2) == 2; }));
  const int64_t newer = fleet.Roll(r3);
  EXPECT_EQ(fleet.State(older), "superseded");
  EXPECT_EQ(fleet.View(older).superseded_by(), static_cast<uint64_t>(newer));
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.State(newer) == "complete"; }));
  EXPECT_EQ(fleet.UnitsAt(r3), 40);
}

TEST(RolloutLifeTest, WhoJoinsGetsTheNewestReleaseThatWasNotTakenBack) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 20);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", Reverts);
  const int64_t bad = fleet.Roll(r2);
  EXPECT_EQ(fleet.State(1), "complete");
  EXPECT_EQ(fleet.View(1).superseded_by(), static_cast<uint64_t>(bad));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(bad) == "aborted"; }));
  EXPECT_EQ(fleet.View(1).superseded_by(), 0);
  fleet.AddUnits(1);
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 21; }, 50));
}

TEST(RolloutLifeTest, WhatIsOnlyToldIsNoConflictForAnOperator) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "rolling"; }));
  const uint64_t revision = fleet.View(rollout).revision();
  const std::string reason = fleet.View(rollout).reason();
  fleet.Run(5);
  EXPECT_NE(fleet.View(rollout).reason(), reason);
  EXPECT_EQ(fleet.View(rollout).revision(), revision);
}

TEST(RolloutLifeTest, RolloutsOfOtherTargetsOrPlanesGoOnBesideEachOther) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 20);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const std::string r3 = fleet.Import("r3", "3.0.0");
  const std::string c1 = fleet.Import("c1", "1.0.0", release::v1::CONFIG);
  v1::RolloutSpec europe = FleetUnderTest::Spec(r2);
  europe.set_target("region == \"eu\"");
  v1::RolloutSpec america = FleetUnderTest::Spec(r3);
  america.set_target("region == \"us\"");
  const int64_t one = fleet.Roll(europe);
  const int64_t other = fleet.Roll(america);
  const int64_t config = fleet.Roll(c1);
  ASSERT_TRUE(fleet.RunUntil([&] {
    return fleet.State(one) == "complete" && fleet.State(other) == "complete" && fleet.State(config) == "complete";
  }));
  EXPECT_EQ(fleet.UnitsAt(r2), 10);
  EXPECT_EQ(fleet.UnitsAt(r3), 10);
  EXPECT_EQ(fleet.UnitsAt(c1, "CONFIG"), 20);
  // A plane goes back on its own.
  ASSERT_TRUE(fleet.Change(config, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(config) == "aborted"; }));
  EXPECT_EQ(fleet.Retained("u000")->planes_size(), 1);
  EXPECT_EQ(HexEncode(fleet.Retained("u000")->planes(0).release_digest()), r2);
}

TEST(RolloutLifeTest, WhatFailedIsTriedAgainByAHigherAttempt) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  bool broken = true;
  fleet.Behave("r2", [&](const SimulatedUnit& unit) {
    return broken && unit.unit_id == "u003" ? Behaviour::kReverts : Behaviour::kGood;
  });
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.add_rings()->mutable_gate()->mutable_any()->set_failure_threshold(3);
  const int64_t rollout = fleet.Roll(spec);
  fleet.Run(60);
  EXPECT_EQ(fleet.State(rollout), "rolling");
  EXPECT_EQ(fleet.Count(rollout, 0, "failed"), 1);
  const uint32_t attempt = fleet.unit("u003").attempt;
  broken = false;
  EXPECT_TRUE(absl::IsFailedPrecondition(fleet.Change(rollout, "retry", "u004")));
  ASSERT_TRUE(fleet.Change(rollout, "retry", "u003").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_GT(fleet.unit("u003").attempt, attempt);
  EXPECT_EQ(fleet.UnitsAt(r2), 10);
}

// A gate may promote before all of a ring have had their turn.
TEST(RolloutLifeTest, UnitsStillQueuedWhenTheirRingIsPromotedGetTheirTurn) {
  for (const bool by_hand : {false, true}) {
    FleetUnderTest fleet;
    Begin(fleet, 40);
    const std::string r2 = fleet.Import("r2", "2.0.0");
    v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
    spec.set_units_per_minute(15);
    v1::RingSpec* half = spec.add_rings();
    half->set_name("half");
    half->set_percent(50);
    if (!by_hand) half->mutable_gate()->mutable_any()->set_success_percent(10);
    spec.add_rings()->set_name("full");
    const int64_t rollout = fleet.Roll(spec);
    if (by_hand) {
      ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "passed") > 0; }));
      ASSERT_TRUE(fleet.Change(rollout, "promote").ok());
    }
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
    EXPECT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r2) == 40; }, 400))
        << fleet.UnitsAt(r2) << " of 40; " << fleet.View(rollout).DebugString();
  }
}

TEST(RolloutLifeTest, AFleetWithNothingToDoWritesNothing) {
  FleetUnderTest fleet;
  Begin(fleet, 5);
  fleet.Run(30);
  const uint64_t writes = fleet.store->writes();
  fleet.Run(10);
  EXPECT_EQ(fleet.store->writes(), writes);
}

TEST(RolloutLifeTest, AUnitOfAnEarlierRingCanBeTriedAgain) {
  FleetUnderTest fleet;
  Begin(fleet, 20);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  bool broken = true;
  fleet.Behave("r2", [&](const SimulatedUnit& unit) {
    return broken && unit.unit_id == "u003" ? Behaviour::kReverts : Behaviour::kGood;
  });
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  v1::RingSpec* most = spec.add_rings();
  most->set_name("most");
  most->set_target("unit_id != \"u000\"");
  most->mutable_gate()->mutable_any()->set_failure_threshold(3);
  most->mutable_gate()->mutable_any()->set_success_percent(50);
  spec.add_rings()->set_name("full");
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_EQ(fleet.UnitsAt(r2), 19);
  broken = false;
  ASSERT_TRUE(fleet.Change(rollout, "retry", "u003").ok());
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r2) == 20; }, 100)) << fleet.View(rollout).DebugString();
}

TEST(RolloutLifeTest, AnAbortFindsUnitsWhoseAttemptAnotherPlaneEnded) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 4);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const std::string c1 = fleet.Import("c1", "1.0.0", release::v1::CONFIG);
  v1::RolloutSpec firmware = FleetUnderTest::Spec(r2);
  firmware.add_rings()->set_name("all");
  const int64_t first = fleet.Roll(firmware);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(first) == "complete"; }));
  // The other plane is on its way when this one goes back.
  fleet.Behave("c1", [](const SimulatedUnit&) { return Behaviour::kSilent; });
  v1::RolloutSpec config = FleetUnderTest::Spec(c1);
  config.add_rings()->set_name("all");
  const int64_t second = fleet.Roll(config);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(second, 0, "asked") == 4; }, 20));
  ASSERT_TRUE(fleet.Change(first, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(first) == "aborted"; }, 50));
  ASSERT_TRUE(fleet.Change(second, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(second) == "aborted"; }, 50));
  for (const auto& [unit_id, unit] : fleet.units()) {
    const auto retained = fleet.Retained(unit_id);
    ASSERT_TRUE(retained.has_value());
    ASSERT_EQ(retained->planes_size(), 1) << unit_id << " is still ordered to what was taken back";
    EXPECT_EQ(HexEncode(retained->planes(0).release_digest()), r1);
  }
}

TEST(RolloutLifeTest, AUnitThatNamesAnImpossibleSequenceHoldsNobodyElse) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 10);
  for (const uint64_t sequence : {uint64_t{1} << 60, uint64_t{INT64_MAX}}) {
    SimulatedUnit& liar = fleet.unit("u003");
    unit::v1::Reported reported;
    reported.set_sequence(sequence);
    reported.set_phase("Idle");
    ReportIntake intake(*fleet.documents, *fleet.registry, {});
    fleet.Write([&](StoreTransaction& tx) {
      ReportReplies replies;
      return intake.Take(tx, FakeUnitLink::Message("u003", liar.epoch, ++liar.seq, reported), fleet.now, replies);
    });
  }
  const std::string r2 = fleet.Import("r2", "2.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.add_rings()->mutable_gate()->mutable_any()->set_failure_threshold(3);
  fleet.Roll(spec);
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r2) >= 9; }, 100)) << fleet.UnitsAt(r2);
  const auto retained = fleet.Retained("u003");
  ASSERT_TRUE(retained.has_value());
  EXPECT_LT(retained->sequence(), uint64_t{1} << 53);
}

TEST(RolloutLifeTest, StopsLimitsAndRatesHoldOrdersBackAndSayWhy) {
  FleetUnderTest fleet;
  Begin(fleet, 20);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Write([&](StoreTransaction& tx) {
    return StopTable(tx).Add({.target = "region == \"us\"", .reason = "trade fair", .actor = "test"}).status();
  });
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.add_rings()->set_name("all");
  spec.set_max_in_flight(3);
  spec.set_units_per_minute(60);
  const int64_t rollout = fleet.Roll(spec);
  uint64_t most = 0;
  fleet.RunUntil(
      [&] {
        most = std::max(most, fleet.Count(rollout, 0, "asked") + fleet.Count(rollout, 0, "updating"));
        return fleet.UnitsAt(r2) == 10;
      },
      400);
  EXPECT_LE(most, 3);
  EXPECT_EQ(fleet.UnitsAt(r2), 10);
  fleet.Run(30);
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("10 units held by stop 1"));
  fleet.Write([&](StoreTransaction& tx) { return StopTable(tx).Lift(1).status(); });
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
}

TEST(RolloutLifeTest, CanariesRehearseTheWayBackBeforeTheyArePromoted) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  v1::RingSpec* canary = spec.add_rings();
  canary->set_name("canary");
  canary->set_percent(10);
  canary->mutable_gate()->set_rehearse_rollback(2);
  spec.add_rings()->set_name("full");
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; })) << fleet.View(rollout).DebugString();
  int rehearsed = 0;
  for (const auto& [unit_id, unit] : fleet.units()) {
    // r1, r2, back to r1, and r2 again.
    if (unit.orders.size() == 4) {
      ++rehearsed;
      EXPECT_EQ(unit.orders[2].second, unit.orders[0].second);
    }
  }
  EXPECT_EQ(rehearsed, 2);
  EXPECT_EQ(fleet.UnitsAt(r2), 40);
}

TEST(RolloutLifeTest, AReleaseThatCannotGoBackIsNotPromoted) {
  FleetUnderTest fleet;
  Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  v1::RingSpec* canary = spec.add_rings();
  canary->set_percent(10);
  canary->mutable_gate()->set_rehearse_rollback(1);
  spec.add_rings();
  const int64_t rollout = fleet.Roll(spec);
  fleet.Behave("r1", [](const SimulatedUnit&) { return Behaviour::kSilent; });
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("rehears"));
}

TEST(RolloutLifeTest, AProvisionalUnitGetsItsVerdictAndCommits) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kProvisional; });
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.set_commit_on(release::v1::VERIFIED);
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_EQ(fleet.Retained("u000")->commit_on(), release::v1::VERIFIED);
}

TEST(RolloutLifeTest, AnAssignmentIsSignedAnewBeforeItExpiresAndStartsNothing) {
  FleetUnderTest fleet;
  Begin(fleet, 5);
  const release::v1::Assignment before = *fleet.Retained("u000");
  const size_t orders = fleet.unit("u000").orders.size();
  fleet.now += 5 * 24 * 3600;
  fleet.Write([&](StoreTransaction& tx) -> absl::Status {
    EXPECT_EQ(*fleet.orders->RefreshExpiring(tx, fleet.now, 100), 5);
    EXPECT_EQ(*fleet.orders->RefreshExpiring(tx, fleet.now, 100), 0);
    return absl::OkStatus();
  });
  fleet.Run(5);
  const release::v1::Assignment after = *fleet.Retained("u000");
  EXPECT_GT(after.sequence(), before.sequence());
  EXPECT_EQ(after.attempt(), before.attempt());
  EXPECT_GT(after.expires().seconds(), before.expires().seconds());
  EXPECT_EQ(fleet.unit("u000").orders.size(), orders);
}

TEST(RolloutLifeTest, ACanaryThatFailsAfterItsPromotionStillAborts) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.View(rollout).ring() == 1; }));
  for (auto& [unit_id, unit] : fleet.units()) {
    if (unit.orders.size() == 2) unit.falls_back_at = fleet.now + 1;
  }
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("ring canary, promoted before, has"));
  fleet.Run(20);
  EXPECT_EQ(fleet.UnitsAt(r1), 40);
}

TEST(RolloutLifeTest, AUnitThatIsRegisteredWhileTheLastRingIsFilledIsAMember) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.add_rings();
  const int64_t rollout = fleet.Roll(spec);
  const int64_t last = fleet.Row("u009").number;
  fleet.AddUnits(1);
  fleet.Write([&](StoreTransaction& tx) -> absl::Status {
    // The fleet was read before the eleventh came.
    ASSIGN_OR_RETURN(const RolloutRow row, RolloutTable(tx).Get(rollout));
    ASSIGN_OR_RETURN(const v1::RolloutSpec stored, ReadSpec(row));
    EXPECT_EQ(*JoinNewcomers(tx, row, stored, last, fleet.now), 1);
    EXPECT_EQ(*JoinNewcomers(tx, row, stored, last, fleet.now), 0);
    return absl::OkStatus();
  });
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_EQ(fleet.UnitsAt(r2), 11);
}

TEST(RolloutLifeTest, AReinstatedUnitGetsWhatTheOthersHave) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 5);
  const auto revoke = [&](bool revoked) {
    fleet.Write([&](StoreTransaction& tx) {
      return fleet.registry->SetRevoked(tx, "u001", revoked, "test", "test", fleet.now);
    });
  };
  fleet.SetOnline("u002", false);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.add_rings();
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(
      fleet.RunUntil([&] { return fleet.Count(rollout, 0, "asked") + fleet.Count(rollout, 0, "updating") > 0; }));
  revoke(true);
  fleet.Run(5);
  EXPECT_FALSE(fleet.Retained("u001").has_value());
  revoke(false);
  fleet.SetOnline("u001", true);
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.Retained("u001").has_value(); }, 20));
  EXPECT_EQ(HexEncode(fleet.Retained("u001")->planes(0).release_digest()), r2);
}

TEST(RolloutLifeTest, AUnitThatWentWithoutAGoodbyeIsAwayAndNotSilent) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Write([&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.sql.Run("UPDATE units SET stale = 1 WHERE unit_id = 'u003'", {}).status());
    tx.Count("stale", 1);
    return absl::OkStatus();
  });
  fleet.Behave(
      "r2", [](const SimulatedUnit& unit) { return unit.unit_id == "u003" ? Behaviour::kSilent : Behaviour::kGood; });
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.add_rings();
  const int64_t rollout = fleet.Roll(spec);
  fleet.Run(60);
  EXPECT_EQ(fleet.State(rollout), "rolling");
  EXPECT_EQ(fleet.Count(rollout, 0, "offline"), 1);
  EXPECT_EQ(fleet.Count(rollout, 0, "failed"), 0);
}

TEST(RolloutLifeTest, NobodyIsOrderedBackToAFrozenRelease) {
  FleetUnderTest fleet;
  const std::string r1 = Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.add_rings();
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  fleet.Write([&](StoreTransaction& tx) { return ReleaseTable(tx).SetFrozen(1, true, "worse"); });
  ASSERT_TRUE(fleet.Change(rollout, "abort").ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  fleet.Run(10);
  EXPECT_EQ(fleet.UnitsAt(r1), 0);
  EXPECT_EQ(fleet.Count(rollout, 0, "rollback/excluded"), 10);
  EXPECT_THAT(fleet.AttemptsOf("u000").at(0).reason, HasSubstr("it keeps what it runs"));
}

TEST(RolloutLifeTest, AKeyThatIsNoMoreTrustedOrdersNothing) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  // The next key set has another assignment key, and one release key less.
  release::v1::KeySet next = fleet.maker.FirstKeySet();
  next.set_version(2);
  *next.mutable_assignment() = MakeRole({GenerateOrDie()}, 1);
  fleet.Write([&](StoreTransaction& tx) {
    return fleet.documents->ImportKeySets(tx, {SealOrDie(next, kKeySetType, fleet.maker.root)}, "test", fleet.now);
  });
  fleet.Restart();
  const absl::Status refused = fleet.TryRoll(FleetUnderTest::Spec(r2)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is not in key set 2: units would refuse it"));
}

TEST(RolloutLifeTest, AReleaseSignedByARevokedKeyIsHeld) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  release::v1::KeySet next = fleet.maker.FirstKeySet();
  next.set_version(2);
  const std::vector<PrivateKey> keys = {fleet.maker.release[0], GenerateOrDie()};
  *next.mutable_release() = MakeRole(keys, 2);
  fleet.Write([&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(
        fleet.documents->ImportKeySets(tx, {SealOrDie(next, kKeySetType, fleet.maker.root)}, "test", fleet.now));
    RETURN_IF_ERROR(fleet.documents->Refresh(tx));
    // The list is signed anew; the release is not.
    const release::v1::ReleaseList list = fleet.maker.ListOf(77, {});
    return fleet.documents->ImportReleaseList(tx, SealOrDie(list, kReleaseListType, keys), "test", fleet.now);
  });
  fleet.Restart();
  fleet.Run(20);
  EXPECT_EQ(fleet.UnitsAt(r2), 0);
  EXPECT_EQ(fleet.State(rollout), "rolling");
  EXPECT_FALSE(fleet.View(rollout).reason().empty());
}

TEST(RolloutLifeTest, AnExpiredKeySetOrListHoldsWithAReason) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  fleet.now += 301 * 24 * 3600;
  fleet.Run(5);
  EXPECT_EQ(fleet.UnitsAt(r2), 0);
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("release list 2 expired"));
  fleet.now += 100 * 24 * 3600;
  fleet.Run(5);
  EXPECT_THAT(fleet.View(rollout).reason(), HasSubstr("the key set expired"));
}

TEST(RolloutLifeTest, ARevokedUnitGetsNothingMore) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  fleet.Write(
      [&](StoreTransaction& tx) { return fleet.registry->SetRevoked(tx, "u001", true, "stolen", "test", fleet.now); });
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_FALSE(fleet.Retained("u001").has_value());
  EXPECT_EQ(fleet.UnitsAt(r2), 9);
}

TEST(RolloutLifeTest, MessagesTwiceAndInAnyOrderMakeNoDifference) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    FleetUnderTest fleet;
    fleet.MixMessages(seed);
    const std::string r1 = Begin(fleet, 30);
    const std::string r2 = fleet.Import("r2", "2.0.0");
    const int64_t good = fleet.Roll(r2);
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(good) == "complete"; })) << fleet.View(good).DebugString();
    const std::string r3 = fleet.Import("r3", "3.0.0");
    fleet.Behave("r3", Reverts);
    const int64_t bad = fleet.Roll(r3);
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(bad) == "aborted"; }));
    fleet.Run(30);
    EXPECT_EQ(fleet.UnitsAt(r2), 30);
    EXPECT_EQ(fleet.Counter("online"), 30);
  }
}

TEST(RolloutLifeTest, EachVerbInEachStateIsTakenOrRefusedWithTheOnesThatAre) {
  FleetUnderTest fleet;
  Begin(fleet, 10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  for (int state = 0; state < kRolloutStates; ++state) {
    for (const bool paused : {false, true}) {
      for (const RolloutEvent verb : {RolloutEvent::kPause, RolloutEvent::kResume, RolloutEvent::kPromote,
                                      RolloutEvent::kRetry, RolloutEvent::kAbort}) {
        const RolloutCondition condition{.state = static_cast<RolloutState>(state), .paused = paused};
        const auto verbs = VerbsOf(condition);
        const bool takes = std::ranges::find(verbs, verb) != verbs.end();
        const int64_t rollout = fleet.Roll(r2);
        fleet.Write([&](StoreTransaction& tx) {
          return tx.sql
              .Run("UPDATE rollouts SET state = ?2, paused = ?3 WHERE number = ?1",
                   {rollout, int64_t{state}, int64_t{paused}})
              .status();
        });
        const absl::Status changed = fleet.Change(rollout, std::string(Name(verb)));
        EXPECT_EQ(changed.ok(), takes) << Name(condition.state) << (paused ? " paused " : " ") << Name(verb) << changed;
        if (!takes) {
          EXPECT_TRUE(absl::IsFailedPrecondition(changed)) << changed;
        }
        fleet.Write([&](StoreTransaction& tx) {
          return tx.sql.Run("UPDATE rollouts SET state = 6 WHERE number = ?1", {rollout}).status();
        });
      }
    }
  }
}

// The controller dies at each of its writes, before or after the commit, and another takes over: nothing is lost, and
// no unit is ordered to two different things by one sequence.
class KillTest : public testing::TestWithParam<FaultPlan::When> {};
INSTANTIATE_TEST_SUITE_P(Commit, KillTest,
                         testing::Values(FaultPlan::When::kBeforeCommit, FaultPlan::When::kAfterCommit),
                         [](const auto& which) {
                           return which.param == FaultPlan::When::kBeforeCommit ? "Before" : "After";
                         });

TEST_P(KillTest, AControllerKilledAtAnyWriteIsReplacedByAnother) {
  for (const bool bad : {false, true}) {
    int64_t writes = 1;
    for (int64_t n = 1; n <= writes; ++n) {
      SCOPED_TRACE(testing::Message() << (bad ? "bad" : "good") << " release, killed at write " << n);
      FleetUnderTest fleet;
      const std::string r1 = Begin(fleet, 8);
      const std::string r2 = fleet.Import("r2", "2.0.0");
      if (bad) fleet.Behave("r2", Reverts);
      v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
      spec.mutable_score_age()->set_seconds(3);
      v1::RingSpec* canary = spec.add_rings();
      canary->set_percent(25);
      spec.add_rings();
      const int64_t rollout = fleet.Roll(spec);
      const std::string end = bad ? "aborted" : "complete";
      const int64_t before = fleet.faults->writes();
      fleet.faults->DieAt(n, GetParam());
      for (int round = 0; round < 60; ++round, ++fleet.now) {
        if (!fleet.Step().ok()) {
          ASSERT_TRUE(fleet.faults->dead());
          fleet.Restart();
        }
        if (fleet.State(rollout) == end) break;
      }
      if (n == 1) writes = fleet.faults->writes() - before;
      ASSERT_EQ(fleet.State(rollout), end) << fleet.View(rollout).DebugString();
      fleet.faults->Revive();
      fleet.Run(40);
      EXPECT_EQ(fleet.UnitsAt(bad ? r1 : r2), 8);
      for (const auto& [unit_id, unit] : fleet.units()) {
        std::map<uint64_t, std::string> by_sequence;
        for (const auto& [sequence, digests] : unit.orders) {
          EXPECT_TRUE(by_sequence.emplace(sequence, digests).second) << unit_id << " was ordered twice by " << sequence;
        }
        EXPECT_LE(unit.orders.size(), bad ? 3 : 2) << unit_id;
      }
      EXPECT_EQ(fleet.Counter("units"), 8);
      if (testing::Test::HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace tandem::fleet
