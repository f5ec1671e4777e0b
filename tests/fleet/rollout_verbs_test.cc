// What operators do to rollouts, and what holds orders back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "fleet/store/rollout_table.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

using testing::HasSubstr;

TEST(RolloutVerbsTest, APausedRolloutGivesNoOrdersAndIsNotPromoted) {
  FleetUnderTest fleet;
  fleet.Begin(40);
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

TEST(RolloutVerbsTest, WhatIsOnlyToldIsNoConflictForAnOperator) {
  FleetUnderTest fleet;
  fleet.Begin(40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "rolling"; }));
  const uint64_t revision = fleet.View(rollout).revision();
  const std::string reason = fleet.View(rollout).reason();
  fleet.Run(5);
  EXPECT_NE(fleet.View(rollout).reason(), reason);
  EXPECT_EQ(fleet.View(rollout).revision(), revision);
}

TEST(RolloutVerbsTest, WhatFailedIsTriedAgainByAHigherAttempt) {
  FleetUnderTest fleet;
  fleet.Begin(10);
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
TEST(RolloutVerbsTest, UnitsStillQueuedWhenTheirRingIsPromotedGetTheirTurn) {
  for (const bool by_hand : {false, true}) {
    FleetUnderTest fleet;
    fleet.Begin(40);
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

TEST(RolloutVerbsTest, AFleetWithNothingToDoWritesNothing) {
  FleetUnderTest fleet;
  fleet.Begin(5);
  fleet.Run(30);
  const uint64_t writes = fleet.store->writes();
  fleet.Run(10);
  EXPECT_EQ(fleet.store->writes(), writes);
}

TEST(RolloutVerbsTest, AUnitOfAnEarlierRingCanBeTriedAgain) {
  FleetUnderTest fleet;
  fleet.Begin(20);
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

TEST(RolloutVerbsTest, StopsLimitsAndRatesHoldOrdersBackAndSayWhy) {
  FleetUnderTest fleet;
  fleet.Begin(20);
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

TEST(RolloutVerbsTest, EachVerbInEachStateIsTakenOrRefusedWithTheOnesThatAre) {
  FleetUnderTest fleet;
  fleet.Begin(10);
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

}  // namespace
}  // namespace tandem::fleet
