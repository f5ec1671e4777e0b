// A real broker with exactly the files of packaging/broker, but for ports, paths and the namespace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/net/message_envelope.h"
#include "fleet/messaging/mqtt_unit_link.h"
#include "tests/support/certificates.h"
#include "tests/support/mosquitto.h"

namespace tandem::fleet {
namespace {

constexpr char kNamespace[] = "plant-7";

std::string FileText(const std::string& name) {
  std::ifstream file(std::string(TANDEM_BROKER_FOLDER) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

// A client, and what it heard.
class Client {
  template <typename F>
  void Note(F f) {
    std::lock_guard lock(mutex_);
    f();
    wake_.notify_all();
  }
  template <typename F>
  auto Locked(F f) {
    std::lock_guard lock(mutex_);
    return f();
  }
  template <typename F>
  bool Wait(F done) {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, std::chrono::seconds(20), done);
  }

 public:
  Client(const std::string& url, const std::string& ca, const CertificateFiles& files, const std::string& client_id,
         const std::vector<std::string>& filters, std::optional<MqttMessage> will = std::nullopt) {
    MqttOptions options{.url = url,
                        .client_id = client_id,
                        .ca_file = ca,
                        .certificate_file = files.certificate,
                        .key_file = files.key,
                        .backoff = {.first = absl::Milliseconds(50), .max = absl::Milliseconds(100)}};
    if (will.has_value()) options.will = [will] { return will; };
    client_ = *MqttClient::Create(
        options, {.connected = [this] { Note([this] { ++connects_; }); },
                  .disconnected = [this](const std::string&) { Note([this] { ++failures_; }); },
                  .message =
                      [this](const MqttMessage& message) {
                        Note([&] { heard_.push_back(absl::StrCat(message.topic, "=", message.payload)); });
                      }});
    for (const std::string& filter : filters) client_->Subscribe(filter);
    client_->Start();
  }
  ~Client() { client_->Stop(); }

  bool Connects() {
    return Wait([this] { return connects_ > 0 || failures_ > 1; }) && Locked([this] { return connects_ > 0; });
  }
  absl::StatusCode Say(const std::string& topic, const std::string& payload) {
    return client_->PublishAndWait({.topic = topic, .payload = payload, .retained = true}, absl::Seconds(20)).code();
  }
  bool WaitFor(const std::string& heard) {
    return Wait([&] { return std::ranges::find(heard_, heard) != heard_.end(); });
  }
  std::vector<std::string> heard() {
    return Locked([this] { return heard_; });
  }
  int failures() {
    return Locked([this] { return failures_; });
  }
  bool WaitForFailure() {
    return Wait([this] { return failures_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  int connects_ = 0;
  int failures_ = 0;
  std::vector<std::string> heard_;
  std::unique_ptr<MqttClient> client_;
};

class BrokerFilesTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    units_ = new TestCertificates(*TestCertificates::Make());
    controllers_ = new TestCertificates(*TestCertificates::Make());
  }
  static void TearDownTestSuite() {
    delete units_;
    delete controllers_;
  }
  void SetUp() override {
    const CertificateFiles server = units_->server();
    std::string folder = testing::TempDir() + "broker_files_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    std::ofstream(folder_ + "/acl") << absl::StrReplaceAll(FileText("acl"), {{"acme/", absl::StrCat(kNamespace, "/")}});
    std::string configuration = absl::StrReplaceAll(FileText("mosquitto.conf"),
                                                    {{"/etc/mosquitto/tandem/acl", folder_ + "/acl"},
                                                     {"/etc/mosquitto/tandem/units-ca.pem", units_->ca()},
                                                     {"/etc/mosquitto/tandem/controllers-ca.pem", controllers_->ca()},
                                                     {"/etc/mosquitto/tandem/server.pem", server.certificate},
                                                     {"/etc/mosquitto/tandem/server.key", server.key},
                                                     {"/var/lib/mosquitto/", "{folder}/"},
                                                     {"listener 8883", "listener {port} localhost"},
                                                     {"listener 8884", "listener {port2}"}});
    // First, as it stands before the listeners.
    if (geteuid() == 0) configuration = "user root\n" + configuration;
    absl::StatusOr<Mosquitto> broker =
        Mosquitto::Start({.certificate_file = server.certificate, .configuration = configuration});
    ASSERT_TRUE(broker.ok()) << broker.status();
    broker_ = std::make_unique<Mosquitto>(*std::move(broker));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static std::string Topic(const std::string& rest) { return absl::StrCat(kNamespace, "/", rest); }
  std::unique_ptr<Client> Unit(const std::string& name, const std::vector<std::string>& filters,
                               std::optional<MqttMessage> will = std::nullopt) {
    return std::make_unique<Client>(broker_->url(), units_->ca(), *units_->Client(name), "tandem-" + name, filters,
                                    std::move(will));
  }
  // The server's certificate is of the units' CA in this test.
  std::unique_ptr<Client> Controller(const std::vector<std::string>& filters) {
    return std::make_unique<Client>(broker_->second_url(), units_->ca(), *controllers_->Client("tandem-fleet"), "fleet",
                                    filters);
  }

  static TestCertificates* units_;
  static TestCertificates* controllers_;
  std::string folder_;
  std::unique_ptr<Mosquitto> broker_;
};
TestCertificates* BrokerFilesTest::units_ = nullptr;
TestCertificates* BrokerFilesTest::controllers_ = nullptr;

TEST_F(BrokerFilesTest, AUnitSpeaksForItselfOnlyAndOrdersNothing) {
  auto controller = Controller({Topic("+/reported"), Topic("+/presence"), Topic("+/release/feedback")});
  ASSERT_TRUE(controller->Connects());
  auto unit = Unit("gw-a", {});
  ASSERT_TRUE(unit->Connects());
  for (const char* allowed :
       {"reported", "presence", "release/feedback", "release/provisional", "release/applied", "diagnostics/result"}) {
    EXPECT_EQ(unit->Say(Topic(absl::StrCat("gw-a/", allowed)), allowed), absl::StatusCode::kOk) << allowed;
    EXPECT_EQ(unit->Say(Topic(absl::StrCat("gw-b/", allowed)), "forged"), absl::StatusCode::kPermissionDenied);
    EXPECT_EQ(unit->Say(absl::StrCat("acme/gw-a/", allowed), "x"), absl::StatusCode::kPermissionDenied);
  }
  for (const char* order : {"gw-a/desired", "gw-b/desired", "gw-a/release/apply", "gw-a/release/verdict", "gw-a/ack",
                            "gw-a/diagnostics/cmd", "keysets", "gw-a", "gw-a/other"}) {
    EXPECT_EQ(unit->Say(Topic(order), "forged"), absl::StatusCode::kPermissionDenied) << order;
  }
  EXPECT_TRUE(controller->WaitFor(Topic("gw-a/release/feedback=release/feedback")));
  EXPECT_THAT(controller->heard(), testing::Each(testing::Not(testing::HasSubstr("forged"))));
}

TEST_F(BrokerFilesTest, AUnitReadsItsOwnOrdersOnly) {
  auto controller = Controller({});
  ASSERT_TRUE(controller->Connects());
  // Everything that it may ask for.
  auto unit = Unit("gw-a", {"#", Topic("+/desired"), Topic("gw-b/desired"), Topic("+/reported")});
  auto other = Unit("gw-b", {});
  ASSERT_TRUE(unit->Connects());
  ASSERT_TRUE(other->Connects());
  EXPECT_EQ(other->Say(Topic("gw-b/reported"), "secret"), absl::StatusCode::kOk);
  EXPECT_EQ(controller->Say(Topic("gw-b/desired"), "secret"), absl::StatusCode::kOk);
  EXPECT_EQ(controller->Say(Topic("gw-b/ack"), "secret"), absl::StatusCode::kOk);
  EXPECT_EQ(controller->Say(Topic("keysets"), "keys"), absl::StatusCode::kOk);
  EXPECT_EQ(controller->Say(Topic("gw-a/desired"), "mine"), absl::StatusCode::kOk);
  ASSERT_TRUE(unit->WaitFor(Topic("gw-a/desired=mine")));
  ASSERT_TRUE(unit->WaitFor(Topic("keysets=keys")));
  EXPECT_THAT(unit->heard(), testing::Each(testing::Not(testing::HasSubstr("secret"))));
}

TEST_F(BrokerFilesTest, TheControllerWritesOrdersAndNothingInAUnitsName) {
  auto controller = Controller({});
  ASSERT_TRUE(controller->Connects());
  for (const char* order :
       {"gw-a/desired", "gw-a/release/apply", "gw-a/release/verdict", "gw-a/ack", "gw-a/diagnostics/cmd", "keysets"}) {
    EXPECT_EQ(controller->Say(Topic(order), "x"), absl::StatusCode::kOk) << order;
  }
  EXPECT_EQ(controller->Say(Topic("gw-a/reported"), "x"), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(controller->Say("acme/gw-a/desired", "x"), absl::StatusCode::kPermissionDenied);
}

TEST_F(BrokerFilesTest, AWillInAnothersNameIsNotPublished) {
  auto controller = Controller({Topic("+/presence")});
  ASSERT_TRUE(controller->Connects());
  // Broken off by a second connection of the same unit, whatever client id it asks for.
  auto first = Unit("gw-a", {}, MqttMessage{.topic = Topic("gw-b/presence"), .payload = "forged", .retained = true});
  if (first->Connects()) {
    auto second = std::make_unique<Client>(broker_->url(), units_->ca(), *units_->Client("gw-a"), "other",
                                           std::vector<std::string>{});
    ASSERT_TRUE(first->WaitForFailure());
    first = nullptr;
    second = nullptr;
  }
  // The same with its own name is.
  auto own = Unit("gw-c", {}, MqttMessage{.topic = Topic("gw-c/presence"), .payload = "lost", .retained = true});
  ASSERT_TRUE(own->Connects());
  auto thief = std::make_unique<Client>(broker_->url(), units_->ca(), *units_->Client("gw-c"), "other",
                                        std::vector<std::string>{});
  EXPECT_TRUE(controller->WaitFor(Topic("gw-c/presence=lost")));
  EXPECT_THAT(controller->heard(), testing::Each(testing::Not(testing::HasSubstr("forged"))));
}

TEST_F(BrokerFilesTest, AUnitCannotPushAnotherOneOut) {
  auto victim = Unit("gw-b", {});
  ASSERT_TRUE(victim->Connects());
  // The id that the other one asked for, and the one that it has.
  for (const char* client_id : {"tandem-gw-b", "gw-b"}) {
    auto thief = std::make_unique<Client>(broker_->url(), units_->ca(), *units_->Client("gw-a"), client_id,
                                          std::vector<std::string>{});
    ASSERT_TRUE(thief->Connects());
    EXPECT_EQ(victim->Say(Topic("gw-b/reported"), "here"), absl::StatusCode::kOk);
    EXPECT_EQ(victim->failures(), 0);
  }
}

TEST_F(BrokerFilesTest, WithoutItsCertificateNobodyGetsIn) {
  EXPECT_FALSE(Client(broker_->url(), units_->ca(), {}, "nobody", {"#"}).Connects());
  EXPECT_FALSE(Client(broker_->second_url(), units_->ca(), {}, "nobody", {"#"}).Connects());
  // A unit's certificate at the controllers' door, even with their name.
  EXPECT_FALSE(Client(broker_->second_url(), units_->ca(), *units_->Client("tandem-fleet"), "fleet", {"#"}).Connects());
  EXPECT_FALSE(Client(broker_->url(), units_->ca(), *controllers_->Client("gw-a"), "gw-a", {"#"}).Connects());
}

TEST_F(BrokerFilesTest, TheLinkAndThousandsOfRetainedReportsWorkWithTheseFiles) {
  constexpr int kUnits = 3000;
  {
    // One that may speak for all of them, for this test only.
    std::ofstream(folder_ + "/acl", std::ios::app) << "user test-writer\ntopic write " << Topic("+/reported") << "\n";
    ASSERT_TRUE(broker_->Restart().ok());
    auto writer = std::make_unique<Client>(broker_->second_url(), units_->ca(), *controllers_->Client("test-writer"),
                                           "writer", std::vector<std::string>{});
    ASSERT_TRUE(writer->Connects());
    const std::string json = *EncodeMessage({.msg_id = "id", .type = kReportedMessage, .payload = "{}"});
    for (int i = 0; i < kUnits; ++i) {
      ASSERT_EQ(writer->Say(Topic(absl::StrCat("gw-", i, "/reported")), json), absl::StatusCode::kOk);
    }
  }
  MqttUnitLinkOptions options;
  options.name_space = kNamespace;
  const CertificateFiles files = *controllers_->Client("tandem-fleet");
  options.mqtt = {.url = broker_->second_url(),
                  .ca_file = units_->ca(),
                  .certificate_file = files.certificate,
                  .key_file = files.key};
  auto link = *MqttUnitLink::Create(options);
  std::mutex mutex;
  std::condition_variable wake;
  std::set<std::string> units;
  UnitLinkCallbacks callbacks;
  callbacks.message = [&](UnitMessage&& message) {
    std::lock_guard lock(mutex);
    units.insert(message.unit_id);
    wake.notify_all();
    return true;
  };
  ASSERT_TRUE(link->Start(callbacks).ok());
  {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(wake.wait_for(lock, std::chrono::seconds(20), [&] { return units.size() == kUnits; })) << units.size();
  }
  link->Stop();
}

}  // namespace
}  // namespace tandem::fleet
