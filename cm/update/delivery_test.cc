#include "cm/update/delivery.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/net/curl_http_fetcher.h"
#include "common/net/fake_http_fetcher.h"
#include "common/process/run_command.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {
namespace {

namespace umv2 = updatemanager::v2;

class DeliveryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "delivery_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    for (int i = 0; i < 500'000; ++i) content_.push_back(static_cast<char>(i * 7 + i / 251));
    source_.base_urls = {"http://m"};
    source_.documents = maker_.Desired("gw", 1, {maker_.MakeRelease("r", {{.id = "a", .type = "t", .version = "1"}})});
    Restart();
  }
  void TearDown() override {
    delivery_.reset();
    std::filesystem::remove_all(folder_);
  }

  void Restart(const std::string& listen = "") {
    config::v1::Artifacts config;
    config.set_listen(listen);
    delivery_.reset();
    delivery_ = std::make_unique<ArtifactDelivery>(loop_, FileSystem::Real(), stager_, config, folder_);
  }
  Participant ParticipantOf(const std::string& node_id) {
    Target target;
    target.component_id = node_id;
    target.component_type = "t";
    target.version = "2";
    target.sha256 = Sha256(content_);
    target.size = content_.size();
    target.path = "artifact";
    Participant participant;
    participant.node_id = node_id;
    participant.targets = {target};
    return participant;
  }
  static config::v1::Node Node(const std::string& node_id, const std::string& computer) {
    config::v1::Node node;
    node.set_node_id(node_id);
    node.set_computer(computer);
    return node;
  }
  void Ask(const config::v1::Node& node) {
    delivery_->MakePrepare("1-1", ParticipantOf(node.node_id()), node, source_,
                           [this, id = node.node_id()](auto prepare) { answers_.insert_or_assign(id, prepare); });
  }
  template <typename Condition>
  bool WaitFor(Condition condition) {
    for (int i = 0; i < 2000; ++i) {
      loop_.RunReady();
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  // What was answered to a UM, once it is.
  absl::StatusOr<umv2::PrepareComponentInfo> Answer(const std::string& node_id) {
    if (!WaitFor([&] { return answers_.contains(node_id); })) return absl::DeadlineExceededError("no answer");
    const auto& answer = answers_.at(node_id);
    if (!answer.ok()) return answer.status();
    return answer->components(0);
  }
  absl::StatusOr<std::string> Get(const std::string& url) {
    std::string got;
    FetchRequest request;
    request.url = url;
    const absl::Status status = CurlHttpFetcher().Fetch(request, [&](std::string_view piece) {
      got.append(piece);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return got;
  }
  void MakeBundle() {
    std::filesystem::create_directories(folder_ + "/b/artifacts");
    std::ofstream(folder_ + "/b/desired") << *SerializeDesired(source_.documents);
    std::ofstream(folder_ + "/b/artifacts/" + HexEncode(Sha256(content_))) << content_;
    source_.bundle_path = folder_ + "/b.tar";
    ASSERT_TRUE(
        RunCommandOk({.argv = {"tar", "-C", folder_ + "/b", "-cf", source_.bundle_path, "desired", "artifacts"}}).ok());
  }

  TestMaker maker_{"acme"};
  std::string folder_;
  std::string content_;
  ArtifactSource source_;
  FakeHttpFetcher fetcher_;
  FakeClock clock_;
  Stager stager_{fetcher_, clock_};
  EventLoop loop_{clock_};
  std::map<std::string, absl::StatusOr<umv2::PrepareUpdate>> answers_;
  std::unique_ptr<ArtifactDelivery> delivery_;
};

TEST_F(DeliveryTest, UmsThatNeedOneArtifactShareItsDownload) {
  fetcher_.Serve("http://m/artifact", content_);
  Ask(Node("a", "ecu2"));
  Ask(Node("b", "ecu3"));
  for (const char* node_id : {"a", "b"}) {
    const auto info = Answer(node_id);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(Get(info->url()).value_or("nothing"), content_);
  }
  EXPECT_EQ(fetcher_.bytes_sent("http://m/artifact"), content_.size());
}

TEST_F(DeliveryTest, WhatMayPassIsTriedAgainAndWhatMayNotIsAnswered) {
  fetcher_.Serve("http://m/artifact", content_);
  // Until the stager's own deadline, in virtual time.
  fetcher_.Fail("http://m/artifact", absl::UnavailableError("no network"));
  Ask(Node("a", "ecu2"));
  EXPECT_TRUE(WaitFor([&] {
    const auto progress = delivery_->Progress("1-1", "a");
    return progress.has_value() && absl::StrContains(progress->activity, "CM tries again in");
  }));
  EXPECT_TRUE(answers_.empty());
  fetcher_.Fail("http://m/artifact", absl::UnavailableError("no network"), 0);
  EXPECT_TRUE(Answer("a").ok());

  source_.base_urls = {"http://nowhere"};
  content_ += "of another artifact";
  fetcher_.Fail("http://nowhere/artifact", absl::InvalidArgumentError("no URL"));
  Ask(Node("b", "ecu2"));
  EXPECT_EQ(Answer("b").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(DeliveryTest, OtherServersAreTakenWhileItFetches) {
  while (content_.size() < 2 * kStageCheckpoint) content_ += content_;
  constexpr uint64_t kCutOff = kStageCheckpoint + 1;
  const Recipient recipient{.participant = ParticipantOf("a"), .node = Node("a", "ecu2")};
  for (const bool resumed : {false, true}) {
    std::filesystem::remove_all(folder_ + "/cache");
    Restart();
    answers_.clear();
    const std::string old_base = resumed ? "http://old2" : "http://old1";
    const std::string new_base = resumed ? "http://new2" : "http://new1";
    fetcher_.Serve(old_base + "/artifact", content_);
    fetcher_.FailAt(old_base + "/artifact", kCutOff, absl::UnavailableError("no network"), FakeHttpFetcher::kForEver);
    source_.base_urls = {old_base};
    if (resumed) {
      delivery_->Resume("1-1", {recipient}, source_,
                        [](const std::string&, const absl::Status& why) { ADD_FAILURE() << why; });
    } else {
      delivery_->MakePrepare("1-1", recipient.participant, recipient.node, source_,
                             [](const auto&) { ADD_FAILURE() << "answered for the servers of before"; });
    }
    EXPECT_TRUE(WaitFor([&] { return fetcher_.bytes_sent(old_base + "/artifact") >= kCutOff; }));
    fetcher_.Serve(new_base + "/artifact", content_);
    source_.base_urls = {new_base};
    Ask(recipient.node);
    const auto info = Answer("a");
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(Get(info->url()).value_or("nothing"), content_);
    EXPECT_LT(fetcher_.bytes_sent(new_base + "/artifact"), content_.size()) << "what was there is not fetched again";
  }
}

TEST_F(DeliveryTest, AnotherSourceNeedsNotWaitForTheWorkerOfTheOneBefore) {
  std::promise<void> begun;
  std::promise<void> go_on;
  std::once_flag once;
  fetcher_.SetObserver([&](const std::string&, uint64_t) {
    std::call_once(once, [&] {
      begun.set_value();
      go_on.get_future().wait();
    });
  });
  fetcher_.Serve("http://m/artifact", content_);
  delivery_->MakePrepare("1-1", ParticipantOf("a"), Node("a", "ecu2"), source_,
                         [](const auto&) { ADD_FAILURE() << "answered for the source of before"; });
  begun.get_future().wait();
  MakeBundle();
  Ask(Node("a", "ecu2"));
  const auto info = Answer("a");
  go_on.set_value();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(Get(info->url()).value_or("nothing"), content_);
  EXPECT_FALSE(delivery_->Progress("1-1", "a").has_value());
}

TEST_F(DeliveryTest, AnUpdateThatWasForgottenMayBeginAgain) {
  fetcher_.Serve("http://m/artifact", content_);
  fetcher_.Fail("http://m/artifact", absl::UnavailableError("no network"));
  delivery_->MakePrepare("1-1", ParticipantOf("a"), Node("a", "ecu2"), source_,
                         [](const auto&) { ADD_FAILURE() << "answered though forgotten"; });
  EXPECT_TRUE(WaitFor([&] { return !fetcher_.requests().empty(); }));
  delivery_->Forget("1-1");
  EXPECT_FALSE(delivery_->Progress("1-1", "a").has_value());
  fetcher_.Fail("http://m/artifact", absl::OkStatus(), 0);
  Ask(Node("a", "ecu2"));
  EXPECT_TRUE(Answer("a").ok());
}

// For ThreadSanitizer: nothing but the end itself orders the worker's last steps before it.
// mender-server#1213: the path goes before the query, which holds the signature.
TEST_F(DeliveryTest, APresignedUrlKeepsItsQueryBehindThePath) {
  source_.base_urls = {"http://m/site/?sv=1&sig=a%2Fb", "http://n?x=/", "http://o/"};
  Ask(Node("a", "main"));
  const auto info = Answer("a");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->url(), "http://m/site/artifact?sv=1&sig=a%2Fb");
  EXPECT_THAT(info->annotations(), testing::HasSubstr("http://n/artifact?x=/"));
  EXPECT_THAT(info->annotations(), testing::HasSubstr("http://o/artifact"));
}

TEST_F(DeliveryTest, EndsWithAnAnswerThatNobodyTook) {
  MakeBundle();
  Ask(Node("a", "ecu2"));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  delivery_.reset();
  loop_.RunReady();
  EXPECT_TRUE(answers_.empty());
}

TEST_F(DeliveryTest, AnAosUmGetsItsOwnDigestAndNothingOfOursFromABundleToo) {
  MakeBundle();
  config::v1::Node node = Node("aos", "main");
  node.set_profile(config::v1::AOS8);
  Ask(node);
  Ask(Node("other", "main"));
  const auto info = Answer("aos");
  ASSERT_TRUE(info.ok()) << info.status();
  std::string sha3(32, '\0');
  EVP_Digest(content_.data(), content_.size(), reinterpret_cast<unsigned char*>(sha3.data()), nullptr, EVP_sha3_256(),
             nullptr);
  EXPECT_EQ(info->sha256(), sha3);
  EXPECT_EQ(info->annotations(), "");
  EXPECT_EQ(Get(info->url()).value_or("nothing"), content_);
  const auto other = Answer("other");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->sha256(), Sha256(content_));
  EXPECT_THAT(other->annotations(), testing::HasSubstr("tandem"));
}

TEST_F(DeliveryTest, UrlsStayGoodOverARestart) {
  for (const bool bundle : {false, true}) {
    const std::string node_id = bundle ? "from bundle" : "from cache";
    if (bundle) MakeBundle();
    fetcher_.Serve("http://m/artifact", content_);
    Ask(Node(node_id, "ecu2"));
    const auto info = Answer(node_id);
    ASSERT_TRUE(info.ok()) << info.status();
    Restart();
    EXPECT_EQ(Get(info->url()).status().code(), absl::StatusCode::kUnavailable);
    // Its own updates go on; others stay away.
    const Recipient recipient{.participant = ParticipantOf(node_id), .node = Node(node_id, "ecu2")};
    const auto failed = [](const std::string&, const absl::Status& why) { ADD_FAILURE() << why; };
    delivery_->Resume("1-1", {recipient}, source_, failed);
    EXPECT_TRUE(WaitFor([&] { return Get(info->url()).value_or("") == content_; })) << node_id;
    delivery_->Forget("1-1");
    EXPECT_EQ(Get(info->url()).status().code(), absl::StatusCode::kNotFound);
  }
}

TEST_F(DeliveryTest, ABundleThatIsGoneAfterARestartIsSaid) {
  MakeBundle();
  std::filesystem::remove(source_.bundle_path);
  std::string said;
  delivery_->Resume("1-1", {{.participant = ParticipantOf("a"), .node = Node("a", "main")}}, source_,
                    [&](const std::string& node_id, const absl::Status& why) {
                      said = absl::StrCat(node_id, ": ", std::string(why.message()));
                    });
  EXPECT_TRUE(WaitFor([&] { return !said.empty(); }));
  EXPECT_THAT(said, testing::HasSubstr("b.tar"));
}

TEST_F(DeliveryTest, APortThatSomebodyStillHoldsIsWaitedFor) {
  auto other = *ArtifactServer::Start({});
  Restart(absl::StrCat("127.0.0.1:", other->port()));
  fetcher_.Serve("http://m/artifact", content_);
  Ask(Node("a", "ecu2"));
  EXPECT_TRUE(WaitFor([&] {
    const auto progress = delivery_->Progress("1-1", "a");
    return progress.has_value() && absl::StrContains(progress->activity, "is the port taken?");
  }));
  EXPECT_TRUE(answers_.empty());
  other.reset();
  EXPECT_TRUE(WaitFor([&] {
    clock_.Advance(absl::Seconds(1));
    return answers_.contains("a");
  }));
  EXPECT_TRUE(answers_.at("a").ok()) << answers_.at("a").status();
}

}  // namespace
}  // namespace tandem::cm
