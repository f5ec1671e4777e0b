#include "cm/um_registry/um_registry.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace umv2 = updatemanager::v2;

class FakeStream : public UmStream {
 public:
  void Send(const umv2::CMMessages&) override { ++sent; }
  void Close(const absl::Status& status) override { closed = status; }
  int sent = 0;
  absl::Status closed;
};

umv2::UpdateStatus From(const std::string& node_id) {
  umv2::UpdateStatus status;
  status.set_node_id(node_id);
  return status;
}

class UmRegistryTest : public testing::Test {
 protected:
  UmRegistryTest() : registry_(Nodes()) {
    registry_.SetCallbacks(
        {.status = [this](const UmInfo& um,
                          bool registered) { events_.push_back((registered ? "+" : "=") + um.node.node_id()); },
         .lost = [this](const UmInfo& um) { events_.push_back("-" + um.node.node_id()); },
         .refused = [this](const std::string& node_id, const absl::Status&) { events_.push_back("!" + node_id); }});
  }

  static std::vector<config::v1::Node> Nodes() {
    config::v1::Node here, there;
    here.set_node_id("here");
    there.set_node_id("there");
    there.set_computer("ecu2");
    return {here, there};
  }

  UmRegistry registry_;
  std::vector<std::string> events_;
  const UmPeer local_ = {.local = true, .names = {}, .address = "unix:"};
  std::shared_ptr<FakeStream> stream_ = std::make_shared<FakeStream>();
  std::shared_ptr<FakeStream> second_ = std::make_shared<FakeStream>();
};

TEST_F(UmRegistryTest, KnowsWhoIsThereAndWhatTheyLastSaid) {
  EXPECT_FALSE(registry_.AllSeen());
  ASSERT_TRUE(registry_.Register(stream_, local_, From("here")).ok());
  umv2::UpdateStatus prepared = From("here");
  prepared.set_update_state(umv2::PREPARED);
  registry_.Status(stream_, prepared);
  EXPECT_EQ(registry_.ums().at("here").last.update_state(), umv2::PREPARED);
  EXPECT_TRUE(registry_.Send("here", {}).ok());
  EXPECT_EQ(stream_->sent, 1);
  registry_.Closed(stream_);
  EXPECT_FALSE(registry_.ums().at("here").connected);
  EXPECT_EQ(registry_.Send("here", {}).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(events_, ElementsAre("+here", "=here", "-here"));
}

TEST_F(UmRegistryTest, RefusesWhoIsNotConfigured) {
  const absl::Status refused = registry_.Register(stream_, local_, From("stranger"));
  EXPECT_EQ(refused.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("add it to \"nodes\""));
  EXPECT_THAT(events_, ElementsAre("!stranger"));
}

TEST_F(UmRegistryTest, ASecondStreamIsRefusedWhileTheFirstLivesAndWelcomeAfterwards) {
  ASSERT_TRUE(registry_.Register(stream_, local_, From("here")).ok());
  EXPECT_EQ(registry_.Register(second_, local_, From("here")).code(), absl::StatusCode::kAlreadyExists);
  registry_.Closed(second_);
  EXPECT_TRUE(registry_.ums().at("here").connected);
  registry_.Closed(stream_);
  EXPECT_TRUE(registry_.Register(second_, local_, From("here")).ok());
}

TEST_F(UmRegistryTest, ANodeOfAnotherComputerNeedsACertificateWithItsName) {
  EXPECT_EQ(registry_.Register(stream_, local_, From("there")).code(), absl::StatusCode::kPermissionDenied);
  const UmPeer wrong = {.names = {"else"}, .address = "10.0.0.2:1"};
  EXPECT_EQ(registry_.Register(stream_, wrong, From("there")).code(), absl::StatusCode::kPermissionDenied);
  const UmPeer nobody = {.names = {}, .address = "10.0.0.2:1"};
  EXPECT_EQ(registry_.Register(stream_, nobody, From("there")).code(), absl::StatusCode::kPermissionDenied);
  const UmPeer right = {.names = {"x", "there"}, .address = "10.0.0.2:1"};
  EXPECT_TRUE(registry_.Register(stream_, right, From("there")).ok());
}

TEST_F(UmRegistryTest, AStreamThatChangesItsNameIsEnded) {
  ASSERT_TRUE(registry_.Register(stream_, local_, From("here")).ok());
  registry_.Status(stream_, From("there"));
  EXPECT_EQ(stream_->closed.code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace tandem::cm
