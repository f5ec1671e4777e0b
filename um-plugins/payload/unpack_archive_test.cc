#include "um-plugins/payload/unpack_archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "common/process/run_command.h"
#include "common/storage/file_system.h"

namespace tandem::plugins {
namespace {

class UnpackArchiveTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/unpack_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    for (const char* name : {"in/sub", "out"}) ASSERT_TRUE(fs_.MakeFolders(At(name)).ok());
    ASSERT_TRUE(fs_.WriteFileAtomically(At("in/sub/file"), "content").ok());
    ASSERT_TRUE(fs_.WriteFileAtomically(At("secret"), "secret").ok());
  }
  void TearDown() override { EXPECT_TRUE(fs_.RemoveTree(folder_).ok()); }

  std::string At(const std::string& name) const { return JoinPath(folder_, name); }
  // Makes a.tar with a shell line run in the folder, and unpacks it.
  absl::Status Unpack(const std::string& script) {
    const absl::Status made = RunCommandOk({.argv = {"sh", "-ec", "cd " + folder_ + "; " + script}});
    EXPECT_TRUE(made.ok()) << made;
    return UnpackArchive(At("a.tar"), At("out"));
  }

  FileSystem& fs_ = FileSystem::Real();
  std::string folder_;
};

TEST_F(UnpackArchiveTest, UnpacksFilesFoldersAndLinksInside) {
  for (const std::string compression : {"", "z", "J"}) {
    ASSERT_TRUE(fs_.RemoveTree(At("out")).ok());
    ASSERT_TRUE(fs_.MakeFolders(At("out")).ok());
    const absl::Status status =
        Unpack("ln -sf sub/file in/link; ln -f in/sub/file in/hard; tar c" + compression + "f a.tar -C in .");
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(fs_.ReadFile(At("out/sub/file")).value(), "content");
    EXPECT_EQ(fs_.ReadFile(At("out/link")).value(), "content");
    EXPECT_EQ(fs_.ReadFile(At("out/hard")).value(), "content");
  }
}

TEST_F(UnpackArchiveTest, TheFolderMayLieBehindASymlink) {
  // As /data -> /mnt/data on many computers.
  ASSERT_TRUE(fs_.MakeFolders(At("mnt/data/model")).ok());
  ASSERT_TRUE(fs_.SwitchSymlink("mnt/data", At("data")).ok());
  ASSERT_TRUE(
      RunCommandOk({.argv = {"sh", "-ec", "cd " + folder_ + "; ln -s sub/file in/link; tar cf a.tar -C in ."}}).ok());
  const absl::Status status = UnpackArchive(At("a.tar"), At("data/model"));
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(fs_.ReadFile(At("mnt/data/model/sub/file")).value(), "content");
  EXPECT_EQ(fs_.ReadFile(At("data/model/link")).value(), "content");
}

TEST_F(UnpackArchiveTest, RefusesPathsThatLeadOutside) {
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("tar cPf a.tar --transform 's,^secret,../evil,' secret")));
  EXPECT_FALSE(fs_.Exists(At("evil")));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("tar cPf a.tar --transform 's,^secret,sub/../../evil,' secret")));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("tar cPf a.tar " + At("secret"))));
  EXPECT_FALSE(fs_.Exists(At("evil")));
}

TEST_F(UnpackArchiveTest, RefusesSymlinksThatPointOutside) {
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("ln -s /etc in/etc; tar cf a.tar -C in .")));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("rm in/etc; ln -s ../../secret in/sub/up; tar cf a.tar -C in .")));
}

TEST_F(UnpackArchiveTest, DoesNotWriteThroughASymlink) {
  // First a link "d" -> "sub", then a file "d/file" in the same archive.
  const absl::Status status = Unpack(
      "mkdir x; ln -s ../secret-folder x/d; mkdir secret-folder; tar cf a.tar -C x d; rm x/d; mkdir x/d; echo bad > "
      "x/d/f; tar rf a.tar -C x d/f");
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(fs_.Exists(At("secret-folder/f")));
}

TEST_F(UnpackArchiveTest, RefusesHardLinksToTheOutsideAndDevices) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Unpack("mkdir y; ln secret y/a; ln secret y/b; tar cPf a.tar --transform 's,^y/a,../secret,' y/a y/b")));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("mkfifo in/pipe; tar cf a.tar -C in .")));
}

TEST_F(UnpackArchiveTest, DropsSetIdBits) {
  ASSERT_TRUE(Unpack("chmod 4755 in/sub/file; tar cf a.tar -C in .").ok());
  struct stat info {};
  ASSERT_EQ(stat(At("out/sub/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0755);
}

TEST_F(UnpackArchiveTest, ADamagedArchiveIsDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(Unpack("head -c 5000 /dev/urandom > a.tar")));
  EXPECT_TRUE(absl::IsDataLoss(
      Unpack("head -c 100000 /dev/urandom > in/big; tar cf b.tar -C in .; head -c 50000 b.tar > a.tar")));
}

}  // namespace
}  // namespace tandem::plugins
