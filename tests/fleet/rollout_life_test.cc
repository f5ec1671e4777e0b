// The life of a rollout on a fleet in memory: real store and controller parts, units that answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "common/crypto/sha256.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

using testing::HasSubstr;

TEST(RolloutLifeTest, AGoodReleaseReachesEveryUnitRingByRing) {
  FleetUnderTest fleet;
  fleet.Begin(60);
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
  const std::string r1 = fleet.Begin(60);
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
    const std::string r1 = fleet.Begin(40);
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
  fleet.Begin(40);
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
  fleet.Begin(40);
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
  fleet.Begin(40);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kFallsBackLater; });
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }));
  EXPECT_EQ(fleet.UnitsAt(r2), 0);
}

TEST(RolloutLifeTest, AnAbortReachesAUnitThatIsAway) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(40);
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
  fleet.Begin(20);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  for (auto& [unit_id, unit] : fleet.units()) fleet.SetOnline(unit_id, false);
  const int64_t rollout = fleet.Roll(r2);
  fleet.Run(100);
  for (auto& [unit_id, unit] : fleet.units()) fleet.SetOnline(unit_id, true);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_EQ(fleet.UnitsAt(r2), 20);
}

TEST(RolloutLifeTest, AUnitThatNamesAnImpossibleSequenceHoldsNobodyElse) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(10);
  for (const uint64_t sequence : {uint64_t{1} << 60, uint64_t{INT64_MAX}}) {
    SimulatedUnit& liar = fleet.unit("u003");
    unit::v1::Reported reported;
    reported.set_sequence(sequence);
    reported.set_phase("Idle");
    ReportIntake intake(*fleet.documents, *fleet.registry, *fleet.verification, {});
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

TEST(RolloutLifeTest, CanariesRehearseTheWayBackBeforeTheyArePromoted) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(40);
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
  fleet.Begin(40);
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
  fleet.Begin(10);
  const std::string r2 = fleet.Import("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kProvisional; });
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  spec.set_commit_on(release::v1::VERIFIED);
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_EQ(fleet.Retained("u000")->commit_on(), release::v1::VERIFIED);
}

TEST(RolloutLifeTest, ACanaryThatFailsAfterItsPromotionStillAborts) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(40);
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

TEST(RolloutLifeTest, AUnitThatWentWithoutAGoodbyeIsAwayAndNotSilent) {
  FleetUnderTest fleet;
  fleet.Begin(10);
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

TEST(RolloutLifeTest, MessagesTwiceAndInAnyOrderMakeNoDifference) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    FleetUnderTest fleet;
    fleet.MixMessages(seed);
    const std::string r1 = fleet.Begin(30);
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

}  // namespace
}  // namespace tandem::fleet
