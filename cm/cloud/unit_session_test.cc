#include "cm/cloud/unit_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "cm/cloud/memory_outbox.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Published : public MqttPublisher {
 public:
  absl::Status Publish(const MqttMessage& message) override {
    if (!status.ok()) return status;
    messages.push_back(message);
    return absl::OkStatus();
  }
  // Takes what was published, as "type seq".
  std::vector<std::string> Take() {
    std::vector<std::string> result;
    for (const MqttMessage& message : messages) {
      const MessageEnvelope envelope = *DecodeMessage(message.payload);
      result.push_back(absl::StrCat(envelope.type, " ", envelope.epoch, ".", envelope.seq));
    }
    messages.clear();
    return result;
  }
  absl::Status status;
  std::vector<MqttMessage> messages;
};

class UnitSessionTest : public testing::Test {
 protected:
  UnitSessionTest() {
    CloudCallbacks callbacks;
    callbacks.wake = [this](uint64_t sequence) { wakes_.push_back(sequence); };
    callbacks.unreadable = [this](const absl::Status& status) { unreadable_.push_back(status); };
    session_.SetCallbacks(std::move(callbacks));
  }
  void Connect() {
    ASSERT_TRUE(session_.NextWill().has_value());
    session_.Connected();
  }
  void Hear(const std::string& topic, const char* type, const std::string& payload) {
    session_.HandleMessage(
        {.topic = topic, .payload = *EncodeMessage({.msg_id = "id", .type = type, .payload = payload})});
  }

  FakeClock clock_;
  MemoryOutbox outbox_;
  Published published_;
  UnitSession session_{
      {.unit_id = "gw", .name_space = "acme", .boot_id = "boot-1", .epoch = 3, .heartbeat = absl::Minutes(5)},
      clock_,
      outbox_,
      published_};
  std::vector<uint64_t> wakes_;
  std::vector<absl::Status> unreadable_;
};

TEST_F(UnitSessionTest, PresenceComesFirstAndItsWillIsNewer) {
  const MqttMessage will = *session_.NextWill();
  ASSERT_TRUE(session_.PublishReported({}).ok());
  EXPECT_THAT(published_.Take(), IsEmpty());
  session_.Connected();
  EXPECT_EQ(published_.messages[0].topic, "acme/gw/presence");
  EXPECT_TRUE(published_.messages[0].retained);
  EXPECT_TRUE(published_.messages[1].retained);
  EXPECT_THAT(published_.Take(), ElementsAre("presence 3.1", "reported 3.3"));
  EXPECT_EQ(DecodeMessage(will.payload)->seq, 2u);
  EXPECT_EQ(DecodeMessage(session_.Goodbye()->payload)->seq, 4u);
}

TEST_F(UnitSessionTest, AQuietUnitIsHeardAtEachHeartbeat) {
  ASSERT_TRUE(session_.PublishReported({}).ok());
  EXPECT_EQ(session_.NextDue(), absl::InfiniteDuration());
  Connect();
  published_.Take();
  for (int beat = 0; beat < 5; ++beat) {
    const absl::Duration wait = session_.NextDue() - clock_.Monotonic();
    EXPECT_GE(wait, absl::Minutes(4.5));
    EXPECT_LE(wait, absl::Minutes(5.5));
    clock_.Advance(wait - absl::Milliseconds(1));
    session_.Tick();
    EXPECT_THAT(published_.Take(), IsEmpty());
    clock_.Advance(absl::Milliseconds(1));
    session_.Tick();
    EXPECT_EQ(published_.messages.size(), 1u);
    EXPECT_EQ(published_.messages[0].topic, "acme/gw/reported");
    published_.Take();
  }
  // News starts the wait again.
  clock_.Advance(absl::Minutes(4));
  ASSERT_TRUE(session_.PublishReported({}).ok());
  EXPECT_GE(session_.NextDue() - clock_.Monotonic(), absl::Minutes(4.5));
}

TEST_F(UnitSessionTest, WithoutAConnectionNothingIsDue) {
  Connect();
  ASSERT_TRUE(session_.PublishReported({}).ok());
  session_.Disconnected("gone");
  EXPECT_EQ(session_.error(), "gone");
  ASSERT_TRUE(session_.QueueApplied({}).ok());
  EXPECT_EQ(session_.NextDue(), absl::InfiniteDuration());
  published_.Take();
  Connect();
  EXPECT_THAT(published_.Take(), ElementsAre("presence 3.5", "reported 3.7", "applied 3.4"));
}

TEST_F(UnitSessionTest, WhatIsQueuedIsSentUntilItIsAcknowledged) {
  Connect();
  published_.Take();
  ASSERT_TRUE(session_.QueueFeedback({}).ok());
  EXPECT_EQ(published_.messages.size(), 1u);
  const std::string msg_id = DecodeMessage(published_.messages[0].payload)->msg_id;
  published_.Take();
  const absl::Duration again = session_.NextDue();
  EXPECT_LE(again - clock_.Monotonic(), absl::Seconds(10));
  clock_.Advance(again - clock_.Monotonic());
  session_.Tick();
  EXPECT_EQ(DecodeMessage(published_.messages[0].payload)->msg_id, msg_id);
  Hear("acme/gw/ack", kAckMessage, absl::StrCat("{\"msg_ids\":[\"", msg_id, "\"]}"));
  EXPECT_EQ(outbox_.size(), 0u);
  EXPECT_EQ(session_.NextDue(), absl::InfiniteDuration());
}

TEST_F(UnitSessionTest, OnlyWhatFitsItsTopicIsTaken) {
  EXPECT_THAT(session_.Subscriptions(), testing::Contains("acme/gw/desired"));
  Hear("acme/gw/release/apply", kWakeMessage, R"({"sequence":"7"})");
  Hear("acme/other/release/apply", kWakeMessage, R"({"sequence":"8"})");
  Hear("acme/gw/release/verdict", kWakeMessage, R"({"sequence":"9"})");
  session_.HandleMessage({.topic = "acme/gw/desired"});
  EXPECT_THAT(wakes_, ElementsAre(7u));
  EXPECT_EQ(unreadable_.size(), 2u);
}

}  // namespace
}  // namespace tandem::cm
