#include "um-plugins/mcu/smp_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "um-plugins/mcu/fake_line.h"
#include "um-plugins/mcu/mcu_commands.h"
#include "um-plugins/mcu/smp_errors.h"

namespace tandem::smp {
namespace {

using ::testing::HasSubstr;

class SmpClientTest : public testing::Test {
 protected:
  void Begin(FakeMcuOptions options = {}, LineFaults faults = {}) {
    mcu_.emplace(options);
    mcu_->Flash(0, MakeTestImage({.major = 1, .minor = 2, .revision = 3}));
    mcu_->Flash(1, MakeTestImage({.major = 2, .build = 9}));
    line_.emplace(*mcu_, clock_, faults);
    client_.emplace(*line_, clock_, SmpClientOptions{});
  }

  FakeClock clock_;
  std::optional<FakeMcu> mcu_;
  std::optional<FakeLine> line_;
  std::optional<SmpClient> client_;
};

TEST_F(SmpClientTest, ReadsWhatTheDeviceTells) {
  Begin({.knows_boot_group = true});
  const std::vector<ImageSlot> slots = ReadImageState(*client_).value();
  ASSERT_EQ(slots.size(), 2U);
  EXPECT_EQ(slots[0].version, "1.2.3");
  EXPECT_TRUE(slots[0].active && slots[0].confirmed && !slots[0].pending);
  EXPECT_EQ(slots[1].version, "2.0.0.9");
  EXPECT_EQ(slots[1].hash.size(), 32U);
  EXPECT_EQ(ReadBufferParameters(*client_).value().count, 4U);
  EXPECT_EQ(ReadSlotSize(*client_, 0).value(), 1U << 20);
  EXPECT_EQ(ReadSlotSize(*client_, 1).value(), std::nullopt);
  EXPECT_EQ(ReadBootInfo(*client_).value()->security_counter, 0U);
  ASSERT_TRUE(RaiseSecurityCounter(*client_, 5).ok());
  EXPECT_EQ(mcu_->security_counter(), 5U);
}

TEST_F(SmpClientTest, CommandsThatTheDeviceDoesNotKnowAreNoErrors) {
  for (const bool version1 : {false, true}) {
    Begin({.buffer_size = 0, .knows_slot_info = false, .version1 = version1});
    EXPECT_EQ(ReadBufferParameters(*client_).value().size, kUnknownBuffers.size);
    EXPECT_EQ(ReadSlotSize(*client_, 0).value(), std::nullopt);
    EXPECT_EQ(ReadBootInfo(*client_).value(), std::nullopt);
    EXPECT_TRUE(absl::IsUnimplemented(RaiseSecurityCounter(*client_, 1)));
  }
}

TEST_F(SmpClientTest, AsksAgainUntilTheAnswerComes) {
  for (uint64_t seed = 1; seed < 200; ++seed) {
    Begin({}, {.loss = 0.15, .duplicate = 0.3, .reorder = 0.3, .seed = seed});
    EXPECT_TRUE(ReadBootInfo(*client_).ok()) << seed;
    EXPECT_TRUE(ReadImageState(*client_).ok()) << seed;
  }
}

TEST_F(SmpClientTest, AResetIsAskedForOnceOnly) {
  Begin({}, {.loss = 1});
  int sent = 0;
  line_->SetObserver([&](std::string_view) {
    ++sent;
    return absl::OkStatus();
  });
  EXPECT_TRUE(ResetDevice(*client_).ok());
  EXPECT_EQ(sent, 1);
}

TEST_F(SmpClientTest, SilenceHasADeadlineAndAFewRetries) {
  Begin();
  int sent = 0;
  line_->SetObserver([&](std::string_view) {
    ++sent;
    return absl::OkStatus();
  });
  mcu_->SetSilent(true);
  const absl::Status status = ReadImageState(*client_).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_EQ(status.message(), "the image state: the device has not answered for 10s");
  EXPECT_EQ(clock_.Monotonic(), absl::Seconds(10));
  EXPECT_GE(sent, 4);
  EXPECT_LE(sent, 9);
}

TEST_F(SmpClientTest, ATestedImageThatIsUnknownIsARefusalInWords) {
  Begin();
  const absl::Status status = TestImage(*client_, std::string(32, 'x'));
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(), "the device refused the test of the image: image group, no image has that hash (rc 8)");
}

TEST(SmpErrorsTest, WhateverADeviceAnswers) {
  EXPECT_TRUE(AnswerStatus({{"off", 3}}, "it").ok());
  EXPECT_TRUE(AnswerStatus({{"rc", 0}}, "it").ok());
  EXPECT_TRUE(AnswerStatus({{"err", {{"group", 1}, {"rc", 0}}}}, "it").ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(AnswerStatus({{"rc", 6}}, "it")));
  EXPECT_TRUE(absl::IsUnavailable(AnswerStatus({{"rc", 10}}, "it")));
  EXPECT_TRUE(absl::IsInternal(AnswerStatus({{"rc", "text"}}, "it")));
  EXPECT_TRUE(absl::IsInternal(AnswerStatus({{"rc", 4711}}, "it")));
  EXPECT_TRUE(absl::IsInternal(AnswerStatus({{"err", {{"group", 77}, {"rc", 99}}}}, "it")));
  EXPECT_THAT(std::string(AnswerStatus({{"err", {{"group", 77}, {"rc", 99}}}}, "it").message()),
              HasSubstr("group 77, unknown error (rc 99)"));
  EXPECT_EQ(AnswerStatus({{"err", {{"group", 1}, {"rc", 24}}}, {"rsn", "another key\n"}}, "it").message(),
            "the device refused it: image group, invalid hash (rc 24): another key?");
  const absl::Status worn = AnswerStatus({{"err", {{"group", 1}, {"rc", 12}}}}, "the upload");
  EXPECT_TRUE(absl::IsInternal(worn));
  EXPECT_THAT(std::string(worn.message()), HasSubstr("its flash cannot be written"));
  EXPECT_EQ(AnswerStatus({{"rc", 3}, {"rsn", 7}}, "it").message(), "the device refused it: invalid request (rc 3)");
  EXPECT_LT(AnswerStatus({{"rc", 3}, {"rsn", std::string(5000, 'x')}}, "it").message().size(), 300U);
}

}  // namespace
}  // namespace tandem::smp
