// A controller that is killed, and the one that takes over.
#include <gtest/gtest.h>

#include <map>

#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

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
      const std::string r1 = fleet.Begin(8);
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
