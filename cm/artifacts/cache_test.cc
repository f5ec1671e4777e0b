#include "cm/artifacts/cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <string>
#include <thread>

#include "common/crypto/sha256.h"
#include "common/net/fake_http_fetcher.h"
#include "common/storage/fake_file_system.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;

class CacheTest : public testing::Test {
 protected:
  std::unique_ptr<ArtifactCache> Open(uint64_t limit = 1 << 20) {
    absl::StatusOr<std::unique_ptr<ArtifactCache>> cache = ArtifactCache::Open(fs_, stager_, "/cache", limit);
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *std::move(cache);
  }
  // Served at its own URL.
  StageRequest Request(const std::string& content) {
    const std::string digest = Sha256(content);
    const std::string url = "http://m/" + HexEncode(digest);
    fetcher_.Serve(url, content);
    StageRequest request;
    request.urls = {url};
    request.sha256 = digest;
    request.size = content.size();
    request.deadline = absl::Minutes(1);
    return request;
  }
  static std::string Content(char c, size_t size = 300 << 10) { return std::string(size, c); }

  FakeFileSystem fs_;
  // The first download has begun, and goes on once somebody else waits.
  struct Hold {
    std::promise<void> begun;
    std::promise<void> waits;
    std::once_flag once;
  };
  void HoldFirstDownload(Hold& hold) {
    fetcher_.SetObserver([&hold](const std::string&, uint64_t) {
      std::call_once(hold.once, [&hold] {
        hold.begun.set_value();
        hold.waits.get_future().wait();
      });
    });
  }

  FakeHttpFetcher fetcher_;
  FakeClock clock_;
  Stager stager_{fetcher_, clock_};
};

TEST_F(CacheTest, FetchesOnceAndKeepsOverARestart) {
  const StageRequest request = Request(Content('a'));
  {
    std::unique_ptr<ArtifactCache> cache = Open();
    EXPECT_EQ(cache->Path(request.sha256).status().code(), absl::StatusCode::kNotFound);
    ASSERT_TRUE(cache->Fetch(request, {}).ok());
    ASSERT_TRUE(cache->Fetch(request, {}).ok());
    EXPECT_EQ(fetcher_.bytes_sent(request.urls[0]), request.size);
  }
  fs_.PowerCut(1);
  fs_.Reboot();
  std::unique_ptr<ArtifactCache> cache = Open();
  EXPECT_EQ(cache->size_bytes(), request.size);
  absl::StatusOr<std::string> path = cache->Path(request.sha256);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(*fs_.ReadFile(*path), Content('a'));
}

TEST_F(CacheTest, TheLeastRecentlyUsedGoesFirst) {
  std::unique_ptr<ArtifactCache> cache = Open();
  const StageRequest a = Request(Content('a'));
  const StageRequest b = Request(Content('b'));
  const StageRequest c = Request(Content('c'));
  const StageRequest d = Request(Content('d'));
  for (const StageRequest& request : {a, b, c}) ASSERT_TRUE(cache->Fetch(request, {}).ok());
  ASSERT_TRUE(cache->Path(a.sha256).ok());
  ASSERT_TRUE(cache->Fetch(d, {}).ok());
  EXPECT_TRUE(cache->Path(a.sha256).ok());
  EXPECT_FALSE(cache->Path(b.sha256).ok());
  EXPECT_TRUE(cache->Path(c.sha256).ok());
  EXPECT_LE(cache->size_bytes(), uint64_t{1} << 20);
}

TEST_F(CacheTest, WhatIsPinnedStaysUntilTheLastPinGoes) {
  std::unique_ptr<ArtifactCache> cache = Open(700 << 10);
  const StageRequest a = Request(Content('a'));
  const StageRequest b = Request(Content('b'));
  const StageRequest c = Request(Content('c'));
  cache->Pin("update-1", {a.sha256, b.sha256});
  cache->Pin("update-2", {b.sha256});
  ASSERT_TRUE(cache->Fetch(a, {}).ok());
  ASSERT_TRUE(cache->Fetch(b, {}).ok());
  const absl::Status full = cache->Fetch(c, {});
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.message()), HasSubstr("lacks "));
  cache->Unpin("update-1");
  ASSERT_TRUE(cache->Fetch(c, {}).ok());
  EXPECT_FALSE(cache->Path(a.sha256).ok());
  EXPECT_TRUE(cache->Path(b.sha256).ok());
}

TEST_F(CacheTest, WhatIsKeptGoesLastButBeforeAFetchIsRefused) {
  std::unique_ptr<ArtifactCache> cache = Open(1000 << 10);
  const StageRequest kept = Request(Content('k'));
  const StageRequest kept_and_pinned = Request(Content('p'));
  const StageRequest other = Request(Content('o'));
  const StageRequest next = Request(Content('n'));
  const StageRequest after = Request(Content('a'));
  for (const StageRequest& request : {kept, kept_and_pinned, other}) ASSERT_TRUE(cache->Fetch(request, {}).ok());
  cache->Keep({kept.sha256, kept_and_pinned.sha256});
  cache->Pin("update-1", {kept_and_pinned.sha256, next.sha256, after.sha256});
  ASSERT_TRUE(cache->Fetch(next, {}).ok());
  EXPECT_FALSE(cache->Path(other.sha256).ok());
  EXPECT_TRUE(cache->Path(kept.sha256).ok());
  // Not for what will not fit anyway.
  EXPECT_EQ(cache->Fetch(Request(Content('b', 500 << 10)), {}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(cache->Path(kept.sha256).ok());
  ASSERT_TRUE(cache->Fetch(after, {}).ok());
  EXPECT_FALSE(cache->Path(kept.sha256).ok());
  EXPECT_TRUE(cache->Path(kept_and_pinned.sha256).ok());
}

TEST_F(CacheTest, WhatIsKeptGivesWayToAFullDisk) {
  fs_.SetCapacity(20 << 20);
  std::unique_ptr<ArtifactCache> cache = Open(uint64_t{1} << 30);
  const StageRequest kept = Request(Content('k', 2 << 20));
  ASSERT_TRUE(cache->Fetch(kept, {}).ok());
  cache->Keep({kept.sha256});
  EXPECT_TRUE(cache->Fetch(Request(Content('n', 3 << 20)), {}).ok());
  EXPECT_FALSE(cache->Path(kept.sha256).ok());
}

TEST_F(CacheTest, AFullDiskIsSaidWithTheMissingBytes) {
  fs_.SetCapacity(17 << 20);
  std::unique_ptr<ArtifactCache> cache = Open(uint64_t{1} << 30);
  const absl::Status status = cache->Fetch(Request(Content('a', 2 << 20)), {});
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("free the disk"));
}

TEST_F(CacheTest, WrongBytesNeverGetAName) {
  std::unique_ptr<ArtifactCache> cache = Open();
  StageRequest request = Request(Content('a'));
  fetcher_.CorruptAt(request.urls[0], 5000);
  const absl::Status status = cache->Fetch(request, {});
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("do not match"));
  EXPECT_FALSE(cache->Path(request.sha256).ok());
  EXPECT_EQ(Open()->size_bytes(), 0u);
}

TEST_F(CacheTest, DownloadsThatNobodyWantsAnyMoreDoNotFillTheDisk) {
  std::unique_ptr<ArtifactCache> cache = Open();
  StageRequest broken = Request(Content('a'));
  fetcher_.CorruptAt(broken.urls[0], 5000);
  const std::string part = "/cache/" + HexEncode(broken.sha256) + ".part";
  cache->Pin("update-1", {broken.sha256});
  ASSERT_FALSE(cache->Fetch(broken, {}).ok());
  ASSERT_TRUE(cache->Fetch(Request(Content('b')), {}).ok());
  EXPECT_TRUE(fs_.Exists(part)) << "a download of a running update is resumed";
  cache->Unpin("update-1");
  ASSERT_TRUE(cache->Fetch(Request(Content('c')), {}).ok());
  EXPECT_FALSE(fs_.Exists(part));
}

TEST_F(CacheTest, WhoeverWantsWhatIsBeingFetchedWaitsForIt) {
  std::unique_ptr<ArtifactCache> cache = Open();
  const StageRequest request = Request(Content('a'));
  Hold hold;
  HoldFirstDownload(hold);
  std::thread first([&] { EXPECT_TRUE(cache->Fetch(request, {}).ok()); });
  hold.begun.get_future().wait();
  // Given up while it waits, and waiting to the end.
  EXPECT_EQ(cache->Fetch(request, {.progress = {}, .cancelled = [] { return true; }, .activity = {}}).code(),
            absl::StatusCode::kCancelled);
  EXPECT_TRUE(
      cache
          ->Fetch(request,
                  {.progress = {}, .cancelled = {}, .activity = [&](const std::string&) { hold.waits.set_value(); }})
          .ok());
  first.join();
  EXPECT_EQ(fetcher_.bytes_sent(request.urls[0]), request.size);
}

TEST_F(CacheTest, WhoWaitedForADownloadThatFailsFetchesItself) {
  std::unique_ptr<ArtifactCache> cache = Open();
  const StageRequest request = Request(Content('a'));
  Hold hold;
  HoldFirstDownload(hold);
  fetcher_.FailAt(request.urls[0], 20 << 10, absl::InvalidArgumentError("no URL"));
  std::thread first([&] { EXPECT_FALSE(cache->Fetch(request, {}).ok()); });
  hold.begun.get_future().wait();
  EXPECT_TRUE(cache
                  ->Fetch(request, {.progress = {},
                                    .cancelled = {},
                                    .activity =
                                        [&](const std::string& text) {
                                          if (text.find("another UM") != std::string::npos) hold.waits.set_value();
                                        }})
                  .ok());
  first.join();
}

TEST_F(CacheTest, WhatRottedOnDiskIsFetchedAgainAfterARestart) {
  const StageRequest request = Request(Content('a'));
  ASSERT_TRUE(Open()->Fetch(request, {}).ok());
  const std::string path = "/cache/" + HexEncode(request.sha256);
  {
    auto file = *fs_.Open(path, FileSystem::OpenMode::kReadWrite);
    ASSERT_TRUE(file->WriteAt(1000, "rot").ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  std::unique_ptr<ArtifactCache> cache = Open();
  ASSERT_TRUE(cache->Fetch(request, {}).ok());
  EXPECT_EQ(*fs_.ReadFile(*cache->Path(request.sha256)), Content('a'));
  EXPECT_EQ(fetcher_.bytes_sent(request.urls[0]), 2 * request.size);
  // What is right is read once and not fetched.
  cache = Open();
  ASSERT_TRUE(cache->Fetch(request, {}).ok());
  EXPECT_EQ(fetcher_.bytes_sent(request.urls[0]), 2 * request.size);
}

TEST_F(CacheTest, WhatAnInterruptedDownloadHasNeedsNoRoomAgain) {
  fs_.SetCapacity(25 << 20);
  std::unique_ptr<ArtifactCache> cache = Open(uint64_t{1} << 30);
  const StageRequest request = Request(Content('a', 6 << 20));
  cache->Pin("update-1", {request.sha256});
  fetcher_.FailAt(request.urls[0], 5 << 20, absl::InvalidArgumentError("no URL"));
  EXPECT_EQ(cache->Fetch(request, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(cache->Fetch(request, {}).ok());
}

TEST_F(CacheTest, APowerCutAnywhereLeavesNothingHalf) {
  const std::string content = Content('p', 64 << 10);
  for (uint64_t call = 1;; ++call) {
    FakeFileSystem fs;
    {
      absl::StatusOr<std::unique_ptr<ArtifactCache>> cache = ArtifactCache::Open(fs, stager_, "/cache", 1 << 20);
      ASSERT_TRUE(cache.ok()) << cache.status();
      fs.CutPowerAtCall(call, call);
      (*cache)->Fetch(Request(content), {}).IgnoreError();
    }
    if (!fs.power_lost()) break;
    fs.Reboot();
    absl::StatusOr<std::unique_ptr<ArtifactCache>> after = ArtifactCache::Open(fs, stager_, "/cache", 1 << 20);
    ASSERT_TRUE(after.ok()) << after.status();
    if (absl::StatusOr<std::string> path = (*after)->Path(Sha256(content)); path.ok()) {
      EXPECT_EQ(*fs.ReadFile(*path), content) << "cut at call " << call;
    }
    EXPECT_TRUE((*after)->Fetch(Request(content), {}).ok()) << "cut at call " << call;
  }
}

}  // namespace
}  // namespace tandem::cm
