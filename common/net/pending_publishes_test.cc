#include "common/net/pending_publishes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "common/net/publish_answers.h"

namespace tandem {
namespace {

using testing::ElementsAre;

class PendingPublishesTest : public testing::Test, protected PublishAnswers {
 protected:
  PendingPublishes pending_;
};

TEST_F(PendingPublishesTest, TheFirstAnswerCounts) {
  const uint64_t id = pending_.Add(absl::Seconds(100), Note());
  pending_.Complete(id, absl::PermissionDeniedError("no"));
  pending_.Complete(id, absl::OkStatus());
  pending_.CompleteAll(absl::UnavailableError("gone"));
  EXPECT_THAT(WaitFor(1), ElementsAre(absl::StatusCode::kPermissionDenied));
  pending_.Stop();
  EXPECT_EQ(WaitFor(1).size(), 1u);
}

TEST_F(PendingPublishesTest, WithoutAnAnswerTheTimeIsUp) {
  const uint64_t later = pending_.Add(absl::Seconds(100), Note());
  pending_.Add(absl::Milliseconds(10), Note());
  EXPECT_THAT(WaitFor(1), ElementsAre(absl::StatusCode::kDeadlineExceeded));
  pending_.Complete(later, absl::OkStatus());
  EXPECT_EQ(WaitFor(2).back(), absl::StatusCode::kOk);
}

TEST_F(PendingPublishesTest, ALostConnectionAnswersAll) {
  for (int i = 0; i < 3; ++i) pending_.Add(absl::Seconds(100), Note());
  pending_.CompleteAll(absl::UnavailableError("gone"));
  EXPECT_EQ(WaitFor(3), std::vector<absl::StatusCode>(3, absl::StatusCode::kUnavailable));
}

TEST_F(PendingPublishesTest, StopAnswersWhatWaitsAndNothingComesAfterIt) {
  pending_.Add(absl::Seconds(100), Note());
  pending_.Stop();
  EXPECT_THAT(codes_, ElementsAre(absl::StatusCode::kUnavailable));
  pending_.Complete(pending_.Add(absl::Milliseconds(1), Note()), absl::OkStatus());
  EXPECT_EQ(codes_.size(), 1u);
}

TEST_F(PendingPublishesTest, AnAnswerMayAskForMore) {
  pending_.Complete(pending_.Add(absl::Seconds(100),
                                 [this](const absl::Status&) {
                                   pending_.Complete(pending_.Add(absl::Seconds(100), Note()), absl::OkStatus());
                                 }),
                    absl::OkStatus());
  EXPECT_THAT(WaitFor(1), ElementsAre(absl::StatusCode::kOk));
}

}  // namespace
}  // namespace tandem
