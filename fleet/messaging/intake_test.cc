#include "fleet/messaging/intake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/net/message_envelope.h"

namespace tandem::fleet {
namespace {

using testing::ElementsAre;

class IntakeTest : public testing::Test {
 protected:
  // `room`: whether a message is taken; called with the lock held.
  void Start(IntakeOptions options, std::function<bool()> room) {
    options.name_space = "acme";
    UnitLinkCallbacks callbacks;
    callbacks.message = [this, room = std::move(room)](UnitMessage&& message) {
      std::lock_guard lock(mutex_);
      ++offers_;
      wake_.notify_all();
      if (!room()) return false;
      taken_.push_back(message.unit_id);
      return true;
    };
    intake_ = std::make_unique<Intake>(options, std::move(callbacks));
  }
  static MqttMessage From(const std::string& unit_id) {
    return {.topic = absl::StrCat("acme/", unit_id, "/reported"),
            .payload = *EncodeMessage({.msg_id = "id", .type = kReportedMessage, .payload = "{}"})};
  }
  bool WaitUntil(const std::function<bool()>& done) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, std::chrono::seconds(20), done);
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  int offers_ = 0;
  bool open_ = false;
  std::vector<std::string> taken_;
  std::unique_ptr<Intake> intake_;
};

TEST_F(IntakeTest, OffersAgainUntilThereIsRoom) {
  Start({.stall = absl::Minutes(10)}, [this] { return open_; });
  intake_->Take(From("a"), Intake::Lane::kLive);
  intake_->Take(From("b"), Intake::Lane::kLive);
  ASSERT_TRUE(WaitUntil([this] { return offers_ >= 3; }));
  {
    std::lock_guard lock(mutex_);
    open_ = true;
  }
  ASSERT_TRUE(WaitUntil([this] { return taken_.size() == 2; }));
  EXPECT_THAT(taken_, ElementsAre("a", "b"));
  EXPECT_EQ(intake_->dropped(), 0u);
}

TEST_F(IntakeTest, AfterTheStallEachIsOfferedOnceUntilOneIsTaken) {
  Start({.stall = absl::Milliseconds(20)}, [this] { return open_; });
  for (int i = 0; i < 1000; ++i) intake_->Take(From("a"), Intake::Lane::kLive);
  while (intake_->dropped() < 1000) std::this_thread::yield();
  {
    std::lock_guard lock(mutex_);
    // With a wait for each it were tens of thousands of offers, and 20 s.
    EXPECT_LT(offers_, 1100);
    open_ = true;
  }
  intake_->Take(From("b"), Intake::Lane::kLive);
  ASSERT_TRUE(WaitUntil([this] { return taken_.size() == 1; }));
  EXPECT_EQ(intake_->dropped(), 1000u);
}

TEST_F(IntakeTest, WhatIsRetainedWaitsAndLiveOnesPassIt) {
  Start({.stall = absl::Milliseconds(1)}, [this] { return open_; });
  intake_->Take(From("retained"), Intake::Lane::kRetained);
  ASSERT_TRUE(WaitUntil([this] { return offers_ >= 5; }));
  intake_->Take(From("live"), Intake::Lane::kLive);
  while (intake_->dropped() < 1) std::this_thread::yield();
  {
    std::lock_guard lock(mutex_);
    open_ = true;
  }
  ASSERT_TRUE(WaitUntil([this] { return taken_.size() == 1; }));
  EXPECT_THAT(taken_, ElementsAre("retained"));
}

TEST_F(IntakeTest, AFullQueueDropsWhatComes) {
  Start({.queue_bytes = 2000, .stall = absl::Minutes(10)}, [this] { return open_; });
  intake_->Take(From("a"), Intake::Lane::kLive);
  ASSERT_TRUE(WaitUntil([this] { return offers_ >= 1; }));
  for (int i = 0; i < 100; ++i) intake_->Take(From("b"), Intake::Lane::kLive);
  EXPECT_GT(intake_->dropped(), 80u);
  EXPECT_LT(intake_->dropped(), 100u);
  // Ends at once, with one in its hand.
  intake_->Stop();
  EXPECT_TRUE(taken_.empty());
}

}  // namespace
}  // namespace tandem::fleet
