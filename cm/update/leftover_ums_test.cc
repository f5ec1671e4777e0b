#include "cm/update/leftover_ums.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/update_room.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
namespace umv2 = updatemanager::v2;

class LeftoverUmsTest : public testing::Test {
 protected:
  void Look(bool registered) { leftovers_.Look(room_.ums.ums().at("a"), registered); }
  const std::vector<umv2::CMMessages>& commands() { return room_.streams.at("a")->commands; }
  // The unit is committed to version 2 of "a".
  void Commit() {
    StoredDesired documents;
    documents.envelopes = room_.MakeDesired({{"a", "2"}}, 7);
    documents.accepted.assignment = room_.maker.AssignmentOf("unit-1", 7, documents.envelopes.releases);
    documents.accepted.releases.push_back(
        {.digest = PayloadDigest(documents.envelopes.releases[0]),
         .release = room_.maker.ReleaseOf("r7", {{.id = "a", .type = "a", .version = "2"}}),
         .envelope = documents.envelopes.releases[0]});
    ASSERT_TRUE(room_.desired->SetCommitted(documents, {}).ok());
  }

  UpdateRoom room_;
  int looked_ = 0;
  LeftoverUms leftovers_{{.loop = room_.loop,
                          .clock = room_.clock,
                          .desired = *room_.desired,
                          .ums = room_.ums,
                          .update = room_.update,
                          .looked = [this] { ++looked_; }}};
};

TEST_F(LeftoverUmsTest, AUmAtRestIsLeftAlone) {
  room_.Report("a", umv2::IDLE, "1");
  Look(true);
  EXPECT_THAT(commands(), IsEmpty());
  EXPECT_THAT(leftovers_.Unsettled(), IsEmpty());
}

TEST_F(LeftoverUmsTest, OneThatHasWhatTheUnitIsCommittedToApplies) {
  Commit();
  room_.Report("a", umv2::UPDATED, "2");
  Look(true);
  ASSERT_EQ(commands().size(), 1u);
  EXPECT_TRUE(commands()[0].has_apply_update());
  EXPECT_THAT(leftovers_.Unsettled(), ElementsAre("a"));
}

TEST_F(LeftoverUmsTest, OneThatHasSomethingElseGoesBack) {
  Commit();
  room_.Report("a", umv2::UPDATED, "3");
  Look(true);
  ASSERT_EQ(commands().size(), 1u);
  EXPECT_TRUE(commands()[0].has_revert_update());
}

TEST_F(LeftoverUmsTest, OneThatWasLeftOverAndDoesNotSayWhatItRunsApplies) {
  UnitUpdate update;
  Participant participant{.node_id = "a"};
  participant.targets.push_back({.component_id = "a", .component_type = "a", .version = "2"});
  update.participants = {participant};
  update.leftovers = {"a"};
  ASSERT_TRUE(room_.desired->SetLeftovers(update).ok());
  room_.Report("a", umv2::UPDATED, "2");
  umv2::UpdateStatus status = room_.ums.ums().at("a").last;
  status.clear_components();
  room_.ums.Status(room_.streams.at("a"), status);
  Look(true);
  ASSERT_EQ(commands().size(), 1u);
  EXPECT_TRUE(commands()[0].has_apply_update()) << "COMMIT was decided for it";
  room_.Report("a", umv2::UPDATED, "3");
  Look(true);
  EXPECT_TRUE(commands().back().has_revert_update());
}

TEST_F(LeftoverUmsTest, OneThatWorksIsNotInterrupted) {
  room_.Report("a", umv2::FAILED, "1", /*working=*/true);
  Look(true);
  EXPECT_THAT(commands(), IsEmpty());
}

TEST_F(LeftoverUmsTest, IsToldAgainABoundedNumberOfTimesAndAfreshWhenItRegisters) {
  room_.Report("a", umv2::FAILED, "1");
  Look(true);
  room_.Pass(absl::Minutes(10));
  EXPECT_EQ(commands().size(), 5u);
  EXPECT_GT(looked_, 0);
  EXPECT_THAT(leftovers_.Unsettled(), IsEmpty());
  Look(true);
  EXPECT_EQ(commands().size(), 6u);
}

TEST_F(LeftoverUmsTest, IsToldAfreshWhenTheNextUpdateIsOver) {
  room_.Report("a", umv2::FAILED, "1");
  Look(true);
  room_.Pass(absl::Minutes(10));
  EXPECT_EQ(commands().size(), 5u);
  leftovers_.AnUpdateIsOver();
  room_.Pass(absl::Minutes(10));
  EXPECT_EQ(commands().size(), 10u);
}

TEST_F(LeftoverUmsTest, NobodyIsToldOnceAnUpdateRuns) {
  room_.Report("a", umv2::FAILED, "1");
  Look(true);
  room_.update.shown.phase = Phase::kPreparing;
  room_.Pass(absl::Minutes(1));
  EXPECT_EQ(commands().size(), 1u);
}

}  // namespace
}  // namespace tandem::cm
