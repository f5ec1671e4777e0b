#include "um/prepare_request.h"

#include "common/crypto/desired_documents.h"
#include "common/crypto/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/test_documents.h"

namespace tandem::um {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace umv2 = updatemanager::v2;

class PrepareRequestTest : public testing::Test {
 protected:
  PrepareRequestTest() : maker_("acme", clock_.Now()) {
    release_ = maker_.MakeRelease("r1", {{.id = "a", .type = "t", .version = "2", .content = "bytes"}});
    trust_ = {.key_set = maker_.KeySetEnvelope(), .name_space = "acme", .unit_id = "unit-1"};
  }

  umv2::PrepareUpdate Command(const DesiredEnvelopes& desired) {
    nlohmann::json annotations = {{"ours", 1}};
    annotations["tandem"] = nlohmann::json::parse(SerializeDesired(desired).value());
    annotations["tandem"]["mirrors"] = {"http://m/a"};
    umv2::PrepareUpdate command;
    umv2::PrepareComponentInfo& info = *command.add_components();
    info.set_component_id("a");
    info.set_component_type("t");
    info.set_version("2");
    info.set_url("http://s/a");
    info.set_sha256(Sha256("bytes"));
    info.set_size(5);
    info.set_annotations(annotations.dump());
    return command;
  }
  umv2::PrepareUpdate Good() { return Command(maker_.Desired("unit-1", 1, {release_})); }

  std::string ErrorOf(const umv2::PrepareUpdate& command, absl::StatusCode code) {
    const auto artifacts = ReadPrepare(command, trust_, clock_);
    EXPECT_EQ(artifacts.status().code(), code) << artifacts.status();
    return std::string(artifacts.status().message());
  }

  FakeClock clock_;
  TestMaker maker_;
  std::string release_;
  PrepareTrust trust_;
};

TEST_F(PrepareRequestTest, GivesThePluginWhatTheSignedReleaseSays) {
  const auto artifacts = ReadPrepare(Good(), trust_, clock_);
  ASSERT_TRUE(artifacts.ok()) << artifacts.status();
  const Artifact& artifact = artifacts->at(0);
  EXPECT_THAT(artifact.urls, ElementsAre("http://s/a", "http://m/a"));
  EXPECT_EQ(artifact.annotations, R"({"ours":1})");
  EXPECT_EQ(artifact.chunk_digests.size() % kSha256Size, 0u);
}

TEST_F(PrepareRequestTest, WithAKeySetRefusesBytesThatNoSignedReleaseNames) {
  umv2::PrepareUpdate command = Good();
  command.mutable_components(0)->set_sha256(Sha256("evil"));
  EXPECT_THAT(ErrorOf(command, absl::StatusCode::kPermissionDenied), HasSubstr("no signed release"));
}

TEST_F(PrepareRequestTest, WithAKeySetRefusesAStrangersSignature) {
  const TestMaker stranger("acme", clock_.Now());
  ErrorOf(Command(stranger.Desired("unit-1", 1, {release_})), absl::StatusCode::kPermissionDenied);
}

TEST_F(PrepareRequestTest, WithAKeySetRefusesAnotherUnitsAssignment) {
  EXPECT_THAT(ErrorOf(Command(maker_.Desired("unit-2", 1, {release_})), absl::StatusCode::kPermissionDenied),
              HasSubstr("unit-2"));
}

TEST_F(PrepareRequestTest, WithAKeySetRefusesWhatComesWithoutDocuments) {
  umv2::PrepareUpdate command = Good();
  command.mutable_components(0)->clear_annotations();
  EXPECT_THAT(ErrorOf(command, absl::StatusCode::kPermissionDenied), HasSubstr("no signed documents"));
}

TEST_F(PrepareRequestTest, WithoutAUrlNothingCanBeFetched) {
  umv2::PrepareUpdate command = Good();
  umv2::PrepareComponentInfo& info = *command.mutable_components(0);
  info.clear_url();
  info.set_sha256(Sha256("evil"));
  info.set_annotations(R"({"tandem": {"assignment": {}, "mirrors": ["http://evil/a"], "headers": ["A: b"]}})");
  for (const PrepareTrust& trust : {trust_, PrepareTrust()}) {
    const auto artifacts = ReadPrepare(command, trust, clock_);
    ASSERT_TRUE(artifacts.ok()) << artifacts.status();
    const Artifact& artifact = artifacts->at(0);
    EXPECT_EQ(artifact.version, "2");
    EXPECT_THAT(artifact.urls, IsEmpty());
    EXPECT_THAT(artifact.headers, IsEmpty());
    EXPECT_EQ(artifact.sha256, "") << "bytes that are half there would be taken for whole";
    EXPECT_EQ(artifact.size, 0u);
  }
}

TEST_F(PrepareRequestTest, RefusesWhatIsIncomplete) {
  umv2::PrepareUpdate command = Good();
  command.mutable_components(0)->set_sha256("short");
  EXPECT_THAT(ErrorOf(command, absl::StatusCode::kInvalidArgument), HasSubstr("32"));
  command = Good();
  command.mutable_components(0)->set_annotations("[1]");
  EXPECT_THAT(ErrorOf(command, absl::StatusCode::kInvalidArgument), HasSubstr("JSON object"));
  EXPECT_THAT(ErrorOf({}, absl::StatusCode::kInvalidArgument), HasSubstr("no component"));
}

TEST_F(PrepareRequestTest, WithoutAKeySetTakesWhatCmSends) {
  umv2::PrepareUpdate command = Good();
  command.mutable_components(0)->clear_annotations();
  EXPECT_TRUE(ReadPrepare(command, {}, clock_).ok());
}

}  // namespace
}  // namespace tandem::um
