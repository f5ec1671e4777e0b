#include "common/image/stager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "common/crypto/sha256.h"
#include "common/image/chunk_index.h"
#include "common/net/fake_http_fetcher.h"
#include "common/storage/fake_file_system.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

constexpr char kOne[] = "http://one/image";
constexpr char kTwo[] = "http://two/image";
constexpr char kDevice[] = "/dev/b";
constexpr char kRecord[] = "/state/stage.rec";
constexpr uint64_t kMiB = 1 << 20;

std::string Pattern(size_t size, uint32_t seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  return bytes;
}

class StagerTest : public testing::Test {
 protected:
  // An image of 10 MiB and a bit, in chunks of 1 MiB, on a device of 12 MiB.
  void SetUp() override { UseImage(Pattern(10 * kMiB + 123), 1 << 20); }

  void UseImage(std::string image, uint32_t chunk_size) {
    image_ = std::move(image);
    FakeFileSystem files;
    files.Put("/image", image_);
    index_ = IndexImage(files, "/image", chunk_size).value();
    fetcher_.Serve(kOne, image_);
    fetcher_.Serve(kTwo, image_);
    NewDisk();
  }

  void NewDisk() {
    fs_ = std::make_unique<FakeFileSystem>();
    fs_->PutDevice(kDevice, std::max<uint64_t>(12 * kMiB, image_.size()));
    ASSERT_TRUE(fs_->MakeFolders("/state").ok());
  }

  absl::Status Stage(std::vector<std::string> urls, const StageObserver& observer = {}) {
    auto target = fs_->Open(kDevice, FileSystem::OpenMode::kReadWrite);
    if (!target.ok()) return target.status();
    return Stage(std::move(urls), **target, observer);
  }

  absl::Status Stage(std::vector<std::string> urls, File& target, const StageObserver& observer = {}) {
    DurableRecord record(*fs_, kRecord);
    const StageRequest request{.urls = std::move(urls),
                               .sha256 = index_.sha256,
                               .size = index_.size,
                               .chunk_size = index_.chunk_size,
                               .chunk_digests = index_.chunk_digests,
                               .deadline = absl::Hours(1)};
    return Stager(fetcher_, clock_).Stage(request, target, record, observer);
  }

  bool TargetHoldsTheImage() { return fs_->ReadFile(kDevice).value().substr(0, image_.size()) == image_; }

  std::string image_;
  ImageIndex index_;
  FakeHttpFetcher fetcher_;
  FakeClock clock_;
  std::unique_ptr<FakeFileSystem> fs_;
};

TEST_F(StagerTest, BringsTheBytesAndKeepsTheDevicesTail) {
  fs_->Damage(kDevice, 12 * kMiB - 4, "tail");
  uint64_t last = 0;
  ASSERT_TRUE(Stage({kOne}, {.progress =
                                 [&](uint64_t done) {
                                   EXPECT_GE(done, last);
                                   last = done;
                                 }})
                  .ok());
  EXPECT_TRUE(TargetHoldsTheImage());
  EXPECT_EQ(fs_->ReadFile(kDevice).value().substr(12 * kMiB - 4), "tail");
  EXPECT_EQ(last, image_.size());
  EXPECT_EQ(fetcher_.requests().size(), 1) << "one request brings everything";
}

TEST_F(StagerTest, GrowsAFile) {
  auto target = fs_->Open("/state/payload", FileSystem::OpenMode::kCreate).value();
  ASSERT_TRUE(Stage({kOne}, *target).ok());
  EXPECT_EQ(fs_->ReadFile("/state/payload").value(), image_);
}

TEST_F(StagerTest, AnEmptyArtifactIsStaged) {
  UseImage("", 1 << 20);
  ASSERT_TRUE(Stage({kOne}).ok());
  ASSERT_TRUE(Stage({}).ok());
}

TEST_F(StagerTest, AnInterruptionAnywhereCostsAtMostOneCheckpoint) {
  for (const uint32_t chunk_size : {0u, 64u << 10, 1u << 20, 8u << 20}) {
    UseImage(image_, chunk_size);
    for (uint64_t at = 1; at < image_.size(); at += kMiB * 3 / 4 + 1) {
      NewDisk();
      bool stop = false;
      fetcher_.SetObserver([&](const std::string&, uint64_t offset) { stop = offset >= at; });
      ASSERT_TRUE(absl::IsCancelled(Stage({kOne}, {.cancelled = [&] { return stop; }})));
      fetcher_.SetObserver(nullptr);
      fs_->PowerCut(at);
      fs_->Reboot();
      const uint64_t before = fetcher_.bytes_sent(kOne);
      ASSERT_TRUE(Stage({kOne}).ok());
      ASSERT_TRUE(TargetHoldsTheImage());
      const uint64_t again = fetcher_.bytes_sent(kOne) - before - (image_.size() - at);
      ASSERT_LE(again, kStageCheckpoint + (64 << 10)) << "chunk size " << chunk_size << ", interrupted at " << at;
    }
  }
}

TEST_F(StagerTest, PowerCutAtEveryCallThenResumeEndsWithTheImage) {
  UseImage(Pattern(9 * kMiB + 7), 1 << 20);
  fetcher_.SetPieceSize(256 << 10);
  for (uint64_t call = 1;; ++call) {
    NewDisk();
    fs_->CutPowerAtCall(call, call * 7919);
    const absl::Status cut = Stage({kOne});
    if (!fs_->power_lost()) {
      ASSERT_TRUE(cut.ok()) << cut;
      break;
    }
    ASSERT_FALSE(cut.ok());
    fs_->Reboot();
    const absl::Status resumed = Stage({kOne});
    ASSERT_TRUE(resumed.ok()) << "call " << call << ": " << resumed;
    ASSERT_TRUE(TargetHoldsTheImage());
  }
}

TEST_F(StagerTest, FailureOfAnyCallIsReportedAndTheNextTryEndsWithTheImage) {
  UseImage(Pattern(5 * kMiB + 7), 1 << 20);
  fetcher_.SetPieceSize(512 << 10);
  for (uint64_t call = 1;; ++call) {
    NewDisk();
    fs_->FailCall(call, absl::InternalError("input/output error"));
    const uint64_t before = fs_->calls();
    const absl::Status failed = Stage({kOne});
    if (failed.ok()) {
      ASSERT_LT(fs_->calls() - before, call) << "a failed call went unnoticed";
      break;
    }
    ASSERT_TRUE(Stage({kOne}).ok());
    ASSERT_TRUE(TargetHoldsTheImage());
  }
}

TEST_F(StagerTest, AWrongChunkComesFromTheOtherMirrorAndOnlyThatChunk) {
  fetcher_.CorruptAt(kOne, 5 * kMiB + 100);
  ASSERT_TRUE(Stage({kOne, kTwo}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
  EXPECT_LE(fetcher_.bytes_sent(kOne) + fetcher_.bytes_sent(kTwo), image_.size() + kMiB + (64 << 10));
}

TEST_F(StagerTest, AMirrorThatSentAWrongChunkIsTheLastChoiceFromThenOn) {
  fetcher_.CorruptAt(kOne, 100);
  ASSERT_TRUE(Stage({kOne, kTwo}).ok());
  EXPECT_LE(fetcher_.bytes_sent(kOne), kMiB + (64 << 10));
  EXPECT_GE(fetcher_.bytes_sent(kTwo), image_.size());
}

TEST_F(StagerTest, AChunkThatIsWrongOnceIsFetchedAgainFromTheOnlyMirror) {
  fetcher_.CorruptAt(kOne, 3 * kMiB, 1);
  ASSERT_TRUE(Stage({kOne}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
}

TEST_F(StagerTest, WrongOnEveryMirrorIsDataLoss) {
  for (const uint32_t chunk_size : {0u, 1u << 20}) {
    UseImage(image_, chunk_size);
    fetcher_.CorruptAt(kOne, 3 * kMiB);
    fetcher_.CorruptAt(kTwo, 3 * kMiB);
    const absl::Status status = Stage({kOne, kTwo});
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  }
}

TEST_F(StagerTest, WithoutChunksAWrongMirrorIsFoundAndLeft) {
  UseImage(image_, 0);
  fetcher_.CorruptAt(kOne, 3 * kMiB);
  ASSERT_TRUE(Stage({kOne, kTwo}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
}

TEST_F(StagerTest, AWrongChunkOfMixedOriginDoesNotCondemnTheGoodMirror) {
  // The first mirror sends a wrong byte, then breaks; the second one completes the chunk.
  UseImage(image_, 0);
  fetcher_.CorruptAt(kOne, 3 * kMiB);
  fetcher_.FailAt(kOne, 4 * kMiB, absl::UnavailableError("connection reset"), FakeHttpFetcher::kForEver);
  ASSERT_TRUE(Stage({kOne, kTwo}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
}

TEST_F(StagerTest, GoesOnAfterTransientFailuresWithTheOtherMirror) {
  fetcher_.FailAt(kOne, 2 * kMiB, absl::UnavailableError("connection reset"), FakeHttpFetcher::kForEver);
  fetcher_.FailAt(kTwo, 7 * kMiB, absl::DeadlineExceededError("slow"), 3);
  ASSERT_TRUE(Stage({kOne, kTwo}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
  EXPECT_LE(fetcher_.bytes_sent(kOne) + fetcher_.bytes_sent(kTwo), image_.size()) << "nothing is fetched twice";
}

TEST_F(StagerTest, BacksOffWhileEveryMirrorFails) {
  fetcher_.Fail(kOne, absl::UnavailableError("503"), 6);
  fetcher_.Fail(kTwo, absl::UnavailableError("503"), 6);
  const absl::Duration start = clock_.Monotonic();
  std::vector<std::string> said;
  ASSERT_TRUE(Stage({kOne, kTwo}, {.activity = [&](const std::string& text) { said.push_back(text); }}).ok());
  EXPECT_GE(clock_.Monotonic() - start, absl::Seconds(15)) << "0.5 + 1 + 2 + 4 + 8 + 16 s, at least half of each";
  EXPECT_THAT(said, testing::Contains(HasSubstr("503")));
}

TEST_F(StagerTest, TheDeadlineEndsTryingAndSaysWhy) {
  fetcher_.Fail(kOne, absl::UnavailableError("503"));
  const absl::Status status = Stage({kOne});
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("503"));
  EXPECT_LT(clock_.Monotonic(), absl::Hours(1) + absl::Minutes(3));
}

TEST_F(StagerTest, ARefusalOfOneMirrorLeavesTheOthers) {
  fetcher_.Fail(kOne, absl::NotFoundError("404"));
  ASSERT_TRUE(Stage({kOne, kTwo}).ok());
  EXPECT_EQ(clock_.Monotonic(), absl::ZeroDuration()) << "no reason to wait";
}

TEST_F(StagerTest, WhatEveryMirrorRefusesIsAskedForAgainUntilTheDeadline) {
  fetcher_.Fail(kOne, absl::PermissionDeniedError("403"));
  fetcher_.Fail(kTwo, absl::NotFoundError("404"));
  const absl::Status status = Stage({kOne, kTwo});
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("404"));
  EXPECT_LT(fetcher_.requests().size(), 200) << "with pauses";
}

TEST_F(StagerTest, WhatIsRefusedForAWhileIsFetchedThen) {
  for (const absl::Status& refusal : {absl::NotFoundError("404"), absl::PermissionDeniedError("403"),
                                      absl::FailedPreconditionError("HTTP status 416")}) {
    UseImage(image_ + "x", 1 << 20);
    fetcher_.Fail(kOne, refusal, 5);
    ASSERT_TRUE(Stage({kOne}).ok()) << refusal;
    EXPECT_TRUE(TargetHoldsTheImage());
  }
}

TEST_F(StagerTest, AUrlThatIsNoneEndsIt) {
  fetcher_.Fail(kOne, absl::InvalidArgumentError("no scheme"));
  EXPECT_TRUE(absl::IsInvalidArgument(Stage({kOne})));
}

TEST_F(StagerTest, TheWrongPageOfACaptivePortalIsWaitedOut) {
  UseImage(std::string(2000, 'i'), 0);
  fetcher_.CorruptAt(kOne, 100, 12);
  ASSERT_TRUE(Stage({kOne}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
}

TEST_F(StagerTest, CancelsWhileWaiting) {
  fetcher_.Fail(kOne, absl::UnavailableError("503"));
  const absl::Status status = Stage({kOne}, {.cancelled = [&] { return clock_.Monotonic() > absl::Minutes(5); }});
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_LE(clock_.Monotonic(), absl::Minutes(5) + absl::Seconds(2));
}

TEST_F(StagerTest, ATargetThatIsTooSmallIsRefusedBeforeTheFirstByte) {
  fs_->PutDevice("/dev/small", kMiB);
  auto target = fs_->Open("/dev/small", FileSystem::OpenMode::kReadWrite).value();
  EXPECT_TRUE(absl::IsResourceExhausted(Stage({kOne}, *target)));
  EXPECT_EQ(fetcher_.requests().size(), 0);
}

TEST_F(StagerTest, AFullDiskIsResourceExhausted) {
  fs_->SetCapacity(kMiB);
  auto target = fs_->Open("/state/payload", FileSystem::OpenMode::kCreate).value();
  fs_->FailCall(4, absl::ResourceExhaustedError("no space left on device"));
  EXPECT_TRUE(absl::IsResourceExhausted(Stage({kOne}, *target)));
}

TEST_F(StagerTest, WithoutSourcesWhatIsThereWillDo) {
  ASSERT_TRUE(Stage({kOne}).ok());
  const size_t requests = fetcher_.requests().size();
  ASSERT_TRUE(Stage({}).ok());
  EXPECT_EQ(fetcher_.requests().size(), requests);
}

TEST_F(StagerTest, WithoutSourcesAndBytesIsNotFound) {
  const absl::Status status = Stage({});
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no source"));
  fs_->PutDevice("/dev/small", kMiB);
  auto target = fs_->Open("/dev/small", FileSystem::OpenMode::kReadWrite).value();
  EXPECT_TRUE(absl::IsNotFound(Stage({}, *target)));
}

TEST_F(StagerTest, DamageAfterTheCheckpointIsFoundByReadingBackAndMended) {
  ASSERT_TRUE(Stage({kOne}).ok());
  fs_->Damage(kDevice, 6 * kMiB, "damaged");
  const uint64_t before = fetcher_.bytes_sent(kOne);
  ASSERT_TRUE(Stage({kOne}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
  EXPECT_LE(fetcher_.bytes_sent(kOne) - before, kMiB) << "only the damaged chunk";
}

TEST_F(StagerTest, TheProgressOfOtherBytesIsNotBelieved) {
  ASSERT_TRUE(Stage({kOne}).ok());
  image_ = Pattern(10 * kMiB, 99);
  FakeFileSystem files;
  files.Put("/image", image_);
  index_ = IndexImage(files, "/image", 1 << 20).value();
  fetcher_.Serve(kOne, image_);
  ASSERT_TRUE(Stage({kOne}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
}

TEST_F(StagerTest, ADamagedRecordStartsFromTheBeginning) {
  ASSERT_TRUE(Stage({kOne}).ok());
  fs_->Damage(kRecord, 50, "xx");
  ASSERT_TRUE(Stage({kOne}).ok());
  EXPECT_TRUE(TargetHoldsTheImage());
}

TEST_F(StagerTest, DigestsThatDoNotFitTheSizeAreRefused) {
  index_.chunk_digests.resize(32);
  EXPECT_TRUE(absl::IsInvalidArgument(Stage({kOne})));
  index_.sha256 = "short";
  EXPECT_TRUE(absl::IsInvalidArgument(Stage({kOne})));
}

TEST_F(StagerTest, AReleaseThatContradictsItselfIsDataLoss) {
  index_.sha256 = Sha256("something else");
  EXPECT_TRUE(absl::IsDataLoss(Stage({kOne})));
  EXPECT_TRUE(absl::IsNotFound(DurableRecord(*fs_, kRecord).Read().status())) << "nothing to resume";
}

TEST(ChunkIndexTest, IndexesInOnePass) {
  FakeFileSystem fs;
  const std::string image = Pattern(2500);
  fs.Put("/image", image);
  const ImageIndex index = IndexImage(fs, "/image", 1000).value();
  EXPECT_EQ(index.size, 2500);
  EXPECT_EQ(index.sha256, Sha256(image));
  EXPECT_EQ(index.chunk_digests,
            Sha256(image.substr(0, 1000)) + Sha256(image.substr(1000, 1000)) + Sha256(image.substr(2000)));
  EXPECT_EQ(IndexImage(fs, "/image", 0)->chunk_digests, "");
  EXPECT_TRUE(absl::IsNotFound(IndexImage(fs, "/none", 0).status()));
}

}  // namespace
}  // namespace tandem
