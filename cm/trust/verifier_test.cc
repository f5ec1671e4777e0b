#include "cm/trust/verifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "common/crypto/dsse.h"
#include "common/crypto/signed_metadata.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {
namespace {

using release::v1::Assignment;
using release::v1::KeySet;
using release::v1::Release;
using release::v1::ReleaseList;
using testing::HasSubstr;

constexpr auto kDenied = absl::StatusCode::kPermissionDenied;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class VerifierTest : public testing::Test {
 protected:
  VerifierTest() {
    trust_.add_key_sets(maker_.KeySetEnvelope());
    trust_.set_key_set_version(1);
    unit_ = {.unit_id = "gw-17",
             .name_space = "acme",
             .hardware = "rev-b",
             .installed = {{"rootfs", "linux", "1.0.0"}, {"mcu", "stm32", "3.1.0"}, {"maps", "maps", "7"}},
             .now = maker_.now};
  }

  Release Rootfs(const std::string& version = "1.1.0") {
    return maker_.ReleaseOf("r-" + version, {{.id = "rootfs", .type = "linux", .version = version}});
  }
  static DesiredEnvelopes Documents(const DesiredEnvelopes& desired) {
    return {desired.assignment, desired.releases, desired.release_list, desired.key_sets};
  }
  // The desired state of one release, as it should be.
  DesiredEnvelopes Good(uint64_t sequence = 7) {
    return Documents(maker_.Desired("gw-17", sequence, {maker_.Seal(Rootfs())}));
  }
  // The same with a changed release, properly signed and listed.
  DesiredEnvelopes With(const Release& release, uint64_t sequence = 7) {
    return Documents(maker_.Desired("gw-17", sequence, {maker_.Seal(release)}));
  }
  DesiredEnvelopes With(const Assignment& assignment) {
    DesiredEnvelopes documents = Good();
    documents.assignment = maker_.Seal(assignment);
    return documents;
  }
  Assignment GoodAssignment(uint64_t sequence = 7) {
    return maker_.AssignmentOf("gw-17", sequence, {maker_.Seal(Rootfs())});
  }
  void Accepted(uint64_t sequence, uint32_t attempt = 0) {
    trust_.set_sequence(sequence);
    trust_.set_attempt(attempt);
  }
  void ExpectRefused(const DesiredEnvelopes& documents, absl::StatusCode code, const std::string& text) {
    const absl::Status status = VerifyDesired(documents, unit_, trust_).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
  // Version 2 of the key set with another assignment key.
  std::string RotateAssignmentKey(const PrivateKey& key) {
    KeySet second = maker_.FirstKeySet();
    second.set_version(2);
    *second.mutable_assignment() = MakeRole({key}, 1);
    return SealOrDie(second, kKeySetType, maker_.root);
  }

  TestMaker maker_{"acme"};
  record::v1::TrustRecord trust_;
  UnitFacts unit_;
};

TEST_F(VerifierTest, GenuineDesiredStateIsAccepted) {
  absl::StatusOr<AcceptedDesired> accepted = VerifyDesired(Good(), unit_, trust_);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_FALSE(accepted->repeated);
  EXPECT_EQ(accepted->assignment.sequence(), 7u);
  ASSERT_EQ(accepted->releases.size(), 1u);
  EXPECT_EQ(accepted->releases[0].digest, PayloadDigest(accepted->releases[0].envelope));
  EXPECT_EQ(accepted->releases[0].release.components(0).version(), "1.1.0");
  EXPECT_EQ(accepted->key_set_version, 1u);
  EXPECT_EQ(accepted->release_list_version, 1u);
  EXPECT_EQ(accepted->key_sets.size(), 1u);
}

// ---- Signatures ----

TEST_F(VerifierTest, DocumentsOfStrangersAreRefused) {
  const TestMaker stranger("acme");
  DesiredEnvelopes documents = Good();
  documents.assignment = stranger.Seal(GoodAssignment());
  ExpectRefused(documents, kDenied, "assignment");
  documents = Good();
  documents.releases = {stranger.Seal(Rootfs())};
  ExpectRefused(documents, kDenied, "release");
  documents = Good();
  documents.release_list = stranger.Seal(maker_.ListOf(1, documents.releases));
  ExpectRefused(documents, kDenied, "release list");
}

TEST_F(VerifierTest, OneReleaseKeyOfTwoIsNotEnough) {
  DesiredEnvelopes documents = Good();
  documents.releases = {SealOrDie(Rootfs(), kReleaseType, {maker_.release[0]})};
  ExpectRefused(documents, kDenied, "signed by 1 of the 2 keys that may sign it, 2 needed");
}

TEST_F(VerifierTest, TheOnlineKeyCannotMakeReleasesOrLists) {
  DesiredEnvelopes documents = Good();
  documents.releases = {SealOrDie(Rootfs(), kReleaseType, maker_.assignment)};
  ExpectRefused(documents, kDenied, "role release");
  documents = Good();
  documents.release_list = SealOrDie(maker_.ListOf(9, documents.releases), kReleaseListType, maker_.assignment);
  ExpectRefused(documents, kDenied, "role release");
}

TEST_F(VerifierTest, ChangedBytesAreRefused) {
  DesiredEnvelopes documents = Good();
  DsseEnvelope envelope = *ParseDsse(documents.assignment);
  envelope.payload.back() ^= 1;
  documents.assignment = SerializeDsse(envelope);
  ExpectRefused(documents, kDenied, "assignment");
}

TEST_F(VerifierTest, GarbageAndOversizeAreRefusedByName) {
  DesiredEnvelopes documents = Good();
  documents.assignment = "garbage";
  ExpectRefused(documents, kInvalid, "assignment: ");
  documents = Good();
  documents.releases = {"garbage"};
  ExpectRefused(documents, kInvalid, "release: ");
  documents = Good();
  documents.release_list = std::string(kMaxEnvelopeBytes + 1, ' ');
  ExpectRefused(documents, kInvalid, "release list: ");
  documents = Good();
  documents.release_list = "";
  ExpectRefused(documents, kInvalid, "no release list");
  documents = Good();
  documents.key_sets = {"garbage"};
  ExpectRefused(documents, kInvalid, "key sets");
}

TEST_F(VerifierTest, ADocumentCannotPassForAnother) {
  DesiredEnvelopes documents = Good();
  documents.assignment = documents.releases[0];
  ExpectRefused(documents, kInvalid, "expected application/vnd.tandem.assignment.v1+protobuf");
}

// ---- Time ----

TEST_F(VerifierTest, ExpiredDocumentsAreRefusedWithTheTime) {
  unit_.now = maker_.now + absl::Hours(24 * 8);
  ExpectRefused(Good(), kPrecondition, "assignment 7 expired at ");
  Assignment assignment = GoodAssignment();
  SetTimestamp(assignment.mutable_expires(), maker_.now + absl::Hours(24 * 400));
  unit_.now = maker_.now + absl::Hours(24 * 31);
  ExpectRefused(With(assignment), kPrecondition, "release list: version 1 expired at ");
  unit_.now = maker_.now + absl::Hours(24 * 366);
  ExpectRefused(With(assignment), kPrecondition, "key set version 1 expired at ");
}

TEST_F(VerifierTest, AVerifiedIssueTimeCorrectsASlowClock) {
  // The unit's clock lives in the past, where the list is still fresh; the assignment proves the time.
  unit_.now = maker_.now - absl::Hours(24 * 365);
  DesiredEnvelopes documents = Good();
  ReleaseList list = maker_.ListOf(1, documents.releases);
  SetTimestamp(list.mutable_expires(), maker_.now - absl::Hours(24));
  documents.release_list = maker_.Seal(list);
  ExpectRefused(documents, kPrecondition, "release list: version 1 expired at ");
}

TEST_F(VerifierTest, AWindowThatIsOverOrEmptyIsRefused) {
  Assignment assignment = GoodAssignment();
  SetTimestamp(assignment.mutable_window()->mutable_not_after(), maker_.now - absl::Hours(1));
  ExpectRefused(With(assignment), kPrecondition, "install window");
  SetTimestamp(assignment.mutable_window()->mutable_not_after(), maker_.now + absl::Hours(1));
  SetTimestamp(assignment.mutable_window()->mutable_not_before(), maker_.now + absl::Hours(2));
  ExpectRefused(With(assignment), kInvalid, "ends before it begins");
}

// ---- Replay ----

TEST_F(VerifierTest, OlderSequenceIsRefused) {
  Accepted(8);
  ExpectRefused(Good(7), kPrecondition, "older than the accepted sequence 8");
}

TEST_F(VerifierTest, LowerAttemptIsRefused) {
  Accepted(7, 2);
  ExpectRefused(Good(7), kPrecondition, "attempt 0 is older");
}

TEST_F(VerifierTest, TheSameSequenceAndAttemptIsARepeatWhateverItsExpiry) {
  Accepted(7);
  EXPECT_TRUE(VerifyDesired(Good(7), unit_, trust_)->repeated);
  unit_.now = maker_.now + absl::Hours(24 * 1000);
  absl::StatusOr<AcceptedDesired> late = VerifyDesired(Good(7), unit_, trust_);
  ASSERT_TRUE(late.ok()) << late.status();
  EXPECT_TRUE(late->repeated);
  EXPECT_EQ(late->releases.size(), 1u);
}

TEST_F(VerifierTest, TheSameNumbersWithAnotherContentAreRefused) {
  Accepted(7);
  trust_.set_assignment_digest(VerifyDesired(Good(7), unit_, trust_)->assignment_digest);
  EXPECT_TRUE(VerifyDesired(Good(7), unit_, trust_)->repeated);
  Assignment other = GoodAssignment();
  other.add_base_urls("https://elsewhere");
  ASSERT_EQ(other.sequence(), 7u);
  ExpectRefused(With(other), kPrecondition, "another assignment with sequence 7 attempt 0 was accepted before");
}

TEST_F(VerifierTest, ARepeatOfAWithdrawnReleaseIsRefused) {
  Accepted(7);
  DesiredEnvelopes documents = Good(7);
  documents.release_list = maker_.Seal(maker_.ListOf(2, {}));
  ExpectRefused(documents, kDenied, "is not in release list version 2");
}

TEST_F(VerifierTest, ASequenceThatNothingCouldFollowIsRefused) {
  Assignment assignment = GoodAssignment();
  assignment.set_sequence(~uint64_t{0});
  ExpectRefused(With(assignment), kInvalid, "sequence 18446744073709551615 is out of range");
}

TEST_F(VerifierTest, HigherAttemptOrSequenceIsNew) {
  Accepted(7, 1);
  Assignment again = GoodAssignment();
  again.set_attempt(2);
  EXPECT_FALSE(VerifyDesired(With(again), unit_, trust_)->repeated);
  EXPECT_FALSE(VerifyDesired(Good(8), unit_, trust_)->repeated);
}

TEST_F(VerifierTest, OlderReleaseListIsRefused) {
  trust_.set_release_list_version(2);
  ExpectRefused(Good(), kPrecondition, "release list: version 1 is older than version 2");
}

// ---- Addressed to this unit ----

TEST_F(VerifierTest, AnotherUnitsAssignmentIsRefused) {
  Assignment assignment = GoodAssignment();
  assignment.set_unit_id("gw-18");
  ExpectRefused(With(assignment), kDenied, "for unit \"gw-18\", this is \"gw-17\"");
}

TEST_F(VerifierTest, AnotherNamespaceIsRefusedEvenWithTheSameKeys) {
  Assignment assignment = GoodAssignment();
  assignment.set_namespace_("other");
  ExpectRefused(With(assignment), kDenied, "namespace \"other\"");
  Release release = Rootfs();
  release.set_namespace_("other");
  ExpectRefused(With(release), kDenied, "namespace \"other\"");
}

TEST_F(VerifierTest, AnotherHardwareIsRefused) {
  Release release = Rootfs();
  release.mutable_components(0)->add_hardware("rev-a");
  ExpectRefused(With(release), kDenied, "is for hardware rev-a; this unit is \"rev-b\"");
}

TEST_F(VerifierTest, OnlyTheEntriesForThisHardwareAreTaken) {
  Release release = Rootfs();
  *release.add_components() = release.components(0);
  release.mutable_components(0)->add_hardware("rev-a");
  release.mutable_components(1)->add_hardware("rev-b");
  release.mutable_components(1)->set_version("1.1.0-b");
  absl::StatusOr<AcceptedDesired> accepted = VerifyDesired(With(release), unit_, trust_);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  ASSERT_EQ(accepted->releases[0].release.components_size(), 1);
  EXPECT_EQ(accepted->releases[0].release.components(0).version(), "1.1.0-b");
}

TEST_F(VerifierTest, OnlyThePlanesOfTheAssignmentAreTaken) {
  const Release release =
      maker_.ReleaseOf("r", {{.id = "rootfs", .type = "linux", .version = "2"},
                             {.id = "maps", .type = "maps", .version = "8", .plane = release::v1::MODEL}});
  const std::string envelope = maker_.Seal(release);
  DesiredEnvelopes documents = Documents(maker_.Desired("gw-17", 7, {envelope}));
  EXPECT_EQ(VerifyDesired(documents, unit_, trust_)->releases[0].release.components_size(), 2);
  Assignment assignment = maker_.AssignmentOf("gw-17", 7, {envelope});
  assignment.mutable_planes()->RemoveLast();
  documents.assignment = maker_.Seal(assignment);
  absl::StatusOr<AcceptedDesired> one = VerifyDesired(documents, unit_, trust_);
  ASSERT_EQ(one->releases[0].release.components_size(), 1);
  EXPECT_EQ(one->releases[0].release.components(0).component_id(), "rootfs");
  assignment.mutable_planes(0)->set_plane(release::v1::CONFIG);
  documents.assignment = maker_.Seal(assignment);
  ExpectRefused(documents, kInvalid, "takes plane CONFIG from release \"r\"");
}

// ---- What may be installed ----

TEST_F(VerifierTest, WithdrawnReleaseIsRefusedWithAGenuineSignature) {
  DesiredEnvelopes documents = Good();
  documents.release_list = maker_.Seal(maker_.ListOf(1, {}));
  ExpectRefused(documents, kDenied, "not in release list version 1");
}

TEST_F(VerifierTest, ReleaseThatDidNotComeIsNamed) {
  DesiredEnvelopes documents = Good();
  documents.releases.clear();
  ExpectRefused(documents, kInvalid, "did not come with it");
}

TEST_F(VerifierTest, BelowTheSecurityFloorIsRefused) {
  (*trust_.mutable_security_floor())["linux"] = 5;
  Release release = Rootfs();
  release.mutable_components(0)->set_security_version(4);
  ExpectRefused(With(release), kDenied, "below this unit's floor of 5");
  // Neither a commit in the past nor a rollback mark lifts the floor.
  release.set_rollback_target(true);
  trust_.add_committed_releases(PayloadDigest(maker_.Seal(release)));
  ExpectRefused(With(release), kDenied, "below this unit's floor of 5");
  release.mutable_components(0)->set_security_version(5);
  EXPECT_TRUE(VerifyDesired(With(release), unit_, trust_).ok());
}

TEST_F(VerifierTest, TheWayBackIsOnlyToCommittedOrMarkedReleases) {
  ExpectRefused(With(Rootfs("0.9.0")), kDenied, "from 1.0.0 back to 0.9.0");
  Release marked = Rootfs("0.9.0");
  marked.set_rollback_target(true);
  EXPECT_TRUE(VerifyDesired(With(marked), unit_, trust_).ok());
  trust_.add_committed_releases(PayloadDigest(maker_.Seal(Rootfs("0.9.0"))));
  EXPECT_TRUE(VerifyDesired(With(Rootfs("0.9.0")), unit_, trust_).ok());
}

TEST_F(VerifierTest, ARollbackGoesNowhereNewWhateverItsVersionText) {
  Assignment assignment = GoodAssignment();
  assignment.set_rollback_of(std::string(32, 'r'));
  ExpectRefused(With(assignment), kDenied, "back to 1.1.0");
  trust_.add_committed_releases(PayloadDigest(maker_.Seal(Rootfs())));
  EXPECT_TRUE(VerifyDesired(With(assignment), unit_, trust_).ok());
}

TEST_F(VerifierTest, RequirementsHoldOverInstalledAndUpdatedTogether) {
  Release release = Rootfs();
  release::v1::Requirement* requirement = release.mutable_components(0)->add_requirements();
  requirement->set_component_type("stm32");
  requirement->set_min_version("3.1");
  EXPECT_TRUE(VerifyDesired(With(release), unit_, trust_).ok());
  requirement->set_min_version("3.2");
  ExpectRefused(With(release), kPrecondition, "requires stm32 >= 3.2, but \"mcu\" would have 3.1.0");
  // The same update brings it.
  *release.add_components() = release.components(0);
  release.mutable_components(1)->set_component_id("mcu");
  release.mutable_components(1)->set_component_type("stm32");
  release.mutable_components(1)->set_version("3.2.0");
  EXPECT_TRUE(VerifyDesired(With(release), unit_, trust_).ok());
  release.mutable_components(0)->mutable_requirements(0)->set_component_type("radar");
  ExpectRefused(With(release), kPrecondition, "no component of that type");
}

TEST_F(VerifierTest, ATypeEntryCountsForEveryComponentOfIt) {
  unit_.installed.push_back({"mcu2", "stm32", "1.0.0"});
  Release release = maker_.ReleaseOf("r", {{.type = "stm32", .version = "4.0.0"}});
  release::v1::Requirement* requirement = release.mutable_components(0)->add_requirements();
  requirement->set_component_type("stm32");
  requirement->set_min_version("4.0.0");
  EXPECT_TRUE(VerifyDesired(With(release), unit_, trust_).ok());
}

TEST_F(VerifierTest, TwoReleasesForOnePlaneAreRefused) {
  const std::string a = maker_.Seal(Rootfs("1.1.0"));
  const std::string b = maker_.Seal(Rootfs("1.2.0"));
  ExpectRefused(Documents(maker_.Desired("gw-17", 7, {a, b})), kInvalid, "two releases for plane FIRMWARE");
}

TEST_F(VerifierTest, AComponentInTwoReleasesIsRefused) {
  const std::string a = maker_.Seal(Rootfs());
  const std::string b = maker_.Seal(
      maker_.ReleaseOf("model", {{.id = "rootfs", .type = "linux", .version = "5", .plane = release::v1::MODEL}}));
  ExpectRefused(Documents(maker_.Desired("gw-17", 7, {a, b})), kInvalid, "is in release \"r-1.1.0\" and in release");
}

TEST_F(VerifierTest, AComponentListedTwiceIsRefused) {
  const Release release =
      maker_.ReleaseOf("r", {{.id = "rootfs", .type = "linux", .version = "2"}, {.type = "linux", .version = "3"}});
  ExpectRefused(With(release), kInvalid, "listed twice");
}

TEST_F(VerifierTest, BaseUrlsOfOtherKindsAreRefused) {
  for (const char* url : {"ftp://example.com/", "file:///etc/"}) {
    Assignment assignment = GoodAssignment();
    assignment.add_base_urls(url);
    ExpectRefused(With(assignment), kInvalid, "is not http or https");
  }
}

TEST_F(VerifierTest, TheOnlineKeyRunsNothingOnAUnit) {
  Assignment assignment = GoodAssignment();
  release::v1::Probe& probe = *assignment.add_preconditions();
  probe.set_name("ask");
  probe.mutable_exec()->add_command("id");
  ExpectRefused(With(assignment), kInvalid, "precondition \"ask\" is of kind exec");
  probe.mutable_http()->set_url("http://169.254.169.254/");
  ExpectRefused(With(assignment), kInvalid, "is of kind http");
  probe.mutable_memory()->set_min_available_bytes(1);
  EXPECT_TRUE(VerifyDesired(With(assignment), unit_, trust_).ok());
}

// ---- Key rotation ----

TEST_F(VerifierTest, KeyRotationInTheDesiredStateIsWalked) {
  const PrivateKey fresh = GenerateOrDie();
  DesiredEnvelopes documents = Good();
  documents.key_sets.push_back(RotateAssignmentKey(fresh));
  ExpectRefused(documents, kDenied, "role assignment of key set version 2");
  documents.assignment = SealOrDie(GoodAssignment(), kAssignmentType, {fresh});
  absl::StatusOr<AcceptedDesired> accepted = VerifyDesired(documents, unit_, trust_);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  EXPECT_EQ(accepted->key_set_version, 2u);
  EXPECT_EQ(accepted->key_sets, documents.key_sets);
}

TEST_F(VerifierTest, AForgedKeySetIsRefused) {
  const TestMaker stranger("acme");
  KeySet second = stranger.FirstKeySet();
  second.set_version(2);
  DesiredEnvelopes documents = Good();
  documents.key_sets.push_back(SealOrDie(second, kKeySetType, stranger.root));
  ExpectRefused(documents, kDenied, "key sets of the desired state");
}

TEST_F(VerifierTest, AKeyThiefCannotPushTheSequenceToItsEnd) {
  Accepted(~uint64_t{0});
  const PrivateKey fresh = GenerateOrDie();
  DesiredEnvelopes documents = Good();
  documents.key_sets.push_back(RotateAssignmentKey(fresh));
  documents.assignment = SealOrDie(GoodAssignment(8), kAssignmentType, {fresh});
  EXPECT_TRUE(VerifyDesired(documents, unit_, trust_).ok());
}

TEST_F(VerifierTest, RotationOfOtherRolesDoesNotReopenOldSequences) {
  Accepted(8);
  KeySet second = maker_.FirstKeySet();
  second.set_version(2);
  DesiredEnvelopes documents = Good(7);
  documents.key_sets.push_back(SealOrDie(second, kKeySetType, maker_.root));
  ExpectRefused(documents, kPrecondition, "older than the accepted sequence 8");
}

}  // namespace
}  // namespace tandem::cm
