#include "common/crypto/signed_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "common/crypto/desired_documents.h"
#include "common/crypto/sha256.h"
#include "tests/support/test_documents.h"

namespace tandem {
namespace {

using release::v1::Release;
using testing::HasSubstr;

class SignedMetadataTest : public testing::Test {
 protected:
  Release Valid() { return maker_.ReleaseOf("r1", {{.id = "gw", .type = "rootfs", .version = "1.0.0"}}); }

  TestMaker maker_{"acme"};
  TrustedKeys keys_ = *TrustedKeys::FromFirst(maker_.KeySetEnvelope(), "acme");
};

TEST_F(SignedMetadataTest, ReleaseOpensWithItsDigest) {
  const std::string envelope = maker_.Seal(Valid());
  absl::StatusOr<Signed<Release>> release = OpenRelease(envelope, keys_);
  ASSERT_TRUE(release.ok()) << release.status();
  EXPECT_EQ(release->document.release_id(), "r1");
  EXPECT_EQ(release->digest, Sha256(Valid().SerializeAsString()));
  EXPECT_EQ(release->envelope, envelope);
}

TEST_F(SignedMetadataTest, DocumentsOpenOnlyAsWhatTheyAreAndByTheirRole) {
  const std::string release = maker_.Seal(Valid());
  EXPECT_EQ(OpenReleaseList(release, keys_).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenAssignment(release, keys_).status().code(), absl::StatusCode::kInvalidArgument);
  const std::string by_online_key = SealOrDie(Valid(), kReleaseType, maker_.assignment);
  EXPECT_EQ(OpenRelease(by_online_key, keys_).status().code(), absl::StatusCode::kPermissionDenied);
  const std::string by_one_of_two = SealOrDie(Valid(), kReleaseType, {maker_.release[0]});
  EXPECT_THAT(std::string(OpenRelease(by_one_of_two, keys_).status().message()), HasSubstr("signed by 1"));
}

TEST_F(SignedMetadataTest, OtherNamespaceIsRefused) {
  Release release = Valid();
  release.set_namespace_("other");
  EXPECT_EQ(OpenRelease(maker_.Seal(release), keys_).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(SignedMetadataTest, ReleasesThatContradictThemselvesAreRefused) {
  const std::vector<std::pair<std::string, std::function<void(Release&)>>> broken = {
      {"release_id", [](Release& r) { r.clear_release_id(); }},
      {"no plane", [](Release& r) { r.clear_planes(); }},
      {"no plane or no component", [](Release& r) { r.clear_components(); }},
      {"listed twice", [](Release& r) { r.add_planes(release::v1::FIRMWARE); }},
      {"listed twice", [](Release& r) { *r.add_components() = Release(r).components(0); }},
      {"not one of the release's planes", [](Release& r) { r.mutable_components(0)->set_plane(release::v1::MODEL); }},
      {"version", [](Release& r) { r.mutable_components(0)->clear_version(); }},
      {"component_type", [](Release& r) { r.mutable_components(0)->clear_component_type(); }},
      {"32 bytes", [](Release& r) { r.mutable_components(0)->set_sha256("short"); }},
      {"path", [](Release& r) { r.mutable_components(0)->set_path("../../etc/passwd"); }},
      {"path", [](Release& r) { r.mutable_components(0)->set_path("/etc/passwd"); }},
      {"path", [](Release& r) { r.mutable_components(0)->set_path("a//b"); }},
      {"path", [](Release& r) { r.mutable_components(0)->clear_path(); }},
      {"chunk_size", [](Release& r) { r.mutable_components(0)->mutable_chunks(); }},
      {"digests", [](Release& r) { r.mutable_components(0)->mutable_chunks()->set_chunk_size(4); }},
      {"annotations", [](Release& r) { r.mutable_components(0)->set_annotations("[1]"); }},
      {"requirement", [](Release& r) { r.mutable_components(0)->add_requirements(); }},
  };
  ASSERT_TRUE(CheckRelease(Valid()).ok());
  for (const auto& [text, change] : broken) {
    Release release = Valid();
    change(release);
    const absl::Status status = OpenRelease(maker_.Seal(release), keys_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << release.ShortDebugString();
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
}

TEST_F(SignedMetadataTest, ChunkDigestsThatFitTheSizePass) {
  Release release = Valid();
  release.mutable_components(0)->set_size(9);
  release.mutable_components(0)->mutable_chunks()->set_chunk_size(4);
  release.mutable_components(0)->mutable_chunks()->set_digests(std::string(3 * 32, 'd'));
  EXPECT_TRUE(CheckRelease(release).ok());
}

TEST_F(SignedMetadataTest, OneTypeForTwoKindsOfHardwareIsNoDuplicate) {
  Release release = Valid();
  release.mutable_components(0)->add_hardware("rev-a");
  *release.add_components() = release.components(0);
  release.mutable_components(1)->set_hardware(0, "rev-b");
  EXPECT_TRUE(CheckRelease(release).ok());
  release.mutable_components(1)->add_hardware("rev-a");
  EXPECT_FALSE(CheckRelease(release).ok());
}

TEST_F(SignedMetadataTest, TwoReleasesForOnePlaneAreRefused) {
  const std::string one = maker_.Seal(Valid());
  release::v1::Assignment assignment = maker_.AssignmentOf("unit", 1, {one, one});
  EXPECT_THAT(std::string(OpenAssignment(maker_.Seal(assignment), keys_).status().message()),
              HasSubstr("two releases for plane FIRMWARE"));
}

TEST_F(SignedMetadataTest, DesiredDocumentsRoundTrip) {
  const DesiredEnvelopes desired = maker_.Desired("unit", 1, {maker_.Seal(Valid())});
  absl::StatusOr<std::string> json = SerializeDesired(desired);
  ASSERT_TRUE(json.ok());
  absl::StatusOr<DesiredEnvelopes> again = ParseDesired(*json);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(SerializeDesired(*again).value_or(""), SerializeDesired(*ParseDesired(*SerializeDesired(*again))).value());
  EXPECT_TRUE(OpenAssignment(again->assignment, keys_).ok());
  EXPECT_TRUE(OpenRelease(again->releases.at(0), keys_).ok());
  EXPECT_TRUE(OpenReleaseList(again->release_list, keys_).ok());
  EXPECT_TRUE(TrustedKeys::FromFirst(again->key_sets.at(0), "acme").ok());
}

TEST_F(SignedMetadataTest, UnreadableDesiredDocumentsSayWhatIsWrong) {
  EXPECT_THAT(std::string(ParseDesired("{}").status().message()), HasSubstr("\"assignment\""));
  EXPECT_THAT(std::string(ParseDesired("{\"assignment\":{},\"releases\":[7]}").status().message()),
              HasSubstr("\"releases\""));
  EXPECT_FALSE(ParseDesired("").ok());
  EXPECT_FALSE(ParseDesired(std::string(kMaxDesiredBytes + 1, ' ')).ok());
  EXPECT_FALSE(SerializeDesired({.assignment = "no json"}).ok());
  EXPECT_FALSE(ParseKeySets("{}").ok());
}

}  // namespace
}  // namespace tandem
