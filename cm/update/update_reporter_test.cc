#include "cm/update/update_reporter.h"

#include <set>

#include "cm/update/status_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/update_room.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class UpdateReporterTest : public testing::Test {
 protected:
  UpdateReporterTest() {
    update_.phase = Phase::kTrial;
    update_.update_id = "7.0";
    update_.sequence = 7;
    update_.correlation_id = "rollout-1";
  }

  UpdateRoom room_;
  UnitUpdate update_;
};

TEST_F(UpdateReporterTest, EveryReportHasANameOfItsOwn) {
  std::set<std::string_view> names;
  int count = 0;
  for (int i = 0; i <= static_cast<int>(UpdateReport::kSafeMode); ++i, ++count) {
    names.insert(Name(static_cast<UpdateReport>(i)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(count));
  EXPECT_FALSE(names.contains(""));
}

TEST_F(UpdateReporterTest, EveryPhaseButIdleIsReportedUnderItsName) {
  EXPECT_FALSE(ReportOf(Phase::kIdle).has_value());
  EXPECT_EQ(Name(*ReportOf(Phase::kNeedsService)), "needs_service");
  EXPECT_EQ(Name(*ReportOf(Phase::kCommitting)), "committing");
}

TEST_F(UpdateReporterTest, AnOutcomeIsReadBackByItsName) {
  for (const Outcome outcome : {Outcome::kApplied, Outcome::kReverted, Outcome::kNeedsService}) {
    EXPECT_EQ(ParseOutcome(Name(outcome)), outcome);
  }
  EXPECT_FALSE(ParseOutcome("running").has_value());
}

TEST_F(UpdateReporterTest, AnUpdateIsReportedToHistoryAndCloud) {
  room_.reporter->Report(update_, UpdateReport::kTrial, "");
  EXPECT_THAT(room_.history.events, ElementsAre("7.0 Trial trial"));
  ASSERT_THAT(room_.cloud.feedback, SizeIs(1));
  EXPECT_EQ(room_.cloud.feedback[0].sequence(), 7u);
  EXPECT_EQ(room_.cloud.feedback[0].correlation_id(), "rollout-1");
  EXPECT_THAT(room_.cloud.applied, SizeIs(0));
}

TEST_F(UpdateReporterTest, AppliedAndProvisionalAreMessagesOfTheirOwnToo) {
  room_.reporter->Report(update_, UpdateReport::kProvisional, "");
  update_.phase = Phase::kIdle;
  update_.outcome = Outcome::kApplied;
  room_.reporter->Report(update_, UpdateReport::kApplied, "");
  EXPECT_THAT(room_.cloud.provisional, SizeIs(1));
  EXPECT_THAT(room_.cloud.applied, SizeIs(1));
  EXPECT_THAT(room_.Told(), ElementsAre("provisional: ", "applied: "));
  ASSERT_TRUE(room_.reporter->last_update().has_value());
  EXPECT_EQ(room_.reporter->last_update()->update_id(), "7.0");
}

TEST_F(UpdateReporterTest, TheSameNewsIsToldOncePerReport) {
  room_.reporter->TellOnce(UpdateReport::kUmRefused, "x");
  room_.reporter->TellOnce(UpdateReport::kUmRefused, "x");
  room_.reporter->TellOnce(UpdateReport::kRefused, "x");
  room_.reporter->TellOnce(UpdateReport::kUmRefused, "y");
  EXPECT_THAT(room_.Told(), ElementsAre("um_refused: x", "refused: x", "um_refused: y"));
}

TEST_F(UpdateReporterTest, TheReportedStateIsPublishedWhenItChanged) {
  room_.reporter->PublishReported(update_, "");
  room_.reporter->PublishReported(update_, "");
  EXPECT_THAT(room_.cloud.reported, SizeIs(1));
  update_.phase = Phase::kCommitting;
  room_.reporter->PublishReported(update_, "");
  EXPECT_THAT(room_.cloud.reported, SizeIs(2));
}

TEST_F(UpdateReporterTest, AFullOutboxStopsNothing) {
  room_.cloud.FailQueue(absl::ResourceExhaustedError("full"));
  room_.reporter->Report(update_, UpdateReport::kTrial, "");
  EXPECT_THAT(room_.history.events, SizeIs(1));
}

TEST_F(UpdateReporterTest, WhatCanNeverBeQueuedKeepsNothingElseBack) {
  room_.cloud.FailQueue(absl::InvalidArgumentError("the payload is no JSON object"));
  room_.reporter->Report(update_, UpdateReport::kTrial, "");
  room_.cloud.FailQueue(absl::OkStatus());
  room_.reporter->Report(update_, UpdateReport::kReverting, "");
  EXPECT_THAT(room_.Told(), ElementsAre("reverting: "));
}

TEST_F(UpdateReporterTest, WhatCannotBeQueuedIsQueuedLaterInItsOrder) {
  room_.cloud.FailQueue(absl::InternalError("input/output error"));
  room_.reporter->Report(update_, UpdateReport::kTrial, "");
  room_.reporter->Report(update_, UpdateReport::kApplied, "");
  room_.Pass(absl::Minutes(10));
  EXPECT_THAT(room_.Told(), SizeIs(0));
  room_.cloud.FailQueue(absl::OkStatus());
  room_.Pass(absl::Minutes(1));
  EXPECT_THAT(room_.Told(), ElementsAre("trial: ", "applied: "));
  EXPECT_THAT(room_.cloud.applied, SizeIs(1));
  room_.reporter->Report(update_, UpdateReport::kCommitting, "");
  EXPECT_THAT(room_.Told(), SizeIs(3)) << "at once again";
}

TEST_F(UpdateReporterTest, WhatTheHistoryDoesNotKnowTheEndOfIsToldAfterARestart) {
  room_.history.Record(ViewUpdate(update_));
  update_.phase = Phase::kIdle;
  update_.outcome = Outcome::kApplied;
  update_.reason = "mcu is away";
  room_.reporter->Recover(update_);
  EXPECT_THAT(room_.Told(), ElementsAre("applied: mcu is away"));
  room_.reporter->Recover(update_);
  EXPECT_THAT(room_.Told(), SizeIs(1)) << "once";
}

TEST_F(UpdateReporterTest, AnOutcomeThatWasNotQueuedIsToldAfterARestart) {
  room_.history.Record(ViewUpdate(update_));
  update_.phase = Phase::kIdle;
  update_.outcome = Outcome::kReverted;
  room_.cloud.FailQueue(absl::ResourceExhaustedError("disk full"));
  room_.reporter->Report(update_, UpdateReport::kReverted, "gate");
  EXPECT_EQ(room_.history.updates.at(0).outcome(), Name(Outcome::kNone)) << "nobody was told yet";
  room_.cloud.FailQueue(absl::OkStatus());
  room_.Pass(absl::Minutes(1));
  EXPECT_THAT(room_.Told(), ElementsAre("reverted: gate"));
  EXPECT_EQ(room_.history.updates.at(0).outcome(), Name(Outcome::kReverted));
}

}  // namespace
}  // namespace tandem::cm
