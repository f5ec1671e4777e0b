#include "um-plugins/payload/unpack_archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
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
    // What was unpacked before an error remains.
    EXPECT_TRUE(fs_.RemoveTree(At("out")).ok());
    EXPECT_TRUE(fs_.MakeFolders(At("out")).ok());
    return UnpackArchive(At("a.tar"), At("out"), max_bytes_);
  }

  FileSystem& fs_ = FileSystem::Real();
  uint64_t max_bytes_ = 64 << 20;
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
  const absl::Status status = UnpackArchive(At("a.tar"), At("data/model"), max_bytes_);
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

// What would run without its privileges, or be readable for more than it says, is refused and not dropped.
TEST_F(UnpackArchiveTest, RefusesWhatWouldBeLost) {
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("chmod 4755 in/sub/file; tar cf a.tar -C in .")));
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack("chmod 2755 in/sub/file; tar cf a.tar -C in .")));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Unpack("chmod 755 in/sub/file; tar cf a.tar --format=pax "
                                     "--pax-option=SCHILY.xattr.user.note:=1 -C in .")));
  EXPECT_TRUE(Unpack("tar cf a.tar -C in .").ok());
}

TEST_F(UnpackArchiveTest, RefusesSymlinksThatLeadOutsideThroughOthers) {
  // Each text alone stays inside.
  EXPECT_TRUE(
      absl::IsInvalidArgument(Unpack("ln -s . in/d; ln -s d/d/d/d/../../../../etc/passwd in/x; tar cf a.tar -C in .")));
  // The first is harmless where it is; its second name is nearer to the root.
  EXPECT_TRUE(
      absl::IsInvalidArgument(Unpack("rm in/d in/x; mkdir -p in/a/b; ln -s ../../sub in/a/b/l; "
                                     "ln -P in/a/b/l in/l2; tar cf a.tar -C in .")));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Unpack("rm -r in/a in/l2; ln -s l3 in/l4; ln -s l4 in/l3; tar cf a.tar -C in .")));
  EXPECT_TRUE(Unpack("rm in/l3 in/l4; ln -s nowhere in/l5; ln -s sub/../sub in/l6; tar cf a.tar -C in .").ok());
}

TEST_F(UnpackArchiveTest, StopsAtTheLimit) {
  max_bytes_ = 1 << 20;
  EXPECT_TRUE(absl::IsResourceExhausted(Unpack("head -c 2000000 /dev/zero > in/zeros; tar czf a.tar -C in .")));
  EXPECT_TRUE(absl::IsResourceExhausted(
      Unpack("rm in/zeros; for i in $(seq 3000); do : > in/e$i; done; tar czf a.tar -C in .")));
}

TEST_F(UnpackArchiveTest, NamesAreUtf8WhateverTheLocale) {
  ASSERT_TRUE(Unpack("f=$(printf 'in/\\303\\251t\\303\\251'); printf x > \"$f\"; "
                     "tar cf a.tar --format=pax -C in .")
                  .ok());
  EXPECT_EQ(fs_.ReadFile(At("out/\xc3\xa9t\xc3\xa9")).value(), "x");
}

TEST_F(UnpackArchiveTest, RunsNoProgramForACompression) {
  // libarchive would start lzop, grzip or lrzip for these.
  EXPECT_FALSE(Unpack("printf '\\211LZO\\000\\r\\n\\032\\n' > a.tar; head -c 1000 /dev/zero >> a.tar").ok());
}

TEST_F(UnpackArchiveTest, ADamagedArchiveIsDataLoss) {
  EXPECT_TRUE(absl::IsDataLoss(Unpack("head -c 5000 /dev/urandom > a.tar")));
  EXPECT_TRUE(absl::IsDataLoss(
      Unpack("head -c 100000 /dev/urandom > in/big; tar cf b.tar -C in .; head -c 50000 b.tar > a.tar")));
}

}  // namespace
}  // namespace tandem::plugins
