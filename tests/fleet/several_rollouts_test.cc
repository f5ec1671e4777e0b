// Rollouts beside and after each other, and units that join.
#include <gtest/gtest.h>

#include "common/crypto/sha256.h"
#include "fleet/controller/ring_filler.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/rollout_table.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

TEST(SeveralRolloutsTest, AUnitThatJoinsAFinishedRolloutGetsItsRelease) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(10);
  fleet.AddUnits(1);
  EXPECT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 11; }, 50));
}

TEST(SeveralRolloutsTest, ANewerRolloutTakesThePlaceOfTheOlder) {
  FleetUnderTest fleet;
  fleet.Begin(40);
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

TEST(SeveralRolloutsTest, WhoJoinsGetsTheNewestReleaseThatWasNotTakenBack) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(20);
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

TEST(SeveralRolloutsTest, RolloutsOfOtherTargetsOrPlanesGoOnBesideEachOther) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(20);
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

TEST(SeveralRolloutsTest, AnAbortFindsUnitsWhoseAttemptAnotherPlaneEnded) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(4);
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

TEST(SeveralRolloutsTest, AUnitThatIsRegisteredWhileTheLastRingIsFilledIsAMember) {
  FleetUnderTest fleet;
  fleet.Begin(10);
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

}  // namespace
}  // namespace tandem::fleet
