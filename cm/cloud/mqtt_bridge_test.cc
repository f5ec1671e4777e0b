#include "cm/cloud/mqtt_bridge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/crypto/desired_documents.h"
#include "common/net/message_envelope.h"
#include "common/storage/fake_file_system.h"
#include "tests/support/mosquitto.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

class MqttBridgeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "mqtt_bridge_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    // The cloud's side: sees everything the unit says.
    cloud_ = *MqttClient::Create(
        {.url = broker_.url(),
         .client_id = "cloud",
         .session_expiry = absl::Minutes(1),
         .backoff = {.first = absl::Milliseconds(20), .max = absl::Milliseconds(50)}},
        {.connected = [this] { loop_.Post([this] { ++cloud_connects_; }); },
         .disconnected = [](const std::string&) {},
         .message =
             [this](MqttMessage message) { loop_.Post([this, message = std::move(message)] { Heard(message); }); }});
    for (const char* filter : {"acme/gw/reported", "acme/gw/release/+", "acme/gw/presence"}) cloud_->Subscribe(filter);
    cloud_->Start();
    ASSERT_TRUE(RunUntil([this] { return cloud_connects_ > 0; }));
  }
  void TearDown() override {
    bridge_ = nullptr;
    cloud_->Stop();
    std::filesystem::remove_all(folder_);
  }

  void Heard(const MqttMessage& message) {
    absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(message.payload);
    ASSERT_TRUE(envelope.ok()) << envelope.status() << message.payload;
    heard_.push_back(*envelope);
  }
  std::vector<MessageEnvelope> HeardOf(const std::string& type) {
    std::vector<MessageEnvelope> result;
    for (const MessageEnvelope& envelope : heard_) {
      if (envelope.type == type) result.push_back(envelope);
    }
    return result;
  }

  void StartBridge(absl::Duration session_expiry = absl::Minutes(1)) {
    MqttBridgeOptions options;
    options.unit_id = "gw";
    options.name_space = "acme";
    options.state_dir = folder_;
    options.boot_id = "boot-1";
    options.mqtt.url = broker_.url();
    options.mqtt.session_expiry = session_expiry;
    options.mqtt.backoff = {.first = absl::Milliseconds(20), .max = absl::Milliseconds(50)};
    options.outbox.backoff = {.first = absl::Milliseconds(100), .max = absl::Milliseconds(200)};
    absl::StatusOr<std::unique_ptr<MqttBridge>> bridge =
        MqttBridge::Create(loop_, FileSystem::Real(), Clock::Real(), options);
    ASSERT_TRUE(bridge.ok()) << bridge.status();
    bridge_ = *std::move(bridge);
    CloudCallbacks callbacks;
    callbacks.desired = [this](DesiredEnvelopes documents) { desired_.push_back(std::move(documents)); };
    callbacks.wake = [this](uint64_t sequence) { wakes_.push_back(sequence); };
    callbacks.verdict = [this](const std::string& envelope) { verdicts_.push_back(envelope); };
    callbacks.key_sets = [this](std::vector<std::string> key_sets) { key_sets_ = std::move(key_sets); };
    callbacks.connection = [this](bool connected, const std::string&) { connections_ += connected ? 1 : 0; };
    callbacks.unreadable = [this](const absl::Status& status) { unreadable_.push_back(status); };
    ASSERT_TRUE(bridge_->Start(callbacks).ok());
  }
  // Runs the event loop until `done`; false after the deadline.
  bool RunUntil(const std::function<bool()>& done) {
    const absl::Duration deadline = Clock::Real().Monotonic() + kPatience;
    while (!done()) {
      if (Clock::Real().Monotonic() > deadline) return false;
      if (loop_.RunReady() == 0) std::this_thread::yield();
    }
    return true;
  }

  std::string Encode(const char* type, const std::string& payload) {
    return *EncodeMessage({.msg_id = NewMessageId(), .type = type, .ts = absl::Now(), .payload = payload});
  }
  void Say(const std::string& topic, const std::string& payload, bool retained = false) {
    ASSERT_TRUE(cloud_->PublishAndWait({.topic = topic, .payload = payload, .retained = retained}, kPatience).ok());
  }
  void Ack(const std::string& msg_id) {
    unit::v1::Ack ack;
    ack.add_msg_ids(msg_id);
    Say("acme/gw/ack", Encode(kAckMessage, *MessageToJson(ack)));
  }
  static unit::v1::Feedback FeedbackOf(const std::string& state) {
    unit::v1::Feedback feedback;
    feedback.set_state(state);
    return feedback;
  }

  Mosquitto broker_ = *Mosquitto::Start();
  EventLoop loop_{Clock::Real()};
  std::string folder_;
  std::unique_ptr<MqttClient> cloud_;
  int cloud_connects_ = 0;
  std::deque<MessageEnvelope> heard_;
  std::unique_ptr<MqttBridge> bridge_;
  std::vector<DesiredEnvelopes> desired_;
  std::vector<uint64_t> wakes_;
  std::vector<std::string> verdicts_;
  std::vector<std::string> key_sets_;
  std::vector<absl::Status> unreadable_;
  int connections_ = 0;
};

TEST_F(MqttBridgeTest, RetainedDesiredStateComesAtConnect) {
  const TestMaker maker("acme");
  const DesiredEnvelopes sent =
      maker.Desired("gw", 7, {maker.MakeRelease("r", {{.id = "a", .type = "t", .version = "1"}})});
  Say("acme/gw/desired", Encode(kDesiredMessage, *SerializeDesired(sent)), /*retained=*/true);
  Say("acme/keysets", Encode(kKeySetsMessage, *SerializeKeySets(sent.key_sets)), /*retained=*/true);
  StartBridge();
  ASSERT_TRUE(RunUntil([this] { return !desired_.empty() && !key_sets_.empty(); }));
  EXPECT_EQ(PayloadDigest(desired_[0].assignment), PayloadDigest(sent.assignment));
  EXPECT_EQ(desired_[0].releases.size(), 1u);
  EXPECT_EQ(PayloadDigest(key_sets_[0]), PayloadDigest(sent.key_sets[0]));
  // The client library hands messages on before it says that it is connected.
  EXPECT_TRUE(RunUntil([this] { return bridge_->state().connected; }));
}

TEST_F(MqttBridgeTest, WakeAndVerdictAreHandedOn) {
  StartBridge();
  ASSERT_TRUE(RunUntil([this] { return connections_ == 1; }));
  Say("acme/gw/release/apply", Encode(kWakeMessage, R"({"sequence":"7"})"));
  Say("acme/gw/release/verdict", Encode(kVerdictMessage, R"({"payload":"b"})"));
  ASSERT_TRUE(RunUntil([this] { return !wakes_.empty() && !verdicts_.empty(); }));
  EXPECT_EQ(wakes_[0], 7u);
  EXPECT_EQ(verdicts_[0], R"({"payload":"b"})");
}

TEST_F(MqttBridgeTest, WhatIsNotReadableIsSaidAndHarmsNothing) {
  StartBridge();
  ASSERT_TRUE(RunUntil([this] { return connections_ == 1; }));
  Say("acme/gw/desired", "garbage");
  Say("acme/gw/desired", Encode(kWakeMessage, "{}"));
  Say("acme/gw/ack", Encode(kAckMessage, R"({"msg_ids":7})"));
  Say("acme/gw/release/apply", Encode(kWakeMessage, R"({"sequence":"8"})"));
  ASSERT_TRUE(RunUntil([this] { return unreadable_.size() == 3 && wakes_.size() == 1; }));
  EXPECT_THAT(std::string(unreadable_[0].message()), HasSubstr("topic acme/gw/desired"));
  EXPECT_THAT(std::string(unreadable_[1].message()), HasSubstr("does not belong here"));
}

TEST_F(MqttBridgeTest, PresenceAndReportedAreSaidAtConnectAndGoodbyeAtTheEnd) {
  StartBridge();
  unit::v1::Reported reported;
  reported.set_phase("Idle");
  ASSERT_TRUE(bridge_->PublishReported(reported).ok());
  ASSERT_TRUE(RunUntil([this] { return !HeardOf("reported").empty() && !HeardOf("presence").empty(); }));
  EXPECT_THAT(HeardOf("presence").back().payload, HasSubstr("\"online\":true"));
  EXPECT_THAT(HeardOf("reported").back().payload, HasSubstr("\"phase\":\"Idle\""));
  bridge_->Stop();
  ASSERT_TRUE(
      RunUntil([this] { return HeardOf("presence").back().payload.find("online\":true") == std::string::npos; }));
}

TEST_F(MqttBridgeTest, EveryWordAboutPresenceIsNewerThanTheOneBefore) {
  // This broker publishes the will of a client that is pushed out only when its session ends with it.
  StartBridge(/*session_expiry=*/absl::ZeroDuration());
  for (int connects = 1; connects <= 2; ++connects) {
    ASSERT_TRUE(RunUntil([&] { return connections_ == connects; }));
    auto thief = *MqttClient::Create(
        {.url = broker_.url(), .client_id = "tandem-acme-gw"},
        {.connected = [] {}, .disconnected = [](const std::string&) {}, .message = [](const MqttMessage&) {}});
    thief->Start();
    ASSERT_TRUE(RunUntil([this] { return !bridge_->state().connected; }));
    thief->Stop();
  }
  ASSERT_TRUE(RunUntil([this] { return connections_ >= 3 && HeardOf("presence").size() >= 5; }));
  bridge_->Stop();
  ASSERT_TRUE(RunUntil([this] { return HeardOf("presence").size() >= 6; }));
  uint64_t newest = 0;
  std::vector<bool> said;
  for (const MessageEnvelope& envelope : HeardOf("presence")) {
    EXPECT_GT(envelope.seq, newest) << envelope.payload;
    newest = envelope.seq;
    said.push_back(absl::StrContains(envelope.payload, "online\":true"));
  }
  // Online and, by the will or the goodbye, offline in turn.
  for (size_t i = 0; i < said.size(); ++i) EXPECT_EQ(said[i], i % 2 == 0) << i;
}

TEST_F(MqttBridgeTest, AReportThatIsMadeAgainWaitsOnce) {
  broker_.Kill();
  StartBridge();
  unit::v1::Applied applied;
  applied.set_sequence(7);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(bridge_->QueueApplied(applied).ok());
  EXPECT_EQ(bridge_->state().outbox_messages, 1u);
  ASSERT_TRUE(bridge_->QueueProvisional(applied).ok());
  applied.set_attempt(1);
  ASSERT_TRUE(bridge_->QueueApplied(applied).ok());
  EXPECT_EQ(bridge_->state().outbox_messages, 3u);
}

TEST_F(MqttBridgeTest, FeedbackIsSentAgainUntilTheCloudAcknowledges) {
  StartBridge();
  ASSERT_TRUE(bridge_->QueueFeedback(FeedbackOf("accepted")).ok());
  // Once more without an ack, with the same id.
  ASSERT_TRUE(RunUntil([this] { return HeardOf("feedback").size() >= 2; }));
  EXPECT_EQ(HeardOf("feedback")[0].msg_id, HeardOf("feedback")[1].msg_id);
  EXPECT_EQ(bridge_->state().outbox_messages, 1u);
  Ack(HeardOf("feedback")[0].msg_id);
  EXPECT_TRUE(RunUntil([this] { return bridge_->state().outbox_messages == 0; }));
}

TEST_F(MqttBridgeTest, WhatWasQueuedWhileTheBrokerWasDownArrivesInOrder) {
  StartBridge();
  ASSERT_TRUE(RunUntil([this] { return connections_ == 1; }));
  broker_.Kill();
  ASSERT_TRUE(RunUntil([this] { return !bridge_->state().connected; }));
  EXPECT_FALSE(bridge_->state().error.empty());
  ASSERT_TRUE(bridge_->QueueFeedback(FeedbackOf("preparing")).ok());
  ASSERT_TRUE(bridge_->QueueApplied({}).ok());
  ASSERT_TRUE(broker_.Restart().ok());
  ASSERT_TRUE(RunUntil([this] { return !HeardOf("applied").empty() && !HeardOf("feedback").empty(); }));
  EXPECT_LT(HeardOf("feedback")[0].seq, HeardOf("applied")[0].seq);
  EXPECT_EQ(HeardOf("feedback")[0].epoch, HeardOf("applied")[0].epoch);
}

TEST_F(MqttBridgeTest, ARestartOfCmLosesNothingAndBeginsANewEpoch) {
  broker_.Kill();
  StartBridge();
  ASSERT_TRUE(bridge_->QueueApplied({}).ok());
  bridge_ = nullptr;
  ASSERT_TRUE(broker_.Restart().ok());
  StartBridge();
  EXPECT_EQ(bridge_->state().outbox_messages, 1u);
  ASSERT_TRUE(bridge_->QueueFeedback(FeedbackOf("later")).ok());
  ASSERT_TRUE(RunUntil([this] { return !HeardOf("applied").empty() && !HeardOf("feedback").empty(); }));
  EXPECT_EQ(HeardOf("feedback")[0].epoch, HeardOf("applied")[0].epoch + 1);
}

TEST_F(MqttBridgeTest, NamesThatAreNoTopicLevelsAreRefused) {
  config::v1::CmConfig config;
  config.set_unit_id("a/b");
  config.set_namespace_("acme");
  EXPECT_THAT(std::string(MqttBridgeOptionsFrom(config, "boot").status().message()), HasSubstr("unit_id \"a/b\""));
}

TEST(NextEpochTest, RisesByOneAtEachStartAndNeverFallsBack) {
  FakeFileSystem fs;
  ASSERT_TRUE(fs.MakeFolders("/s").ok());
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  EXPECT_EQ(*NextEpoch(fs, "/s/epoch.rec", 0, now), 1u);
  EXPECT_EQ(*NextEpoch(fs, "/s/epoch.rec", 0, now), 2u);
  EXPECT_EQ(*NextEpoch(fs, "/s/epoch.rec", 9, now), 10u);
  fs.Damage("/s/epoch.rec", 50, "x");
  EXPECT_EQ(*NextEpoch(fs, "/s/epoch.rec", 0, now), 1'800'000'000u);
  EXPECT_EQ(*NextEpoch(fs, "/s/epoch.rec", 0, now), 1'800'000'001u);
}

}  // namespace
}  // namespace tandem::cm
