#include "cm/trust/trust_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/crypto/signed_metadata.h"
#include "common/storage/fake_file_system.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kRecord[] = "/state/trust.rec";
constexpr char kFirst[] = "/etc/tandem/key_set.json";

class TrustStoreTest : public testing::Test {
 protected:
  TrustStoreTest() {
    fs_.Put(kFirst, maker_.KeySetEnvelope());
    EXPECT_TRUE(fs_.MakeFolders("/state").ok());
  }
  absl::StatusOr<TrustStore> Load() { return TrustStore::Load(fs_, kRecord, kFirst, "acme"); }
  AcceptedDesired Accepted(uint64_t sequence, uint32_t attempt = 0) {
    AcceptedDesired desired;
    desired.assignment = maker_.AssignmentOf("gw", sequence, {});
    desired.assignment.set_attempt(attempt);
    desired.key_sets = {maker_.KeySetEnvelope()};
    desired.key_set_version = 1;
    desired.release_list_version = sequence;
    return desired;
  }

  TestMaker maker_{"acme"};
  FakeFileSystem fs_;
};

TEST_F(TrustStoreTest, StartsFromTheMakersKeySet) {
  absl::StatusOr<TrustStore> store = Load();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT(store->record().key_sets(), ElementsAre(maker_.KeySetEnvelope()));
  EXPECT_EQ(store->record().sequence(), 0u);
}

TEST_F(TrustStoreTest, AMakersKeySetThatDoesNotSignItselfIsRefused) {
  fs_.Put(kFirst, SealOrDie(maker_.FirstKeySet(), kKeySetType, {maker_.root[0]}));
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(TrustStoreTest, WhatWasAcceptedIsThereAfterARestart) {
  {
    absl::StatusOr<TrustStore> store = Load();
    ASSERT_TRUE(store->Accept(Accepted(7, 2)).ok());
    ASSERT_TRUE(store->AddCommitted({std::string(32, 'a')}).ok());
    ASSERT_TRUE(store->RaiseFloors({{"linux", 3}}).ok());
  }
  fs_.PowerCut(1);
  fs_.Reboot();
  absl::StatusOr<TrustStore> store = Load();
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(store->record().sequence(), 7u);
  EXPECT_EQ(store->record().attempt(), 2u);
  EXPECT_EQ(store->record().release_list_version(), 7u);
  EXPECT_THAT(store->record().committed_releases(), ElementsAre(std::string(32, 'a')));
  EXPECT_EQ(store->record().security_floor().at("linux"), 3u);
}

TEST_F(TrustStoreTest, FloorsRiseAndNeverFall) {
  absl::StatusOr<TrustStore> store = Load();
  ASSERT_TRUE(store->RaiseFloors({{"linux", 3}, {"stm32", 1}}).ok());
  ASSERT_TRUE(store->RaiseFloors({{"linux", 2}, {"stm32", 4}}).ok());
  EXPECT_EQ(store->record().security_floor().at("linux"), 3u);
  EXPECT_EQ(store->record().security_floor().at("stm32"), 4u);
}

TEST_F(TrustStoreTest, CommittedReleasesAreKeptNewestLastAndBounded) {
  absl::StatusOr<TrustStore> store = Load();
  for (char c = 0; c < 70; ++c) ASSERT_TRUE(store->AddCommitted({std::string(32, c)}).ok());
  ASSERT_TRUE(store->AddCommitted({std::string(32, 50)}).ok());
  EXPECT_EQ(store->record().committed_releases_size(), 64);
  EXPECT_EQ(*store->record().committed_releases().rbegin(), std::string(32, 50));
}

TEST_F(TrustStoreTest, NowIsTheLatestOfClockRecordAndBuild) {
  absl::StatusOr<TrustStore> store = Load();
  const absl::Time built = store->TrustedNow(absl::UnixEpoch());
  EXPECT_GT(built, absl::FromUnixSeconds(1'700'000'000));
  ASSERT_TRUE(store->Accept(Accepted(1)).ok());
  EXPECT_EQ(store->TrustedNow(absl::UnixEpoch()), maker_.now);
  EXPECT_EQ(store->TrustedNow(maker_.now + absl::Hours(5)), maker_.now + absl::Hours(5));
}

TEST_F(TrustStoreTest, AClockThatLeapsLeavesNothingBehind) {
  absl::StatusOr<TrustStore> store = Load();
  ASSERT_TRUE(store->Accept(Accepted(1)).ok());
  EXPECT_EQ(store->TrustedNow(maker_.now + absl::Hours(24 * 800)), maker_.now + absl::Hours(24 * 800));
  EXPECT_EQ(store->TrustedNow(maker_.now + absl::Hours(1)), maker_.now + absl::Hours(1));
}

TEST_F(TrustStoreTest, NewKeySetsAreTakenAndKeepTheSequence) {
  absl::StatusOr<TrustStore> store = Load();
  ASSERT_TRUE(store->Accept(Accepted(7)).ok());
  release::v1::KeySet second = maker_.FirstKeySet();
  second.set_version(2);
  const std::string envelope = SealOrDie(second, kKeySetType, maker_.root);
  EXPECT_EQ(*store->UpdateKeySets({maker_.KeySetEnvelope(), envelope}, "acme", maker_.now), 1);
  EXPECT_EQ(*store->UpdateKeySets({maker_.KeySetEnvelope(), envelope}, "acme", maker_.now), 0);
  EXPECT_THAT(Load()->record().key_sets(), ElementsAre(maker_.KeySetEnvelope(), envelope));
  EXPECT_EQ(store->record().sequence(), 7u);
}

TEST_F(TrustStoreTest, ADamagedRecordFallsBackToTheCopyBeforeIt) {
  {
    absl::StatusOr<TrustStore> store = Load();
    ASSERT_TRUE(store->Accept(Accepted(7)).ok());
    ASSERT_TRUE(store->Accept(Accepted(8)).ok());
  }
  fs_.Damage(kRecord, 60, "x");
  EXPECT_EQ(Load()->record().sequence(), 7u);
  EXPECT_EQ(Load()->record().sequence(), 7u);
}

TEST_F(TrustStoreTest, LosingBothCopiesIsAnErrorThatLasts) {
  {
    absl::StatusOr<TrustStore> store = Load();
    ASSERT_TRUE(store->Accept(Accepted(7)).ok());
  }
  fs_.Damage(kRecord, 60, "x");
  fs_.Damage(std::string(kRecord) + ".prev", 60, "x");
  for (int restart = 0; restart < 3; ++restart) {
    const absl::Status status = Load().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("first key set"));
  }
}

TEST_F(TrustStoreTest, APowerCutAnywhereInAcceptLeavesTheOldOrTheNewState) {
  for (uint64_t call = 1;; ++call) {
    FakeFileSystem fs;
    fs.Put(kFirst, maker_.KeySetEnvelope());
    ASSERT_TRUE(fs.MakeFolders("/state").ok());
    ASSERT_TRUE(fs.SyncFolder("/").ok());
    absl::StatusOr<TrustStore> store = TrustStore::Load(fs, kRecord, kFirst, "acme");
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE(store->Accept(Accepted(7)).ok());
    fs.CutPowerAtCall(call, call);
    const absl::Status status = store->Accept(Accepted(8));
    if (!fs.power_lost()) break;
    EXPECT_FALSE(status.ok());
    fs.Reboot();
    absl::StatusOr<TrustStore> after = TrustStore::Load(fs, kRecord, kFirst, "acme");
    ASSERT_TRUE(after.ok()) << after.status() << " at call " << call;
    EXPECT_THAT(after->record().sequence(), testing::AnyOf(7u, 8u));
  }
}

}  // namespace
}  // namespace tandem::cm
