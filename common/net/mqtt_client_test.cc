#include "common/net/mqtt_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "common/net/publish_answers.h"
#include "tests/support/certificates.h"
#include "tests/support/mosquitto.h"

namespace tandem {
namespace {

using testing::HasSubstr;

// A client with what happened to it.
class Watched {
 public:
  Watched(MqttOptions options, const std::vector<std::string>& filters) {
    options.backoff = {.first = absl::Milliseconds(20), .max = absl::Milliseconds(100)};
    absl::StatusOr<std::unique_ptr<MqttClient>> made = MqttClient::Create(
        options, {.connected = [this] { Note([this] { ++connects_; }); },
                  .disconnected = [this](const std::string& reason) { Note([&] { reasons_.push_back(reason); }); },
                  .message = [this](MqttMessage message) { Note([&] { messages_.push_back(std::move(message)); }); }});
    EXPECT_TRUE(made.ok()) << made.status();
    client_ = *std::move(made);
    for (const std::string& filter : filters) client_->Subscribe(filter);
    client_->Start();
  }
  ~Watched() { client_->Stop(); }

  bool WaitForConnects(size_t count) {
    return Wait([&] { return connects_ >= count; });
  }
  bool WaitForMessages(size_t count) {
    return Wait([&] { return messages_.size() >= count; });
  }
  bool WaitForReasons(size_t count) {
    return Wait([&] { return reasons_.size() >= count; });
  }
  std::vector<MqttMessage> messages() {
    std::lock_guard lock(mutex_);
    return messages_;
  }
  std::string last_reason() {
    std::lock_guard lock(mutex_);
    return reasons_.empty() ? "" : reasons_.back();
  }
  MqttClient& operator*() { return *client_; }
  MqttClient* operator->() { return client_.get(); }

 private:
  template <typename F>
  void Note(F&& f) {
    std::lock_guard lock(mutex_);
    f();
    wake_.notify_all();
  }
  template <typename F>
  bool Wait(F&& done) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, std::chrono::seconds(20), done);
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  size_t connects_ = 0;
  std::vector<std::string> reasons_;
  std::vector<MqttMessage> messages_;
  std::unique_ptr<MqttClient> client_;
};

class MqttClientTest : public testing::Test {
 protected:
  MqttOptions Options(const std::string& client_id) {
    return {.url = broker_.url(), .client_id = client_id, .session_expiry = absl::Minutes(1)};
  }
  Mosquitto broker_ = *Mosquitto::Start();
};

TEST_F(MqttClientTest, RetainedMessagesComeAtEveryConnect) {
  Watched sender(Options("sender"), {});
  ASSERT_TRUE(sender.WaitForConnects(1));
  ASSERT_TRUE(
      sender->PublishAndWait({.topic = "a/desired", .payload = "one", .retained = true}, absl::Seconds(10)).ok());
  Watched receiver(Options("receiver"), {"a/desired"});
  ASSERT_TRUE(receiver.WaitForMessages(1));
  EXPECT_EQ(receiver.messages()[0].payload, "one");
  EXPECT_TRUE(receiver.messages()[0].retained);
  ASSERT_TRUE(broker_.Restart().ok());
  ASSERT_TRUE(receiver.WaitForConnects(2));
  EXPECT_TRUE(receiver.WaitForMessages(2));
}

TEST_F(MqttClientTest, ReconnectsAfterTheBrokerDies) {
  Watched client(Options("client"), {"a/+"});
  ASSERT_TRUE(client.WaitForConnects(1));
  broker_.Kill();
  ASSERT_TRUE(client.WaitForReasons(2));
  EXPECT_FALSE(client->connected());
  EXPECT_EQ(client->Publish({.topic = "a/b", .payload = "x"}).code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(broker_.Restart().ok());
  ASSERT_TRUE(client.WaitForConnects(2));
  ASSERT_TRUE(client->Publish({.topic = "a/b", .payload = "x"}).ok());
  EXPECT_TRUE(client.WaitForMessages(1));
}

TEST_F(MqttClientTest, SessionKeepsMessagesWhileAway) {
  {
    Watched away(Options("away"), {"a/b"});
    ASSERT_TRUE(away.WaitForConnects(1));
  }
  Watched sender(Options("sender"), {});
  ASSERT_TRUE(sender.WaitForConnects(1));
  ASSERT_TRUE(sender->PublishAndWait({.topic = "a/b", .payload = "meanwhile"}, absl::Seconds(10)).ok());
  Watched back(Options("away"), {"a/b"});
  ASSERT_TRUE(back.WaitForMessages(1));
  EXPECT_EQ(back.messages()[0].payload, "meanwhile");
}

TEST_F(MqttClientTest, WillIsPublishedOnLossAndNotOnGoodbye) {
  Watched watcher(Options("watcher"), {"a/presence"});
  ASSERT_TRUE(watcher.WaitForConnects(1));
  MqttOptions options = Options("unit");
  options.will = [] { return MqttMessage{.topic = "a/presence", .payload = "lost", .retained = true}; };
  {
    Watched unit(options, {});
    ASSERT_TRUE(unit.WaitForConnects(1));
    unit->Stop(MqttMessage{.topic = "a/presence", .payload = "goodbye", .retained = true});
  }
  ASSERT_TRUE(watcher.WaitForMessages(1));
  EXPECT_EQ(watcher.messages()[0].payload, "goodbye");
  // Another client with the same id pushes the first one out, which is a loss for that one (this broker sees it as one
  // only when the session ends with it).
  options.session_expiry = absl::ZeroDuration();
  Watched unit(options, {});
  ASSERT_TRUE(unit.WaitForConnects(1));
  Watched thief(Options("unit"), {});
  ASSERT_TRUE(watcher.WaitForMessages(2));
  EXPECT_EQ(watcher.messages()[1].payload, "lost");
}

TEST_F(MqttClientTest, AnAnswerSaysThatTheBrokerHasIt) {
  Watched client(Options("client"), {"a/+"});
  ASSERT_TRUE(client.WaitForConnects(1));
  PublishAnswers answers;
  for (int i = 0; i < 300; ++i) {
    client->PublishWithAnswer({.topic = "a/b", .payload = absl::StrCat(i)}, answers.Note());
  }
  EXPECT_EQ(answers.WaitFor(300), std::vector<absl::StatusCode>(300, absl::StatusCode::kOk));
  EXPECT_TRUE(client.WaitForMessages(300));
  // In the order sent, though the broker takes only 20 at a time.
  const std::vector<MqttMessage> messages = client.messages();
  for (int i = 0; i < 300; ++i) EXPECT_EQ(messages[i].payload, absl::StrCat(i));
}

TEST_F(MqttClientTest, AnAnswerComesWithoutABrokerToo) {
  MqttOptions options = Options("client");
  options.session_expiry = absl::ZeroDuration();
  Watched client(options, {});
  ASSERT_TRUE(client.WaitForConnects(1));
  PublishAnswers answers;
  broker_.Suspend();
  for (int i = 0; i < 5; ++i) client->PublishWithAnswer({.topic = "a/b", .payload = "x"}, answers.Note());
  broker_.Kill();
  EXPECT_EQ(answers.WaitFor(5), std::vector<absl::StatusCode>(5, absl::StatusCode::kUnavailable));
  ASSERT_TRUE(client.WaitForReasons(1));
  client->PublishWithAnswer({.topic = "a/b", .payload = "x"}, answers.Note());
  EXPECT_EQ(answers.WaitFor(6).back(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(broker_.Restart().ok());
  ASSERT_TRUE(client.WaitForConnects(2));
  client->PublishWithAnswer({.topic = "a/b", .payload = "x"}, answers.Note());
  EXPECT_EQ(answers.WaitFor(7).back(), absl::StatusCode::kOk);
}

TEST_F(MqttClientTest, ABrokerThatHangsIsNoAnswer) {
  MqttOptions options = Options("client");
  options.publish_timeout = absl::Milliseconds(50);
  Watched client(options, {});
  ASSERT_TRUE(client.WaitForConnects(1));
  broker_.Suspend();
  PublishAnswers answers;
  client->PublishWithAnswer({.topic = "a/b", .payload = "x"}, answers.Note());
  EXPECT_EQ(answers.WaitFor(1), std::vector<absl::StatusCode>{absl::StatusCode::kDeadlineExceeded});
  broker_.Kill();
}

TEST_F(MqttClientTest, OptionsThatCannotWorkAreRefused) {
  const auto refused = [](MqttOptions options) {
    return std::string(MqttClient::Create(options, {}).status().message());
  };
  EXPECT_THAT(refused({.url = "mqtt://broker.example.com:1883", .client_id = "x"}), HasSubstr("loopback only"));
  for (const char* host : {"localhost.evil.com", "127.x.evil.com", "localhost:1883@evil.com"}) {
    EXPECT_NE(refused({.url = absl::StrCat("mqtt://", host), .client_id = "x"}), "") << host;
  }
  EXPECT_THAT(refused({.url = "http://localhost", .client_id = "x"}), HasSubstr("mqtts://host:8883"));
  EXPECT_THAT(refused({.url = "mqtt://localhost:1883"}), HasSubstr("client id"));
  EXPECT_THAT(refused({.url = "mqtts://h:1", .client_id = "x", .certificate_file = "c"}), HasSubstr("belong together"));
}

TEST(MqttClientTlsTest, ConnectsWithCertificatesOnBothSides) {
  const TestCertificates certificates = *TestCertificates::Make();
  const CertificateFiles server = certificates.server();
  const CertificateFiles unit = *certificates.Client("unit");
  Mosquitto broker =
      *Mosquitto::Start({.ca_file = certificates.ca(), .certificate_file = server.certificate, .key_file = server.key});
  MqttOptions options{.url = broker.url(),
                      .client_id = "unit",
                      .ca_file = certificates.ca(),
                      .certificate_file = unit.certificate,
                      .key_file = unit.key};
  Watched client(options, {"a"});
  ASSERT_TRUE(client.WaitForConnects(1)) << client.last_reason();
  ASSERT_TRUE(client->Publish({.topic = "a", .payload = "x"}).ok());
  EXPECT_TRUE(client.WaitForMessages(1));
}

TEST(MqttClientTlsTest, ABrokerOfAnotherCaIsNotTrusted) {
  const TestCertificates certificates = *TestCertificates::Make();
  const TestCertificates others = *TestCertificates::Make();
  const CertificateFiles unit = *certificates.Client("unit");
  const CertificateFiles server = certificates.server();
  Mosquitto broker =
      *Mosquitto::Start({.ca_file = certificates.ca(), .certificate_file = server.certificate, .key_file = server.key});
  Watched client({.url = broker.url(),
                  .client_id = "unit",
                  .ca_file = others.ca(),
                  .certificate_file = unit.certificate,
                  .key_file = unit.key},
                 {});
  ASSERT_TRUE(client.WaitForReasons(1));
  EXPECT_THAT(client.last_reason(), HasSubstr("connect to mqtts://"));
  EXPECT_THAT(client.last_reason(), HasSubstr(others.ca()));
  EXPECT_FALSE(client->connected());
}

}  // namespace
}  // namespace tandem
