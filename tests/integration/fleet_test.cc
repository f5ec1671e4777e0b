// Fleets of real processes, with what fails in one.
#include <gtest/gtest.h>

#include "tests/integration/fleet_processes.h"

namespace tandem {
namespace {

// Everybody on r1, which is what a fleet goes back to.
void Begin(FleetProcesses& fleet, uint64_t units) {
  const uint64_t id = fleet.Roll("r1", {100}).id();
  ASSERT_TRUE(fleet.WaitUntil([&] { return fleet.Show(id).state() == "complete"; }, kLong))
      << fleet.Show(id).DebugString();
  ASSERT_EQ(fleet.UnitsAt("r1"), units);
}

TEST(FleetTest, AControllerKilledAgainAndAgainLosesNothing) {
  FleetProcesses fleet({});
  Begin(fleet, 60);
  const uint64_t id = fleet.Roll("r2", {25, 100}).id();
  for (int kills = 0; kills < 12 && fleet.Show(id).state() != "complete"; ++kills) {
    fleet.WaitUntil([&] { return fleet.Show(id).state() == "complete"; }, absl::Milliseconds(500 + 400 * kills));
    fleet.Kill(0);
    fleet.Start(0);
  }
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.Show(id).state() == "complete"; }, kLong))
      << fleet.Show(id).DebugString();
  EXPECT_EQ(fleet.UnitsAt("r2"), 60);
  EXPECT_TRUE(fleet.Conflicts().empty());
}

TEST(FleetTest, TwoControllersShareTheWorkAndOneMayBeKilled) {
  FleetProcesses fleet({.controllers = 2, .postgres = true});
  Begin(fleet, 60);
  const uint64_t id = fleet.Roll("r2", {25, 100}).id();
  ASSERT_TRUE(fleet.WaitUntil([&] { return fleet.UnitsAt("r2") > 3; }, kLong));
  fleet.Kill(0);
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.Show(id).state() == "complete"; }, kLong))
      << fleet.Show(id).DebugString();
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.UnitsAt("r2") == 60; }, kLong));
  EXPECT_TRUE(fleet.Conflicts().empty());
}

TEST(FleetTest, ABadReleaseIsStoppedAndTakenBackByTwoControllers) {
  FleetProcesses fleet({.controllers = 2, .postgres = true, .simulator = {"--bad-release", "r3=0.5"}});
  Begin(fleet, 60);
  const uint64_t id = fleet.Roll("r3", {20, 100}).id();
  ASSERT_TRUE(fleet.WaitUntil([&] { return fleet.Show(id).state() == "aborted"; }, kLong))
      << fleet.Show(id).DebugString();
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.UnitsAt("r1") == 60; }, kLong)) << fleet.Overview().DebugString();
  EXPECT_EQ(fleet.Show(id).ring(), 0);
  EXPECT_TRUE(fleet.Conflicts().empty());
}

TEST(FleetTest, BrokerAndDatabaseMayBeRestartedAtAnyTime) {
  FleetProcesses fleet({.controllers = 2, .postgres = true});
  Begin(fleet, 60);
  const uint64_t id = fleet.Roll("r2", {25, 100}).id();
  ASSERT_TRUE(fleet.WaitUntil([&] { return fleet.UnitsAt("r2") > 3; }, kLong));
  ASSERT_TRUE(fleet.broker().Restart().ok());
  ASSERT_TRUE(fleet.WaitUntil([&] { return fleet.Show(id).ring() == 1; }, kLong)) << fleet.Show(id).DebugString();
  ASSERT_TRUE(fleet.postgres().Restart().ok());
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.Show(id).state() == "complete"; }, kLong))
      << fleet.Show(id).DebugString();
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.UnitsAt("r2") == 60; }, kLong));
  EXPECT_TRUE(fleet.Conflicts().empty());
}

TEST(FleetTest, UnitsThatFlapRepeatThemselvesAndSpeakOutOfTurnAreCountedOnce) {
  FleetProcesses fleet({.units = 100,
                        .simulator = {"--flap", "0.2", "--flap-every", "2s..4s", "--duplicate", "0.3", "--reorder",
                                      "0.3", "--offline", "0.1", "--offline-for", "3s"}});
  const uint64_t id = fleet.Roll("r1", {10, 100}).id();
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.Show(id).state() == "complete"; }, kLong))
      << fleet.Show(id).DebugString();
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.UnitsAt("r1") == 100; }, kLong));
  EXPECT_EQ(fleet.Overview().units(), 100);
}

}  // namespace
}  // namespace tandem
