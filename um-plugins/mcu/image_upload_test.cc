#include "um-plugins/mcu/image_upload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/crypto/sha256.h"
#include "common/storage/fake_file_system.h"
#include "um-plugins/mcu/fake_line.h"
#include "um-plugins/mcu/fake_mcu.h"

namespace tandem::smp {
namespace {

using ::testing::HasSubstr;

// An upload of a new image to a device on a faulty line.
class Bench {
 public:
  explicit Bench(FakeMcuOptions options = {}, LineFaults faults = {}, size_t body = 20'000)
      : image_(MakeTestImage({.major = 2, .body_size = body})), mcu_(options), line_(mcu_, clock_, faults) {
    mcu_.Flash(0, MakeTestImage({.major = 1}));
    fs_.Put("/image", image_);
    file_ = fs_.Open("/image", FileSystem::OpenMode::kReadOnly).value();
  }

  absl::Status Upload(UploadLimits limits = {}) {
    SmpClient client(line_, clock_, {});
    return UploadImage(
        client, {.file = *file_, .size = image_.size(), .sha256 = Sha256(image_), .hash = HashOfImage(image_)},
        [&](uint64_t done) {
          EXPECT_GE(done, done_);
          done_ = done;
        },
        limits);
  }
  bool DeviceHasIt() {
    SmpClient client(line_, clock_, {});
    const auto slots = ReadImageState(client);
    if (!slots.ok()) return false;
    for (const ImageSlot& slot : *slots) {
      if (slot.hash == HashOfImage(image_) && !slot.active) return true;
    }
    return false;
  }

  FakeFileSystem fs_;
  FakeClock clock_;
  std::string image_;
  FakeMcu mcu_;
  FakeLine line_;
  std::unique_ptr<File> file_;
  uint64_t done_ = 0;
};

TEST(ImageUploadTest, APerfectLineCarriesEveryByteOnce) {
  Bench bench;
  const absl::Status status = bench.Upload();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(bench.DeviceHasIt());
  EXPECT_EQ(bench.mcu_.uploaded(), bench.image_.size());
  EXPECT_EQ(bench.done_, bench.image_.size());
}

TEST(ImageUploadTest, ADeviceThatDoesNotTellItsBuffersOrSpeaksVersion1IsServedToo) {
  for (const bool version1 : {false, true}) {
    Bench bench({.buffer_size = 0, .version1 = version1});
    const absl::Status status = bench.Upload();
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(bench.DeviceHasIt());
  }
}

// smpmgr#8: the device wants the image's header whole in the first piece.
TEST(ImageUploadTest, SmallBuffersTakeTheHeaderInOnePiece) {
  for (const uint32_t size : {64U, 96U, 128U, 256U}) {
    Bench bench({.buffer_size = size, .buffer_count = 1});
    const absl::Status status = bench.Upload();
    ASSERT_TRUE(status.ok()) << size << ": " << status;
    EXPECT_TRUE(bench.DeviceHasIt()) << size;
  }
}

TEST(ImageUploadTest, EndsOnLinesThatLoseDoubleSwapAndDamagePackets) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    for (const uint32_t buffers : {1U, 2U, 4U, 16U}) {
      Bench bench({.buffer_count = buffers},
                  {.loss = 0.03, .duplicate = 0.03, .reorder = 0.03, .corrupt = 0.03, .seed = seed});
      const absl::Status status = bench.Upload();
      ASSERT_TRUE(status.ok()) << "seed " << seed << ", " << buffers << " buffers: " << status;
      EXPECT_TRUE(bench.DeviceHasIt()) << seed;
    }
  }
}

// As a serial line does that damages one frame in twenty: a packet of many frames hardly ever arrives.
TEST(ImageUploadTest, LargePacketsBecomeSmallerWhereTheyDoNotArrive) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Bench bench({.buffer_size = 2048}, {.frame_loss = 0.05, .seed = seed});
    const absl::Status status = bench.Upload();
    ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status;
    EXPECT_TRUE(bench.DeviceHasIt()) << seed;
    EXPECT_LT(bench.clock_.Monotonic(), absl::Minutes(1)) << seed;
  }
}

TEST(ImageUploadTest, LossOfOnePercentCostsLittle) {
  uint64_t sent = 0;
  uint64_t size = 0;
  absl::Duration took;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Bench bench({.buffer_count = 4}, {.loss = 0.01, .seed = seed}, 200'000);
    ASSERT_TRUE(bench.Upload().ok()) << seed;
    ASSERT_TRUE(bench.DeviceHasIt()) << seed;
    sent += bench.mcu_.uploaded();
    size += bench.image_.size();
    took += bench.clock_.Monotonic();
  }
  EXPECT_LT(sent, size * 108 / 100);
  EXPECT_LT(took / 20, absl::Seconds(4));
}

TEST(ImageUploadTest, GoesOnWhereADeviceSaysThatItWas) {
  Bench bench({.keeps_upload = true});
  int packets = 0;
  bench.line_.SetObserver([&](std::string_view) {
    return ++packets > 30 ? absl::InternalError("this process was killed") : absl::OkStatus();
  });
  EXPECT_FALSE(bench.Upload().ok());
  const uint64_t before = bench.mcu_.uploaded();
  EXPECT_GT(before, 5000U);
  bench.line_.SetObserver(nullptr);
  bench.mcu_.CutPower(bench.clock_.Monotonic());
  bench.done_ = 0;
  ASSERT_TRUE(bench.Upload().ok());
  EXPECT_TRUE(bench.DeviceHasIt());
  EXPECT_LT(bench.mcu_.uploaded(), bench.image_.size() + 4 * 512);
}

TEST(ImageUploadTest, ADeviceThatIsResetInBetweenIsGivenEverythingAgain) {
  for (int at = 2; at < 50; ++at) {
    Bench bench;
    int packets = 0;
    bench.line_.SetObserver([&](std::string_view) {
      if (++packets == at) bench.mcu_.CutPower(bench.clock_.Monotonic());
      return absl::OkStatus();
    });
    const absl::Status status = bench.Upload();
    ASSERT_TRUE(status.ok()) << at << ": " << status;
    bench.line_.SetObserver(nullptr);
    bench.clock_.Advance(absl::Seconds(2));
    EXPECT_TRUE(bench.DeviceHasIt()) << at;
  }
}

TEST(ImageUploadTest, ADeviceThatIsResetAgainAndAgainIsGivenUp) {
  Bench bench;
  int packets = 0;
  bench.line_.SetObserver([&](std::string_view) {
    if (++packets % 15 == 0) bench.mcu_.CutPower(bench.clock_.Monotonic());
    return absl::OkStatus();
  });
  const absl::Status status = bench.Upload();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("has begun again 10 times"));
}

TEST(ImageUploadTest, SilenceIsNamedAfterTheDeadline) {
  Bench bench;
  int packets = 0;
  bench.line_.SetObserver([&](std::string_view) {
    if (++packets == 20) bench.mcu_.SetSilent(true);
    return absl::OkStatus();
  });
  const absl::Status status = bench.Upload();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the device has not answered for 10"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("upload at "));
  EXPECT_LT(bench.clock_.Monotonic(), absl::Seconds(15));
}

TEST(ImageUploadTest, ARefusalIsSaidInWords) {
  Bench bench({.slot_size = 10'000});
  const absl::Status status = bench.Upload();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("the device refused the upload: image group, the image is too large for the slot (rc 30)"));
}

TEST(ImageUploadTest, CancelledSoon) {
  Bench bench;
  bool cancelled = false;
  SmpClient client(bench.line_, bench.clock_, {.cancelled = [&] { return cancelled; }});
  const absl::Status status = UploadImage(
      client, {.file = *bench.file_, .size = bench.image_.size(), .sha256 = Sha256(bench.image_), .hash = "h"},
      [&](uint64_t done) { cancelled = done > 5000; });
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

}  // namespace
}  // namespace tandem::smp
