#include "cm/artifacts/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "common/crypto/desired_documents.h"
#include "common/crypto/sha256.h"
#include "common/process/run_command.h"
#include "common/storage/file_system.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;

class BundleTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "bundle_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    std::filesystem::create_directory(folder_ + "/artifacts");
    Write("desired", *SerializeDesired(maker_.Desired(
                         "gw", 1, {maker_.MakeRelease("r", {{.id = "a", .type = "t", .version = "1"}})})));
    for (const std::string& content : {big_, small_}) Write("artifacts/" + HexEncode(Sha256(content)), content);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) { std::ofstream(folder_ + "/" + name) << content; }
  // With the system's tar, as somebody may make one by hand.
  std::string Tar(std::vector<std::string> members, const std::string& option = "-cf") {
    const std::string path = folder_ + "/b.tar";
    std::vector<std::string> argv = {"tar", "-C", folder_, option, path};
    argv.insert(argv.end(), members.begin(), members.end());
    EXPECT_TRUE(RunCommandOk({.argv = argv}).ok());
    return path;
  }
  void ExpectRefused(const std::string& path, absl::StatusCode code, const std::string& text) {
    const absl::Status status = OpenBundle(path).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
    EXPECT_THAT(std::string(status.message()), HasSubstr(path));
  }

  TestMaker maker_{"acme"};
  std::string folder_;
  const std::string big_ = std::string(300'000, 'b') + "end";
  const std::string small_ = "small";
};

TEST_F(BundleTest, ArtifactsAreFoundAtTheirPlaceInTheTar) {
  for (const char* format : {"--format=pax", "--format=gnu", "--format=ustar"}) {
    const std::string path = Tar({format, "desired", "artifacts"});
    absl::StatusOr<Bundle> bundle = OpenBundle(path);
    ASSERT_TRUE(bundle.ok()) << bundle.status();
    EXPECT_FALSE(bundle->documents.assignment.empty());
    EXPECT_EQ(bundle->documents.releases.size(), 1u);
    ASSERT_EQ(bundle->artifacts.size(), 2u);
    auto file = FileSystem::Real().Open(path, FileSystem::OpenMode::kReadOnly);
    for (const std::string& content : {big_, small_}) {
      const FileRange range = bundle->artifacts.at(Sha256(content));
      EXPECT_EQ(*(*file)->ReadAt(range.offset, range.size), content);
    }
  }
}

TEST_F(BundleTest, ABundleCutAnywhereIsRefused) {
  const std::string path = Tar({"desired", "artifacts"});
  const std::string whole = *FileSystem::Real().ReadFile(path);
  const size_t content = whole.find_last_not_of('\0') + 1;
  for (size_t size = 1; size < content; size += 511) {
    Write("cut.tar", whole.substr(0, size));
    const absl::Status status = OpenBundle(folder_ + "/cut.tar").status();
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) << size << ": " << status;
  }
  // At the end of a member, where a tar looks like a shorter one.
  for (size_t size = 512; size < content; size += 512) {
    Write("cut.tar", whole.substr(0, size));
    EXPECT_FALSE(OpenBundle(folder_ + "/cut.tar").ok()) << size;
  }
}

TEST_F(BundleTest, WhatIsNoBundleIsRefusedByName) {
  Write("garbage", std::string(5000, 'g'));
  ExpectRefused(folder_ + "/garbage", absl::StatusCode::kInvalidArgument, "not a tar");
  Write("empty", "");
  EXPECT_FALSE(OpenBundle(folder_ + "/empty").ok());
  EXPECT_EQ(OpenBundle(folder_ + "/missing").status().code(), absl::StatusCode::kNotFound);
  ExpectRefused(Tar({"desired", "artifacts"}, "-czf"), absl::StatusCode::kInvalidArgument, "not a tar");
  ExpectRefused(Tar({"artifacts", "desired"}), absl::StatusCode::kInvalidArgument, "must come first");
  Write("other", "x");
  ExpectRefused(Tar({"desired", "other"}), absl::StatusCode::kInvalidArgument, "unexpected member \"other\"");
  std::filesystem::create_symlink("/etc/passwd", folder_ + "/artifacts/" + std::string(64, 'a'));
  ExpectRefused(Tar({"desired", "artifacts"}), absl::StatusCode::kInvalidArgument, "no plain file");
  Write("desired", "{}");
  ExpectRefused(Tar({"desired"}), absl::StatusCode::kInvalidArgument, "\"assignment\"");
}

}  // namespace
}  // namespace tandem::cm
