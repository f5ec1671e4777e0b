#include "common/storage/fake_file_system.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace tandem {
namespace {

using ::testing::ElementsAre;

TEST(FakeFileSystemTest, SyncedDataSurvivesAPowerCut) {
  FakeFileSystem fs;
  fs.PutDevice("/dev/b", 16);
  auto device = fs.Open("/dev/b", FileSystem::OpenMode::kReadWrite).value();
  ASSERT_TRUE(device->WriteAt(4, "data").ok());
  ASSERT_TRUE(device->Sync().ok());
  fs.PowerCut(1);
  fs.Reboot();
  EXPECT_EQ(fs.ReadFile("/dev/b").value(), std::string(4, '\0') + "data" + std::string(8, '\0'));
  EXPECT_FALSE(device->ReadAt(0, 1).ok()) << "opened before the power cut";
}

TEST(FakeFileSystemTest, UnsyncedWritesAreKeptTornDroppedAndReordered) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    FakeFileSystem fs;
    fs.Put("/f", "........");
    auto file = fs.Open("/f", FileSystem::OpenMode::kReadWrite).value();
    ASSERT_TRUE(file->WriteAt(0, "aaaa").ok());
    ASSERT_TRUE(file->WriteAt(4, "bbbb").ok());
    ASSERT_EQ(fs.ReadFile("/f").value(), "aaaabbbb");
    fs.PowerCut(seed);
    EXPECT_FALSE(fs.ReadFile("/f").ok()) << "the power is off";
    fs.Reboot();
    seen.insert(fs.ReadFile("/f").value());
  }
  EXPECT_TRUE(seen.contains("........"));
  EXPECT_TRUE(seen.contains("aaaabbbb"));
  EXPECT_TRUE(seen.contains("....bbbb"));
  EXPECT_TRUE(seen.contains("aa......"));
}

TEST(FakeFileSystemTest, ANewFileWhoseFolderWasNotSyncedMayBeLost) {
  std::set<bool> seen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    FakeFileSystem fs;
    auto file = fs.Open("/f", FileSystem::OpenMode::kCreate).value();
    ASSERT_TRUE(file->WriteAt(0, "a").ok());
    ASSERT_TRUE(file->Sync().ok());
    fs.PowerCut(seed);
    fs.Reboot();
    seen.insert(fs.Exists("/f"));
  }
  EXPECT_THAT(seen, ElementsAre(false, true));
}

TEST(FakeFileSystemTest, RenameWithinAFolderIsAllOrNothing) {
  std::set<std::string> seen;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    FakeFileSystem fs;
    fs.Put("/d/old", "1");
    fs.Put("/d/new", "2");
    ASSERT_TRUE(fs.Rename("/d/new", "/d/old").ok());
    fs.PowerCut(seed);
    fs.Reboot();
    seen.insert(fs.ReadFile("/d/old").value() + (fs.Exists("/d/new") ? " both" : ""));
  }
  EXPECT_THAT(seen, ElementsAre("1 both", "2"));
}

TEST(FakeFileSystemTest, TheNamedCallFailsAndOnlyIt) {
  FakeFileSystem fs;
  fs.Put("/f", "");
  auto file = fs.Open("/f", FileSystem::OpenMode::kReadWrite).value();
  fs.FailCall(2, absl::ResourceExhaustedError("no space left on device"));
  EXPECT_TRUE(file->WriteAt(0, "a").ok());
  EXPECT_TRUE(absl::IsResourceExhausted(file->WriteAt(1, "b")));
  EXPECT_TRUE(file->WriteAt(1, "b").ok());
}

TEST(FakeFileSystemTest, FollowsSymlinksLikeAKernel) {
  FakeFileSystem fs;
  fs.Put("/m/versions/1/payload", "one");
  fs.Put("/m/versions/2/payload", "two");
  ASSERT_TRUE(fs.SwitchSymlink("versions/1", "/m/current").ok());
  EXPECT_EQ(fs.ReadFile("/m/current/payload").value(), "one");
  ASSERT_TRUE(fs.SwitchSymlink("versions/2", "/m/current").ok());
  EXPECT_EQ(fs.ReadFile("/m/current/payload").value(), "two");
  EXPECT_EQ(fs.ReadSymlink("/m/current").value(), "versions/2");
  ASSERT_TRUE(fs.RemoveTree("/m/versions/2").ok());
  EXPECT_FALSE(fs.Exists("/m/current"));
  EXPECT_THAT(fs.List("/m").value(), ElementsAre("current", "versions"));
}

TEST(FakeFileSystemTest, SymlinkIsOldOrNewAfterAPowerCutAtAnyCall) {
  for (uint64_t call = 1;; ++call) {
    FakeFileSystem fs;
    fs.Put("/m/keep", "");
    ASSERT_TRUE(fs.SwitchSymlink("1", "/m/current").ok());
    fs.CutPowerAtCall(call, call);
    (void)fs.SwitchSymlink("2", "/m/current");
    if (!fs.power_lost()) break;
    fs.Reboot();
    const auto target = fs.ReadSymlink("/m/current");
    ASSERT_TRUE(target.ok()) << target.status();
    ASSERT_TRUE(*target == "1" || *target == "2");
  }
}

TEST(FakeFileSystemTest, ADeviceEndsWhereItEnds) {
  FakeFileSystem fs;
  fs.PutDevice("/dev/b", 8);
  auto device = fs.Open("/dev/b", FileSystem::OpenMode::kReadWrite).value();
  EXPECT_TRUE(absl::IsResourceExhausted(device->WriteAt(6, "abc")));
  EXPECT_EQ(device->Size().value(), 8);
  EXPECT_FALSE(device->Truncate(4).ok());
}

TEST(FakeFileSystemTest, SharingEndsWithoutPower) {
  FakeFileSystem fs;
  ASSERT_TRUE(fs.MakeSharedFolders("/a/b").ok());
  EXPECT_TRUE(fs.IsShared("/a"));
  EXPECT_TRUE(fs.IsShared("/a/b"));
  fs.PowerCut(1);
  EXPECT_FALSE(fs.MakeSharedFolders("/a/b/c").ok());
}

}  // namespace
}  // namespace tandem
