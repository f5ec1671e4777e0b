// What may not be ordered: frozen and withdrawn releases, keys that are no more trusted, revoked units.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "fleet/store/release_table.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

using testing::HasSubstr;

TEST(RolloutTrustTest, AFrozenReleaseIsNeverOrdered) {
  FleetUnderTest fleet;
  fleet.Begin(40);
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

TEST(RolloutTrustTest, AWithdrawnReleaseIsHeldWithAReason) {
  FleetUnderTest fleet;
  fleet.Begin(20);
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

TEST(RolloutTrustTest, AnAssignmentIsSignedAnewBeforeItExpiresAndStartsNothing) {
  FleetUnderTest fleet;
  fleet.Begin(5);
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

TEST(RolloutTrustTest, AReinstatedUnitGetsWhatTheOthersHave) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(5);
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

TEST(RolloutTrustTest, NobodyIsOrderedBackToAFrozenRelease) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(10);
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

TEST(RolloutTrustTest, AKeyThatIsNoMoreTrustedOrdersNothing) {
  FleetUnderTest fleet;
  fleet.Begin(10);
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

TEST(RolloutTrustTest, AReleaseSignedByARevokedKeyIsHeld) {
  FleetUnderTest fleet;
  fleet.Begin(10);
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

TEST(RolloutTrustTest, AnExpiredKeySetOrListHoldsWithAReason) {
  FleetUnderTest fleet;
  fleet.Begin(10);
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

TEST(RolloutTrustTest, ARevokedUnitGetsNothingMore) {
  FleetUnderTest fleet;
  fleet.Begin(10);
  fleet.Write(
      [&](StoreTransaction& tx) { return fleet.registry->SetRevoked(tx, "u001", true, "stolen", "test", fleet.now); });
  const std::string r2 = fleet.Import("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(r2);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_FALSE(fleet.Retained("u001").has_value());
  EXPECT_EQ(fleet.UnitsAt(r2), 9);
}

}  // namespace
}  // namespace tandem::fleet
