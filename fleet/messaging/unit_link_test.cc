// What every UnitLink does, held against the fake and against MQTT over a real broker; then what only MQTT can show.
#include "fleet/messaging/unit_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/desired_documents.h"
#include "common/net/message_envelope.h"
#include "fleet/messaging/fake_unit_link.h"
#include "fleet/messaging/mqtt_unit_link.h"
#include "tests/support/mosquitto.h"

namespace tandem::fleet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

constexpr std::chrono::seconds kPatience(20);
constexpr BackoffOptions kQuickly{.first = absl::Milliseconds(20), .max = absl::Milliseconds(50)};

// Everything that a link told.
class Heard {
 public:
  UnitLinkCallbacks Callbacks() {
    return {.message =
                [this](UnitMessage&& message) {
                  std::lock_guard lock(mutex_);
                  if (!room) return false;
                  messages.push_back(std::move(message));
                  wake_.notify_all();
                  return true;
                },
            .connection =
                [this](bool connected, const std::string& reason) {
                  std::lock_guard lock(mutex_);
                  connections += connected ? 1 : 0;
                  if (!connected) last_reason = reason;
                  wake_.notify_all();
                },
            .unreadable =
                [this](const std::string& unit_id, const std::string& msg_id, const absl::Status& status) {
                  std::lock_guard lock(mutex_);
                  unreadable.push_back(absl::StrCat(unit_id, "|", msg_id));
                  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
                  wake_.notify_all();
                }};
  }
  UnitLink::Done Answer() {
    return [this](const absl::Status& status) {
      std::lock_guard lock(mutex_);
      answers.push_back(status.code());
      wake_.notify_all();
    };
  }
  bool WaitUntil(const std::function<bool()>& done) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, kPatience, done);
  }
  template <typename F>
  auto Locked(F f) {
    std::lock_guard lock(mutex_);
    return f();
  }

  bool room = true;
  std::vector<UnitMessage> messages;
  std::vector<std::string> unreadable;
  std::vector<absl::StatusCode> answers;
  int connections = 0;
  std::string last_reason;

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
};

std::string Encode(const char* type, const google::protobuf::Message& payload, const std::string& msg_id = "id") {
  return *EncodeMessage(
      {.msg_id = msg_id, .type = type, .ts = absl::Now(), .epoch = 1, .seq = 1, .payload = *MessageToJson(payload)});
}
std::string EncodedFeedback(const std::string& msg_id) {
  return Encode(kFeedbackMessage, unit::v1::Feedback(), msg_id);
}

// The units' side.
class Units {
 public:
  virtual ~Units() = default;
  virtual std::unique_ptr<UnitLink> MakeLink() = 0;
  virtual void Say(const std::string& topic, const std::string& json, bool retained) = 0;
  // What the retained desired state of a unit comes to be, for one that looks late.
  virtual bool WaitForDesired(const std::string& unit_id, const std::optional<std::string>& documents) = 0;
  virtual bool WaitForWake(const std::string& unit_id, uint64_t sequence) = 0;
  virtual bool WaitForVerdict(const std::string& unit_id, const std::string& envelope) = 0;
  virtual bool WaitForAck(const std::string& unit_id, const std::set<std::string>& msg_ids) = 0;
  virtual bool WaitForKeySets(const std::string& json) = 0;
};

class FakeUnits : public Units {
 public:
  std::unique_ptr<UnitLink> MakeLink() override {
    auto link = std::make_unique<FakeUnitLink>();
    link_ = link.get();
    return link;
  }
  void Say(const std::string& topic, const std::string& json, bool /*retained*/) override {
    link_->DeliverRaw(topic, json);
  }
  bool WaitForDesired(const std::string& unit_id, const std::optional<std::string>& documents) override {
    return link_->desired(unit_id) == documents;
  }
  bool WaitForWake(const std::string& unit_id, uint64_t sequence) override {
    const auto wakes = link_->wakes();
    return !wakes.empty() && wakes.back().unit_id == unit_id && wakes.back().sequence == sequence;
  }
  bool WaitForVerdict(const std::string& unit_id, const std::string& envelope) override {
    const auto verdicts = link_->verdicts();
    return !verdicts.empty() && verdicts.back() == std::pair(unit_id, envelope);
  }
  bool WaitForAck(const std::string& unit_id, const std::set<std::string>& msg_ids) override {
    return link_->acknowledged()[unit_id] == msg_ids;
  }
  bool WaitForKeySets(const std::string& json) override { return link_->key_sets() == json; }

 private:
  FakeUnitLink* link_ = nullptr;
};

// A client that plays units, at a real broker.
class MqttUnits : public Units {
 public:
  MqttUnits() { Connect(); }
  ~MqttUnits() override { client_->Stop(); }

  void Connect() {
    client_ = *MqttClient::Create(
        {.url = broker.url(), .client_id = "units", .backoff = kQuickly, .max_buffered = 20000},
        {.connected = [this] { Note([this] { ++connects_; }); },
         .disconnected = [](const std::string&) {},
         .message =
             [this](const MqttMessage& message) { Note([&] { said_[message.topic].push_back(message.payload); }); }});
    for (const char* filter : {"acme/+/release/apply", "acme/+/release/verdict", "acme/+/ack"}) {
      client_->Subscribe(filter);
    }
    client_->Start();
    EXPECT_TRUE(Wait([this] { return connects_ > 0; }));
  }
  MqttUnitLinkOptions Options() {
    MqttUnitLinkOptions options;
    options.name_space = "acme";
    options.mqtt.url = broker.url();
    options.mqtt.backoff = kQuickly;
    options.retained_quiet = absl::Milliseconds(200);
    return options;
  }
  std::unique_ptr<UnitLink> MakeLink() override { return *MqttUnitLink::Create(Options()); }

  void Say(const std::string& topic, const std::string& json, bool retained) override {
    const absl::Status said =
        client_->PublishAndWait({.topic = topic, .payload = json, .retained = retained}, absl::Seconds(20));
    ASSERT_TRUE(said.ok()) << said;
  }
  // Does not wait.
  void SayMany(const std::string& topic, const std::string& json) {
    ASSERT_TRUE(client_->Publish({.topic = topic, .payload = json}).ok());
  }
  bool WaitForDesired(const std::string& unit_id, const std::optional<std::string>& documents) override {
    return Retained(absl::StrCat("acme/", unit_id, "/desired"), kDesiredMessage) == documents;
  }
  bool WaitForKeySets(const std::string& json) override { return Retained("acme/keysets", kKeySetsMessage) == json; }
  bool WaitForWake(const std::string& unit_id, uint64_t sequence) override {
    unit::v1::Wake wake;
    return WaitFor(absl::StrCat("acme/", unit_id, "/release/apply"), kWakeMessage, wake) && wake.sequence() == sequence;
  }
  bool WaitForVerdict(const std::string& unit_id, const std::string& envelope) override {
    return WaitForPayload(absl::StrCat("acme/", unit_id, "/release/verdict"), kVerdictMessage) == envelope;
  }
  bool WaitForAck(const std::string& unit_id, const std::set<std::string>& msg_ids) override {
    unit::v1::Ack ack;
    return WaitFor(absl::StrCat("acme/", unit_id, "/ack"), kAckMessage, ack) &&
           std::set<std::string>(ack.msg_ids().begin(), ack.msg_ids().end()) == msg_ids;
  }
  bool WaitForConnects(int count) {
    return Wait([&] { return connects_ >= count; });
  }

  Mosquitto broker = *Mosquitto::Start();

 private:
  template <typename F>
  void Note(F f) {
    std::lock_guard lock(mutex_);
    f();
    wake_.notify_all();
  }
  template <typename F>
  bool Wait(F done) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, kPatience, done);
  }
  // The oldest message of a topic.
  std::string WaitForPayload(const std::string& topic, const std::string& type) {
    if (!Wait([&] { return !said_[topic].empty(); })) return "";
    std::lock_guard lock(mutex_);
    const absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(said_[topic].front());
    return envelope.ok() && envelope->type == type ? envelope->payload : "";
  }
  bool WaitFor(const std::string& topic, const std::string& type, google::protobuf::Message& payload) {
    const std::string json = WaitForPayload(topic, type);
    return !json.empty() && MessageFromJson(json, payload).ok();
  }
  // What a client gets that comes now; a marker says when everything retained has come.
  std::optional<std::string> Retained(const std::string& topic, const std::string& type) {
    std::optional<std::string> payload;
    bool marked = false;
    auto late = *MqttClient::Create(
        {.url = broker.url(), .client_id = "late", .backoff = kQuickly},
        {.connected = [] {},
         .disconnected = [](const std::string&) {},
         .message =
             [&](const MqttMessage& message) {
               Note([&] { message.topic == "marker" ? void(marked = true) : void(payload = message.payload); });
             }});
    client_->PublishAndWait({.topic = "marker", .payload = "x", .retained = true}, absl::Seconds(20)).IgnoreError();
    late->Subscribe(topic);
    late->Subscribe("marker");
    late->Start();
    EXPECT_TRUE(Wait([&] { return marked; }));
    late->Stop();
    if (!payload.has_value()) return std::nullopt;
    const absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(*payload);
    EXPECT_TRUE(envelope.ok() && envelope->type == type) << *payload;
    return envelope.ok() ? std::make_optional(envelope->payload) : std::nullopt;
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  int connects_ = 0;
  std::map<std::string, std::vector<std::string>> said_;
  std::unique_ptr<MqttClient> client_;
};

template <typename UnitsType>
class UnitLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    link_ = units_.MakeLink();
    ASSERT_TRUE(link_->Start(heard_.Callbacks()).ok());
    ASSERT_TRUE(heard_.WaitUntil([this] { return heard_.connections == 1; }));
  }
  void TearDown() override { link_->Stop(); }

  UnitsType units_;
  Heard heard_;
  std::unique_ptr<UnitLink> link_;
};

struct Names {
  template <typename T>
  static std::string GetName(int) {
    return std::is_same_v<T, FakeUnits> ? "Fake" : "Mqtt";
  }
};
using Implementations = testing::Types<FakeUnits, MqttUnits>;
TYPED_TEST_SUITE(UnitLinkTest, Implementations, Names);

TYPED_TEST(UnitLinkTest, TheDesiredStateIsThereForAUnitThatComesLate) {
  this->link_->PublishDesired("gw", R"({"assignment":{"n":1}})", this->heard_.Answer());
  this->link_->PublishKeySets(R"({"key_sets":[]})", this->heard_.Answer());
  ASSERT_TRUE(this->heard_.WaitUntil([this] { return this->heard_.answers.size() == 2; }));
  EXPECT_THAT(this->heard_.answers, ElementsAre(absl::StatusCode::kOk, absl::StatusCode::kOk));
  EXPECT_TRUE(this->units_.WaitForDesired("gw", R"({"assignment":{"n":1}})"));
  EXPECT_TRUE(this->units_.WaitForKeySets(R"({"key_sets":[]})"));
  EXPECT_TRUE(this->units_.WaitForDesired("other", std::nullopt));
  this->link_->PublishDesired("gw", R"({"assignment":{"n":2}})", this->heard_.Answer());
  ASSERT_TRUE(this->heard_.WaitUntil([this] { return this->heard_.answers.size() == 3; }));
  EXPECT_TRUE(this->units_.WaitForDesired("gw", R"({"assignment":{"n":2}})"));
  this->link_->ClearDesired("gw", this->heard_.Answer());
  ASSERT_TRUE(this->heard_.WaitUntil([this] { return this->heard_.answers.size() == 4; }));
  EXPECT_TRUE(this->units_.WaitForDesired("gw", std::nullopt));
  EXPECT_EQ(this->link_->state().published, 4u);
}

TYPED_TEST(UnitLinkTest, WakeVerdictAndAcknowledgementArrive) {
  ASSERT_TRUE(this->link_->Wake("gw", 7, absl::Minutes(1)).ok());
  ASSERT_TRUE(this->link_->PublishVerdict("gw", R"({"payload":"b"})").ok());
  ASSERT_TRUE(this->link_->Acknowledge("gw", {"a", "b"}).ok());
  ASSERT_TRUE(this->link_->Acknowledge("gw", {}).ok());
  EXPECT_TRUE(this->units_.WaitForWake("gw", 7));
  EXPECT_TRUE(this->units_.WaitForVerdict("gw", R"({"payload":"b"})"));
  EXPECT_TRUE(this->units_.WaitForAck("gw", {"a", "b"}));
}

TYPED_TEST(UnitLinkTest, WhatCannotBeSentIsRefused) {
  const std::string bad_units[] = {"", "a/b", "+", "#", "a b", std::string(65, 'x')};
  size_t answers = 0;
  for (const std::string& unit_id : bad_units) {
    EXPECT_EQ(this->link_->Wake(unit_id, 1, absl::Minutes(1)).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(this->link_->PublishVerdict(unit_id, "{}").code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(this->link_->Acknowledge(unit_id, {"a"}).code(), absl::StatusCode::kInvalidArgument);
    this->link_->PublishDesired(unit_id, "{}", this->heard_.Answer());
    this->link_->ClearDesired(unit_id, this->heard_.Answer());
    answers += 2;
  }
  this->link_->PublishDesired("gw", "no JSON", this->heard_.Answer());
  this->link_->PublishKeySets("[]", this->heard_.Answer());
  answers += 2;
  ASSERT_TRUE(this->heard_.WaitUntil([&] { return this->heard_.answers.size() == answers; }));
  for (const absl::StatusCode code : this->heard_.answers) EXPECT_EQ(code, absl::StatusCode::kInvalidArgument);
}

TYPED_TEST(UnitLinkTest, EachKindOfMessageComesWithItsPayload) {
  unit::v1::Reported reported;
  reported.set_phase("Idle");
  unit::v1::Feedback feedback;
  feedback.set_state("ready");
  unit::v1::Presence presence;
  presence.set_online(true);
  unit::v1::Applied applied;
  applied.set_sequence(7);
  this->units_.Say("acme/gw/reported", Encode(kReportedMessage, reported), true);
  this->units_.Say("acme/gw/presence", Encode(kPresenceMessage, presence), true);
  this->units_.Say("acme/gw/release/feedback", Encode(kFeedbackMessage, feedback), false);
  this->units_.Say("acme/gw/release/provisional", Encode(kProvisionalMessage, applied), false);
  this->units_.Say("acme/gw/release/applied", Encode(kAppliedMessage, applied), false);
  std::map<UnitMessage::Kind, UnitMessage> by_kind;
  ASSERT_TRUE(this->heard_.WaitUntil([&] {
    for (const UnitMessage& message : this->heard_.messages) by_kind[message.kind] = message;
    return by_kind.size() == 5;
  }));
  using Kind = UnitMessage::Kind;
  EXPECT_EQ(std::get<unit::v1::Reported>(by_kind[Kind::kReported].payload).phase(), "Idle");
  EXPECT_TRUE(std::get<unit::v1::Presence>(by_kind[Kind::kPresence].payload).online());
  EXPECT_EQ(std::get<unit::v1::Feedback>(by_kind[Kind::kFeedback].payload).state(), "ready");
  EXPECT_EQ(std::get<unit::v1::Applied>(by_kind[Kind::kProvisional].payload).sequence(), 7u);
  EXPECT_EQ(std::get<unit::v1::Applied>(by_kind[Kind::kApplied].payload).sequence(), 7u);
  EXPECT_EQ(by_kind[Kind::kApplied].unit_id, "gw");
}

TYPED_TEST(UnitLinkTest, GarbageIsToldAndHarmsNothing) {
  this->units_.Say("acme/gw/release/feedback", "garbage", false);
  this->units_.Say("acme/gw/release/feedback", Encode(kAppliedMessage, unit::v1::Applied(), "wrong-place"), false);
  this->units_.Say("acme/gw/release/feedback", std::string(300 << 10, 'x'), false);
  this->units_.Say("acme/gw 'x'/release/feedback", EncodedFeedback("hostile"), false);
  this->units_.Say("acme/" + std::string(65, 'x') + "/release/feedback", EncodedFeedback("long"), false);
  this->units_.Say("acme/gw/release/feedback", EncodedFeedback("good"), false);
  ASSERT_TRUE(this->heard_.WaitUntil([this] { return !this->heard_.messages.empty(); }));
  EXPECT_EQ(this->heard_.messages[0].msg_id, "good");
  EXPECT_THAT(this->heard_.unreadable, ElementsAre("gw|", "gw|wrong-place", "gw|", "|", "|"));
  EXPECT_EQ(this->link_->state().unreadable, 5u);
  EXPECT_EQ(this->link_->state().received, 6u);
}

TYPED_TEST(UnitLinkTest, WithoutRoomAMessageIsDroppedAndCounted) {
  this->heard_.Locked([this] { this->heard_.room = false; });
  this->units_.Say("acme/gw/release/feedback", EncodedFeedback("lost"), false);
  while (this->link_->state().dropped == 0) std::this_thread::yield();
  this->heard_.Locked([this] { this->heard_.room = true; });
  this->units_.Say("acme/gw/release/feedback", EncodedFeedback("again"), false);
  ASSERT_TRUE(this->heard_.WaitUntil([this] { return !this->heard_.messages.empty(); }));
  EXPECT_EQ(this->heard_.messages[0].msg_id, "again");
}

TYPED_TEST(UnitLinkTest, AfterStopNothingComes) {
  this->link_->Stop();
  EXPECT_FALSE(this->link_->state().connected);
  EXPECT_EQ(this->link_->Wake("gw", 1, absl::Minutes(1)).code(), absl::StatusCode::kUnavailable);
  const size_t answers = this->heard_.Locked([this] { return this->heard_.answers.size(); });
  this->link_->PublishDesired("gw", "{}", this->heard_.Answer());
  this->units_.Say("acme/gw/release/feedback", EncodedFeedback("late"), false);
  this->link_->Stop();
  EXPECT_EQ(this->heard_.answers.size(), answers);
  EXPECT_TRUE(this->heard_.messages.empty());
}

class MqttUnitLinkTest : public testing::Test {
 protected:
  std::unique_ptr<MqttUnitLink> Start(Heard& heard, const MqttUnitLinkOptions& options, int connections = 1) {
    absl::StatusOr<std::unique_ptr<MqttUnitLink>> link = MqttUnitLink::Create(options);
    EXPECT_TRUE(link.ok()) << link.status();
    EXPECT_TRUE((*link)->Start(heard.Callbacks()).ok());
    EXPECT_TRUE(heard.WaitUntil([&] { return heard.connections == connections; }));
    return *std::move(link);
  }
  static std::multiset<std::string> Ids(Heard& heard) {
    return heard.Locked([&] {
      std::multiset<std::string> ids;
      for (const UnitMessage& message : heard.messages) ids.insert(message.msg_id);
      return ids;
    });
  }

  MqttUnits units_;
  // Outlive the links of a test.
  Heard one_;
  Heard two_;
};

TEST_F(MqttUnitLinkTest, TwoLinksShareTheMessagesAndOneAloneGetsAll) {
  auto link_one = Start(one_, units_.Options());
  auto link_two = Start(one_, units_.Options(), 2);
  std::multiset<std::string> sent;
  for (int i = 0; i < 200; ++i) {
    const std::string id = absl::StrCat("m", i);
    units_.SayMany(absl::StrCat("acme/gw-", i % 10, "/release/feedback"), EncodedFeedback(id));
    sent.insert(id);
  }
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.messages.size() >= sent.size(); }));
  EXPECT_EQ(Ids(one_), sent);
  EXPECT_GT(link_one->state().received, 20u);
  EXPECT_GT(link_two->state().received, 20u);
  link_one->Stop();
  for (int i = 0; i < 20; ++i) units_.SayMany("acme/gw/release/feedback", EncodedFeedback(absl::StrCat("after", i)));
  EXPECT_TRUE(one_.WaitUntil([&] { return one_.messages.size() == 220; }));
}

TEST_F(MqttUnitLinkTest, WhatIsRetainedIsReadAtEachConnect) {
  for (int i = 0; i < 50; ++i) {
    units_.Say(absl::StrCat("acme/gw-", i, "/reported"), Encode(kReportedMessage, unit::v1::Reported()), true);
    units_.Say(absl::StrCat("acme/gw-", i, "/presence"), Encode(kPresenceMessage, unit::v1::Presence()), true);
  }
  auto link = Start(one_, units_.Options());
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.messages.size() == 100; }));
  ASSERT_TRUE(units_.broker.Restart().ok());
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.connections == 2; }));
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.messages.size() >= 200; }));
  MqttUnitLinkOptions without = units_.Options();
  without.read_retained = false;
  auto other = Start(two_, without);
  ASSERT_TRUE(units_.WaitForConnects(2));
  units_.Say("acme/gw/reported", Encode(kReportedMessage, unit::v1::Reported()), true);
  const auto live = [](Heard& heard) {
    return heard.Locked(
        [&] { return std::ranges::count_if(heard.messages, [](const UnitMessage& m) { return m.unit_id == "gw"; }); });
  };
  while (live(one_) + live(two_) == 0) std::this_thread::yield();
  EXPECT_LE(two_.Locked([&] { return two_.messages.size(); }), 1u);
}

TEST_F(MqttUnitLinkTest, AfterTheBrokersDeathItGoesOn) {
  auto link = Start(one_, units_.Options());
  units_.broker.Kill();
  ASSERT_TRUE(one_.WaitUntil([&] { return !one_.last_reason.empty(); }));
  EXPECT_FALSE(link->state().connected);
  EXPECT_FALSE(link->state().error.empty());
  link->PublishDesired("gw", "{}", one_.Answer());
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.answers.size() == 1; }));
  EXPECT_EQ(one_.answers[0], absl::StatusCode::kUnavailable);
  ASSERT_TRUE(units_.broker.Restart().ok());
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.connections == 2; }));
  ASSERT_TRUE(units_.WaitForConnects(2));
  units_.Say("acme/gw/release/feedback", EncodedFeedback("after"), false);
  EXPECT_TRUE(one_.WaitUntil([&] { return one_.messages.size() == 1; }));
}

TEST_F(MqttUnitLinkTest, AWakeThatNobodyTakesInTimeIsDropped) {
  {
    // A unit with a session at the broker that is away.
    auto unit =
        *MqttClient::Create({.url = units_.broker.url(), .client_id = "unit", .session_expiry = absl::Minutes(5)},
                            {.connected = [this] { one_.Answer()(absl::OkStatus()); },
                             .disconnected = [](const std::string&) {},
                             .message = [](const MqttMessage&) {}});
    unit->Subscribe("acme/gw/release/apply");
    unit->Start();
    ASSERT_TRUE(one_.WaitUntil([&] { return one_.answers.size() == 1; }));
    unit->Stop();
  }
  auto link = Start(one_, units_.Options());
  ASSERT_TRUE(link->Wake("gw", 1, absl::Milliseconds(300)).ok());
  ASSERT_TRUE(link->Wake("gw", 2, absl::Minutes(5)).ok());
  // The broker counts in seconds.
  const absl::Time until = absl::Now() + absl::Seconds(3);
  while (absl::Now() < until) std::this_thread::yield();
  std::vector<uint64_t> woken;
  auto unit =
      *MqttClient::Create({.url = units_.broker.url(), .client_id = "unit", .session_expiry = absl::Minutes(5)},
                          {.connected = [] {},
                           .disconnected = [](const std::string&) {},
                           .message =
                               [&](const MqttMessage& message) {
                                 unit::v1::Wake wake;
                                 ASSERT_TRUE(MessageFromJson(DecodeMessage(message.payload)->payload, wake).ok());
                                 one_.Locked([&] { woken.push_back(wake.sequence()); });
                                 one_.Answer()(absl::OkStatus());
                               }});
  unit->Start();
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.answers.size() == 2; }));
  unit->Stop();
  EXPECT_THAT(woken, ElementsAre(2u));
}

TEST_F(MqttUnitLinkTest, ThousandsOfDesiredStatesAreSentWithoutAWait) {
  auto link = Start(one_, units_.Options());
  const std::string documents = R"({"assignment":{"payload":")" + std::string(4000, 'x') + R"("}})";
  const absl::Time start = absl::Now();
  constexpr size_t kCount = 2000;
  for (size_t i = 0; i < kCount; ++i) {
    const size_t allowed = link->MaxInFlight();
    ASSERT_TRUE(one_.WaitUntil([&] { return one_.answers.size() + allowed > i; }));
    link->PublishDesired(absl::StrCat("gw-", i), documents, one_.Answer());
  }
  ASSERT_TRUE(one_.WaitUntil([&] { return one_.answers.size() == kCount; }));
  for (const absl::StatusCode code : one_.answers) ASSERT_EQ(code, absl::StatusCode::kOk);
  const double rate = kCount / absl::ToDoubleSeconds(absl::Now() - start);
  RecordProperty("desired_per_second", static_cast<int>(rate));
  // 100,000 units in an hour are 28 a second.
  EXPECT_GT(rate, 28);
}

TEST_F(MqttUnitLinkTest, OptionsThatCannotWorkAreRefused) {
  const auto refused = [&](auto change) {
    MqttUnitLinkOptions options = units_.Options();
    change(options);
    return std::string(MqttUnitLink::Create(options).status().message());
  };
  EXPECT_THAT(refused([](auto& options) { options.name_space = "a/b"; }), HasSubstr("namespace"));
  EXPECT_THAT(refused([](auto& options) { options.group = "a+"; }), HasSubstr("group"));
  EXPECT_THAT(refused([](auto& options) { options.max_in_flight = 0; }), HasSubstr("max_in_flight"));
  EXPECT_THAT(refused([](auto& options) { options.mqtt.url = "mqtt://far:1"; }), HasSubstr("loopback"));
}

TEST(FakeUnitLinkTest, HoldsFailsRepeatsAndMixes) {
  FakeUnitLink link;
  Heard heard;
  ASSERT_TRUE(link.Start(heard.Callbacks()).ok());
  link.HoldAnswers();
  link.PublishDesired("a", "{}", heard.Answer());
  link.PublishDesired("b", "{}", heard.Answer());
  EXPECT_EQ(link.held(), 2u);
  EXPECT_TRUE(link.AnswerOldest(absl::DeadlineExceededError("late")));
  link.AnswerAll(absl::OkStatus());
  EXPECT_THAT(heard.answers, ElementsAre(absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kOk));
  EXPECT_FALSE(link.desired("a").has_value());
  EXPECT_TRUE(link.desired("b").has_value());
  link.FailPublishes(absl::PermissionDeniedError("no"));
  EXPECT_EQ(link.Wake("a", 1, absl::Minutes(1)).code(), absl::StatusCode::kPermissionDenied);
  std::vector<UnitMessage> messages;
  for (uint64_t seq = 0; seq < 30; ++seq) messages.push_back(FakeUnitLink::Message("a", 1, seq, unit::v1::Applied()));
  link.DeliverMixed(messages, 7);
  EXPECT_GT(heard.messages.size(), 30u);
  EXPECT_EQ(heard.messages[0].kind, UnitMessage::Kind::kApplied);
  std::set<uint64_t> seqs;
  bool mixed = false;
  for (size_t i = 0; i < heard.messages.size(); ++i) {
    seqs.insert(heard.messages[i].seq);
    mixed = mixed || heard.messages[i].seq != i;
  }
  EXPECT_EQ(seqs.size(), 30u);
  EXPECT_TRUE(mixed);
}

}  // namespace
}  // namespace tandem::fleet
