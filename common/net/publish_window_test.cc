#include "common/net/publish_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/net/publish_answers.h"

namespace tandem {
namespace {

using testing::ElementsAre;

class PublishWindowTest : public testing::Test, protected PublishAnswers {
 protected:
  absl::Status Publish(const std::string& payload) { return window_.Publish({.payload = payload}, Note()); }
  std::vector<std::string> sent() {
    std::lock_guard lock(mutex_);
    return sent_;
  }
  uint64_t IdOf(size_t at) {
    std::lock_guard lock(mutex_);
    return ids_[at];
  }

  std::vector<std::string> sent_;
  std::vector<uint64_t> ids_;
  absl::Status send_status_;
  PublishWindow window_{[this](uint64_t id, const MqttMessage& message) {
                          std::lock_guard lock(mutex_);
                          ids_.push_back(id);
                          sent_.push_back(message.payload);
                          return send_status_;
                        },
                        absl::Minutes(5), 3};
};

TEST_F(PublishWindowTest, OnlySoManyAreSentAtATimeInTheirOrder) {
  window_.Open(2);
  for (const char* payload : {"a", "b", "c", "d", "e"}) ASSERT_TRUE(Publish(payload).ok());
  EXPECT_THAT(sent(), ElementsAre("a", "b"));
  EXPECT_EQ(Publish("f").code(), absl::StatusCode::kUnavailable);
  window_.Answer(IdOf(1), absl::OkStatus());
  EXPECT_EQ(WaitFor(1).size(), 1u);
  EXPECT_THAT(sent(), ElementsAre("a", "b", "c"));
  window_.Answer(IdOf(0), absl::PermissionDeniedError("no"));
  window_.Answer(IdOf(2), absl::OkStatus());
  EXPECT_THAT(WaitFor(3),
              ElementsAre(absl::StatusCode::kOk, absl::StatusCode::kPermissionDenied, absl::StatusCode::kOk));
  EXPECT_THAT(sent(), ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(PublishWindowTest, ALostConnectionAnswersAllAndTheNextOneStartsAfresh) {
  EXPECT_EQ(Publish("x").code(), absl::StatusCode::kUnavailable);
  window_.Open(1);
  for (const char* payload : {"a", "b"}) ASSERT_TRUE(Publish(payload).ok());
  window_.Close(absl::UnavailableError("gone"));
  EXPECT_THAT(WaitFor(2), ElementsAre(absl::StatusCode::kUnavailable, absl::StatusCode::kUnavailable));
  EXPECT_EQ(Publish("x").code(), absl::StatusCode::kUnavailable);
  window_.Open(1);
  ASSERT_TRUE(Publish("c").ok());
  // Of the connection before.
  window_.Answer(IdOf(0), absl::OkStatus());
  ASSERT_TRUE(Publish("d").ok());
  EXPECT_THAT(sent(), ElementsAre("a", "c"));
  window_.Answer(IdOf(1), absl::OkStatus());
  EXPECT_EQ(WaitFor(3).back(), absl::StatusCode::kOk);
  EXPECT_THAT(sent(), ElementsAre("a", "c", "d"));
  window_.Stop();
  EXPECT_EQ(codes_.size(), 4u);
}

TEST_F(PublishWindowTest, WhatTheLibraryRefusesMakesRoom) {
  send_status_ = absl::UnavailableError("no");
  window_.Open(1);
  for (const char* payload : {"a", "b", "c"}) ASSERT_TRUE(Publish(payload).ok());
  EXPECT_EQ(WaitFor(3), std::vector<absl::StatusCode>(3, absl::StatusCode::kUnavailable));
  window_.Stop();
}

}  // namespace
}  // namespace tandem
