#include "cm/update/records/desired_store.h"

#include "common/storage/fake_file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {
namespace {

class DesiredStoreTest : public testing::Test {
 protected:
  DesiredStoreTest() : maker_("acme") {
    EXPECT_TRUE(fs_.MakeFolders("/cm").ok());
    desired_ = MakeDesired("r1", "artifact");
  }

  StoredDesired MakeDesired(const std::string& release_id, const std::string& artifact, uint64_t security_version = 0) {
    StoredDesired made;
    const std::vector<TestComponent> components = {{.id = "a", .type = "t", .version = "2", .content = artifact}};
    release::v1::Release release = maker_.ReleaseOf(release_id, components);
    release.mutable_components(0)->set_security_version(security_version);
    made.envelopes = maker_.Desired("unit-1", 7, {maker_.Seal(release)});
    made.accepted.assignment = maker_.AssignmentOf("unit-1", 7, made.envelopes.releases);
    made.accepted.assignment.set_attempt(1);
    made.envelopes.assignment = maker_.Seal(made.accepted.assignment);
    made.accepted.releases.push_back({.digest = PayloadDigest(made.envelopes.releases[0]),
                                      .release = release,
                                      .envelope = made.envelopes.releases[0]});
    return made;
  }

  DesiredStore Load() {
    absl::StatusOr<DesiredStore> store = DesiredStore::Load(fs_, "/cm", "");
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  FakeFileSystem fs_;
  TestMaker maker_;
  StoredDesired desired_;
};

TEST_F(DesiredStoreTest, IsEmptyAtFirst) {
  DesiredStore store = Load();
  EXPECT_FALSE(store.has_desired());
  EXPECT_EQ(store.desired().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(store.paused());
}

TEST_F(DesiredStoreTest, GivesBackWhatWasAcceptedAfterARestart) {
  {
    DesiredStore store = Load();
    ASSERT_TRUE(store.SetDesired(desired_.accepted, desired_.envelopes, "/stick/b.tar").ok());
    ASSERT_TRUE(store.SetActive().ok());
  }
  DesiredStore store = Load();
  const auto active = store.active();
  ASSERT_TRUE(active.ok()) << active.status();
  EXPECT_EQ(active->accepted.assignment.sequence(), 7u);
  EXPECT_EQ(active->accepted.releases[0].digest, desired_.accepted.releases[0].digest);
  EXPECT_EQ(active->accepted.releases[0].release.release_id(), "r1");
  EXPECT_EQ(active->bundle_path, "/stick/b.tar");
}

TEST_F(DesiredStoreTest, TheSameReleasesAreTriedAgainOnlyByAHigherAttempt) {
  DesiredStore store = Load();
  EXPECT_FALSE(store.FindTried(desired_.accepted).has_value());
  ASSERT_TRUE(store.SetDone(desired_.accepted, "reverted", "gate").ok());
  EXPECT_TRUE(store.FindTried(desired_.accepted).has_value());
  AcceptedDesired refresh = desired_.accepted;
  refresh.assignment.set_sequence(9);
  EXPECT_TRUE(store.FindTried(refresh).has_value());
  refresh.assignment.set_attempt(2);
  EXPECT_FALSE(store.FindTried(refresh).has_value());
  const AcceptedDesired other = MakeDesired("r2", "another artifact").accepted;
  EXPECT_FALSE(store.FindTried(other).has_value());
}

TEST_F(DesiredStoreTest, KnowsTheAssignmentOfTheLastUpdate) {
  DesiredStore store = Load();
  release::v1::Assignment assignment = desired_.accepted.assignment;
  EXPECT_FALSE(store.WasLast(assignment));
  ASSERT_TRUE(store.SetDone(desired_.accepted, "applied", "").ok());
  EXPECT_TRUE(store.WasLast(assignment));
  assignment.set_attempt(2);
  EXPECT_FALSE(store.WasLast(assignment));
  assignment = MakeDesired("r2", "another artifact").accepted.assignment;
  EXPECT_FALSE(store.WasLast(assignment));
}

TEST_F(DesiredStoreTest, CommittedReleasesHoldTheirFloorsBackUntilSealed) {
  DesiredStore store = Load();
  ASSERT_TRUE(store.SetCommitted(MakeDesired("r1", "artifact", 5), {}).ok());
  EXPECT_EQ(store.committed().pending_floor().at("t"), 5u);
  EXPECT_EQ(store.committed().planes(0).release_id(), "r1");
  ASSERT_TRUE(store.SetSealed().ok());
  EXPECT_TRUE(Load().committed().pending_floor().empty());
  EXPECT_TRUE(Load().committed().sealed());
}

TEST_F(DesiredStoreTest, WhoIsLeftOverIsKeptUntilItTakesPartOrIsNamedAgain) {
  UnitUpdate update;
  for (const char* node : {"app", "mcu"}) {
    Participant participant{.node_id = node};
    participant.targets.push_back({.component_id = node, .component_type = "u", .version = "2"});
    update.participants.push_back(participant);
  }
  update.leftovers = {"mcu"};
  DesiredStore store = Load();
  ASSERT_TRUE(store.SetCommitted(MakeDesired("r1", "artifact"), update).ok());
  ASSERT_EQ(Load().committed().leftovers_size(), 1);
  EXPECT_EQ(Load().committed().leftovers(0).node_id(), "mcu");
  EXPECT_EQ(Load().committed().leftovers(0).version(), "2");

  update.participants.pop_back();
  update.leftovers = {};
  ASSERT_TRUE(store.SetCommitted(MakeDesired("r2", "another"), update).ok());
  EXPECT_EQ(store.committed().leftovers_size(), 1) << "an update without it changes nothing";
  update.participants[0].node_id = "mcu";
  ASSERT_TRUE(store.SetLeftovers(update).ok());
  EXPECT_EQ(store.committed().leftovers_size(), 0) << "it took part, and is not left over again";

  update.leftovers = {"mcu"};
  update.participants[0].targets[0] = {.component_id = "a", .component_type = "t", .version = "2"};
  ASSERT_TRUE(store.SetLeftovers(update).ok()) << "the documents need not be there";
  EXPECT_EQ(store.committed().leftovers_size(), 1);
  ASSERT_TRUE(store.SetCommitted(MakeDesired("r3", "third"), {}).ok());
  EXPECT_EQ(store.committed().leftovers_size(), 0) << "the release says what it shall run";
}

TEST_F(DesiredStoreTest, AFailureIsRememberedWhenOtherReleasesWereTriedSince) {
  const StoredDesired bad = MakeDesired("bad", "bad artifact");
  DesiredStore store = Load();
  ASSERT_TRUE(store.SetDone(bad.accepted, "reverted", "gate").ok());
  ASSERT_TRUE(store.SetDone(desired_.accepted, "applied", "").ok());
  const auto tried = Load().FindTried(bad.accepted);
  ASSERT_TRUE(tried.has_value());
  EXPECT_EQ(tried->outcome, "reverted");
  EXPECT_EQ(tried->reason, "gate");
  AcceptedDesired again = bad.accepted;
  again.assignment.set_attempt(2);
  EXPECT_FALSE(store.FindTried(again).has_value());
  for (int i = 0; i < 40; ++i) {
    const std::string name = "r" + std::to_string(i);
    ASSERT_TRUE(store.SetDone(MakeDesired(name, name).accepted, "reverted", "gate").ok());
  }
  EXPECT_FALSE(store.FindTried(bad.accepted).has_value()) << "bounded";
}

TEST_F(DesiredStoreTest, ARollbackWithinTheWindowTakesThePendingFloorBack) {
  DesiredStore store = Load();
  const StoredDesired newer = MakeDesired("r2", "newer", 5);
  const StoredDesired older = MakeDesired("r1", "older", 4);
  ASSERT_TRUE(store.SetCommitted(newer, {}).ok());
  EXPECT_FALSE(store.GoesBehindCommitted(newer.accepted));
  EXPECT_TRUE(store.GoesBehindCommitted(older.accepted));
  ASSERT_TRUE(store.SetCommitted(older, {}).ok());
  EXPECT_EQ(store.committed().pending_floor().at("t"), 4u) << "never above what is installed";
}

TEST_F(DesiredStoreTest, AFailureIsForgottenWhenItsReleasesAreAppliedAfterAll) {
  const StoredDesired late = MakeDesired("late", "late");
  DesiredStore store = Load();
  ASSERT_TRUE(store.SetDone(late.accepted, "reverted", "gate").ok());
  ASSERT_TRUE(store.SetDone(desired_.accepted, "applied", "").ok());
  ASSERT_TRUE(store.SetDone(late.accepted, "applied", "").ok());
  ASSERT_TRUE(store.SetDone(desired_.accepted, "applied", "").ok());
  EXPECT_FALSE(store.FindTried(late.accepted).has_value()) << "the way back to it is open";
}

TEST_F(DesiredStoreTest, WhatARollbackNeedsIsKeptUntilSealed) {
  DesiredStore store = Load();
  EXPECT_TRUE(store.ArtifactsToKeep().empty());
  const std::set<std::string> first = {desired_.accepted.releases[0].release.components(0).sha256()};
  ASSERT_FALSE(first.begin()->empty());
  ASSERT_TRUE(store.SetCommitted(desired_, {}).ok());
  EXPECT_EQ(store.ArtifactsToKeep(), first);
  StoredDesired next = MakeDesired("r2", "another artifact");
  ASSERT_TRUE(store.SetCommitted(next, {}).ok());
  ASSERT_TRUE(store.SetCommitted(next, {}).ok()) << "done again after a crash";
  const std::string second = next.accepted.releases[0].release.components(0).sha256();
  EXPECT_EQ(store.ArtifactsToKeep(), (std::set<std::string>{*first.begin(), second}));
  ASSERT_TRUE(store.SetSealed().ok());
  EXPECT_EQ(Load().ArtifactsToKeep(), std::set<std::string>{second});
}

TEST_F(DesiredStoreTest, ADamagedRecordFallsBackToItsPreviousCopy) {
  {
    DesiredStore store = Load();
    ASSERT_TRUE(store.SetPaused(true).ok());
    ASSERT_TRUE(store.SetDesired(desired_.accepted, desired_.envelopes, "").ok());
  }
  fs_.Damage("/cm/desired.rec", 60, "damage");
  DesiredStore store = Load();
  EXPECT_TRUE(store.paused());
  EXPECT_FALSE(store.has_desired());
}

TEST_F(DesiredStoreTest, AFailedWriteChangesNothing) {
  DesiredStore store = Load();
  fs_.FailCall(1, absl::ResourceExhaustedError("disk full"));
  EXPECT_FALSE(store.SetDesired(desired_.accepted, desired_.envelopes, "").ok());
  EXPECT_FALSE(store.has_desired());
}

}  // namespace
}  // namespace tandem::cm
