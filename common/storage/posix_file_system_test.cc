#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "common/storage/file_system.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PosixFileSystemTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/posix_fs_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(fs_.RemoveTree(folder_).ok()); }
  std::string At(const std::string& name) const { return JoinPath(folder_, name); }

  FileSystem& fs_ = FileSystem::Real();
  std::string folder_;
};

TEST(PathTest, JoinsAndSplits) {
  EXPECT_EQ(JoinPath("a/b", "c"), "a/b/c");
  EXPECT_EQ(JoinPath("a/", "c"), "a/c");
  EXPECT_EQ(JoinPath("/", "c"), "/c");
  EXPECT_EQ(JoinPath("", "c"), "c");
  EXPECT_EQ(ParentFolder("a/b/c"), "a/b");
  EXPECT_EQ(ParentFolder("a/b/"), "a");
  EXPECT_EQ(ParentFolder("/c"), "/");
  EXPECT_EQ(ParentFolder("c"), ".");
}

TEST_F(PosixFileSystemTest, WritesReadsAndTruncates) {
  auto file = fs_.Open(At("f"), FileSystem::OpenMode::kCreate).value();
  ASSERT_TRUE(file->WriteAt(3, "def").ok());
  ASSERT_TRUE(file->WriteAt(0, "abc").ok());
  ASSERT_TRUE(file->Sync().ok());
  ASSERT_TRUE(file->DropCache().ok());
  EXPECT_EQ(file->ReadAt(1, 3).value(), "bcd");
  EXPECT_EQ(file->ReadAt(4, 10).value(), "ef");
  EXPECT_EQ(file->ReadAt(10, 10).value(), "");
  ASSERT_TRUE(file->Truncate(2).ok());
  EXPECT_EQ(file->Size().value(), 2);
  auto again = fs_.Open(At("f"), FileSystem::OpenMode::kCreate).value();
  EXPECT_EQ(again->Size().value(), 2) << "kCreate never truncates";
}

TEST_F(PosixFileSystemTest, ErrorsNameThePath) {
  const auto opened = fs_.Open(At("none"), FileSystem::OpenMode::kReadWrite);
  EXPECT_TRUE(absl::IsNotFound(opened.status()));
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr(At("none")));
  EXPECT_TRUE(absl::IsNotFound(fs_.ReadFile(At("none")).status()));
  EXPECT_TRUE(absl::IsNotFound(fs_.Rename(At("none"), At("f"))));
  EXPECT_TRUE(absl::IsNotFound(fs_.List(At("none")).status()));
  EXPECT_TRUE(absl::IsNotFound(fs_.ReadSymlink(At("none")).status()));
}

TEST_F(PosixFileSystemTest, ReplacesAFileAsAWholeAndLeavesNothingElse) {
  ASSERT_TRUE(fs_.WriteFileAtomically(At("f"), "a longer first content").ok());
  ASSERT_TRUE(fs_.WriteFileAtomically(At("f"), "second").ok());
  EXPECT_EQ(fs_.ReadFile(At("f")).value(), "second");
  EXPECT_THAT(fs_.List(folder_).value(), ElementsAre("f"));
}

TEST_F(PosixFileSystemTest, ATemporaryFileLeftByACrashIsUsedAgain) {
  ASSERT_TRUE(fs_.WriteFileAtomically(At("f.tmp"), "left behind by a crash").ok());
  ASSERT_TRUE(fs_.WriteFileAtomically(At("f"), "new").ok());
  EXPECT_EQ(fs_.ReadFile(At("f")).value(), "new");
  EXPECT_THAT(fs_.List(folder_).value(), ElementsAre("f"));
}

TEST_F(PosixFileSystemTest, TwoWritersOfOnePathNeverMix) {
  const std::string a(100'000, 'a');
  const std::string b(50'000, 'b');
  ASSERT_TRUE(fs_.WriteFileAtomically(At("f"), a).ok());
  auto write = [&](const std::string& content) {
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(fs_.WriteFileAtomically(At("f"), content).ok());
  };
  std::thread one([&] { write(a); });
  std::thread two([&] { write(b); });
  for (int i = 0; i < 200; ++i) {
    const std::string content = fs_.ReadFile(At("f")).value();
    ASSERT_TRUE(content == a || content == b) << content.size();
  }
  one.join();
  two.join();
  EXPECT_THAT(fs_.List(folder_).value(), ElementsAre("f"));
}

TEST_F(PosixFileSystemTest, ReadFileRefusesMoreThanItsLimit) {
  ASSERT_TRUE(fs_.WriteFileAtomically(At("f"), "12345").ok());
  EXPECT_EQ(fs_.ReadFile(At("f"), 5).value(), "12345");
  EXPECT_TRUE(absl::IsOutOfRange(fs_.ReadFile(At("f"), 4).status()));
}

TEST_F(PosixFileSystemTest, ReadsFilesThatSayTheyAreEmpty) {
  EXPECT_FALSE(fs_.ReadFile("/proc/self/cmdline").value().empty());
}

TEST_F(PosixFileSystemTest, MakesAndRemovesTrees) {
  ASSERT_TRUE(fs_.MakeFolders(At("a/b/c")).ok());
  ASSERT_TRUE(fs_.MakeFolders(At("a/b/c")).ok());
  ASSERT_TRUE(fs_.WriteFileAtomically(At("a/b/c/f"), "x").ok());
  EXPECT_FALSE(fs_.MakeFolders(At("a/b/c/f")).ok());
  EXPECT_FALSE(fs_.Remove(At("a")).ok()) << "not empty";
  ASSERT_TRUE(fs_.RemoveTree(At("a")).ok());
  ASSERT_TRUE(fs_.RemoveTree(At("a")).ok()) << "nothing there";
  ASSERT_TRUE(fs_.Remove(At("a")).ok()) << "nothing there";
  EXPECT_FALSE(fs_.Exists(At("a")));
}

TEST_F(PosixFileSystemTest, SwitchesASymlink) {
  ASSERT_TRUE(fs_.MakeFolders(At("1")).ok());
  ASSERT_TRUE(fs_.MakeFolders(At("2")).ok());
  ASSERT_TRUE(fs_.SwitchSymlink("1", At("current")).ok());
  ASSERT_TRUE(fs_.SwitchSymlink("2", At("current")).ok());
  EXPECT_EQ(fs_.ReadSymlink(At("current")).value(), "2");
  EXPECT_THAT(fs_.List(folder_).value(), ElementsAre("1", "2", "current"));
}

TEST_F(PosixFileSystemTest, RemoveTreeDoesNotFollowSymlinks) {
  ASSERT_TRUE(fs_.MakeFolders(At("keep")).ok());
  ASSERT_TRUE(fs_.MakeFolders(At("tree")).ok());
  ASSERT_TRUE(fs_.SwitchSymlink(At("keep"), At("tree/link")).ok());
  ASSERT_TRUE(fs_.RemoveTree(At("tree")).ok());
  EXPECT_TRUE(fs_.Exists(At("keep")));
}

TEST_F(PosixFileSystemTest, WritesToAFullDeviceAreResourceExhausted) {
  auto full = fs_.Open("/dev/full", FileSystem::OpenMode::kReadWrite).value();
  EXPECT_TRUE(absl::IsResourceExhausted(full->WriteAt(0, "x")));
}

TEST_F(PosixFileSystemTest, KnowsTheFreeSpace) { EXPECT_GT(fs_.FreeSpace(folder_).value(), 0); }

TEST_F(PosixFileSystemTest, ACharacterDeviceHasNothingToSync) {
  const std::unique_ptr<File> device =
      FileSystem::Real().Open("/dev/null", FileSystem::OpenMode::kReadWriteAlone).value();
  EXPECT_TRUE(device->WriteAt(0, "x").ok());
  EXPECT_TRUE(device->Sync().ok());
  EXPECT_TRUE(device->DropCache().ok());
}

TEST_F(PosixFileSystemTest, WhatIsMadeIsThisUsersAloneUntilItIsShared) {
  const mode_t before = umask(0);
  const auto mode = [&](const std::string& name) {
    struct stat info {};
    EXPECT_EQ(stat(At(name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  };
  ASSERT_TRUE(fs_.MakeFolders(At("a/b")).ok());
  ASSERT_TRUE(fs_.WriteFileAtomically(At("a/file"), "x").ok());
  ASSERT_TRUE(fs_.Open(At("a/made"), FileSystem::OpenMode::kCreate).ok());
  EXPECT_EQ(mode("a"), 0700u);
  EXPECT_EQ(mode("a/b"), 0700u);
  EXPECT_EQ(mode("a/file"), 0600u);
  EXPECT_EQ(mode("a/made"), 0600u);
  umask(0077);
  ASSERT_TRUE(fs_.ShareWithAll(At("a/file")).ok());
  ASSERT_TRUE(fs_.MakeSharedFolders(At("a/c/d")).ok());
  ASSERT_TRUE(fs_.MakeSharedFolders(At("a/b")).ok());
  EXPECT_TRUE(fs_.MakeSharedFolders("/").ok());
  EXPECT_TRUE(fs_.MakeSharedFolders(".").ok());
  umask(before);
  EXPECT_EQ(mode("a"), 0700u) << "it was there before";
  EXPECT_EQ(mode("a/file"), 0644u);
  EXPECT_EQ(mode("a/c"), 0755u);
  EXPECT_EQ(mode("a/c/d"), 0755u);
  EXPECT_EQ(mode("a/b"), 0700u) << "it was there before";
  EXPECT_FALSE(fs_.ShareWithAll(At("none")).ok());
}

}  // namespace
}  // namespace tandem
