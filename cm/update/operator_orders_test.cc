#include "cm/update/operator_orders.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/update_room.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class OperatorOrdersTest : public testing::Test {
 protected:
  OperatorOrdersTest() {
    room_.update.shown.phase = Phase::kReady;
    room_.update.shown.update_id = "7.0";
  }

  UpdateRoom room_;
  int published_ = 0;
  bool in_safe_mode_ = false;
  OperatorOrders orders_{{.desired = *room_.desired,
                          .update = room_.update,
                          .reporter = *room_.reporter,
                          .leave_safe_mode = [this](const std::string&) { return std::exchange(in_safe_mode_, false); },
                          .publish = [this] { ++published_; }}};
};

TEST_F(OperatorOrdersTest, NothingToApproveOrAbortAtRest) {
  room_.update.shown.phase = Phase::kIdle;
  EXPECT_EQ(orders_.Approve("").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(orders_.Abort("").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(room_.update.events, IsEmpty());
}

TEST_F(OperatorOrdersTest, AnApprovalIsTakenOnceAndOnlyWhereOneIsNeeded) {
  EXPECT_EQ(orders_.Approve("").status().code(), absl::StatusCode::kFailedPrecondition);
  room_.update.shown.needs_approval = true;
  EXPECT_EQ(orders_.Approve("Ann").value(), "update 7.0 is approved");
  EXPECT_EQ(room_.update.events.back().kind, Event::Kind::kApproved);
  EXPECT_THAT(room_.Told(), ElementsAre("approved: by an operator: Ann"));
  room_.update.shown.approved = true;
  EXPECT_THAT(orders_.Approve("Ann").value(), HasSubstr("already"));
  EXPECT_EQ(room_.update.events.size(), 1u);
}

TEST_F(OperatorOrdersTest, AnAbortCountsUntilTheDecision) {
  EXPECT_EQ(orders_.Abort("Ann").value(), "update 7.0 goes back");
  EXPECT_EQ(room_.update.events.back().text, "aborted by an operator: Ann");
  room_.update.shown.decision = Decision::kAbort;
  EXPECT_EQ(orders_.Abort("").value(), "update 7.0 goes back already");
  room_.update.shown.decision = Decision::kCommit;
  EXPECT_THAT(orders_.Abort("").status().message(), HasSubstr("assign the previous release"));
  EXPECT_EQ(room_.update.events.size(), 1u);
}

TEST_F(OperatorOrdersTest, APauseIsDurableBeforeItIsTold) {
  ASSERT_TRUE(orders_.Pause("").ok());
  EXPECT_TRUE(room_.desired->paused());
  EXPECT_EQ(published_, 1);
  ASSERT_TRUE(orders_.Resume("").ok());
  EXPECT_FALSE(room_.desired->paused());
  room_.fs.SetCapacity(0);
  EXPECT_FALSE(orders_.Pause("").ok());
  EXPECT_FALSE(room_.desired->paused());
  EXPECT_THAT(room_.Told(), ElementsAre("paused: by an operator", "resumed: by an operator"));
}

TEST_F(OperatorOrdersTest, SafeModeIsLeftOnlyByAUnitThatIsInIt) {
  EXPECT_FALSE(orders_.LeaveSafeMode("").ok());
  in_safe_mode_ = true;
  EXPECT_TRUE(orders_.LeaveSafeMode("").ok());
}

}  // namespace
}  // namespace tandem::cm
