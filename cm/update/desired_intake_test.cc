#include "cm/update/desired_intake.h"

#include "common/crypto/signed_metadata.h"
#include "common/image/stager.h"
#include "common/net/fake_http_fetcher.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/update_room.h"

namespace tandem::cm {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;
namespace umv2 = updatemanager::v2;

class DesiredIntakeTest : public testing::Test {
 protected:
  DesiredIntakeTest() : room_({"a", "b"}) {
    room_.ums.SetCallbacks(
        {.status = [this](const UmInfo&, bool) { intake_.OnInventory(); }, .lost = {}, .refused = {}});
  }

  void BothRun(const std::string& version) {
    room_.Report("a", umv2::IDLE, version);
    room_.Report("b", umv2::IDLE, version);
  }
  void PassWhileTicking(absl::Duration time) {
    for (; time > absl::ZeroDuration(); time -= absl::Seconds(1)) {
      room_.Pass(absl::Seconds(1));
      intake_.Tick();
    }
  }

  UpdateRoom room_;
  FakeHttpFetcher fetcher_;
  Stager stager_{fetcher_, room_.clock};
  ArtifactDelivery delivery_{room_.loop, room_.fs, stager_, {}, "/cm"};
  const Limits limits_;
  TrialGates gates_{{.loop = room_.loop,
                     .clock = room_.clock,
                     .config = room_.config,
                     .limits = limits_,
                     .trust = *room_.trust,
                     .make_gate = {},
                     .update = room_.update,
                     .reporter = *room_.reporter}};
  LeftoverUms leftovers_{{.loop = room_.loop,
                          .clock = room_.clock,
                          .desired = *room_.desired,
                          .ums = room_.ums,
                          .update = room_.update,
                          .looked = [] {}}};
  RollbackWindow window_{{.loop = room_.loop,
                          .clock = room_.clock,
                          .config = room_.config,
                          .trust = *room_.trust,
                          .desired = *room_.desired,
                          .ums = room_.ums,
                          .delivery = delivery_,
                          .update = room_.update,
                          .sealed = [] {}}};
  DesiredIntake intake_{{.loop = room_.loop,
                         .clock = room_.clock,
                         .config = room_.config,
                         .limits = limits_,
                         .trust = *room_.trust,
                         .desired = *room_.desired,
                         .ums = room_.ums,
                         .update = room_.update,
                         .reporter = *room_.reporter,
                         .leftovers = leftovers_,
                         .window = window_,
                         .gates = gates_}};
};

TEST_F(DesiredIntakeTest, BeginsWithTheUmsThatDoNotRunTheVersionYet) {
  BothRun("1.0.0");
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}, {"b", "1.0.0"}}, 7));
  ASSERT_THAT(room_.update.begun, SizeIs(1));
  ASSERT_THAT(room_.update.begun[0].update.participants, SizeIs(1));
  EXPECT_EQ(room_.update.begun[0].update.participants[0].node_id, "a");
  EXPECT_EQ(room_.update.begun[0].update.update_id, "7.0");
  EXPECT_THAT(intake_.reason(), IsEmpty());
}

TEST_F(DesiredIntakeTest, WaitsUntilEveryUmHasRegistered) {
  room_.Report("a", umv2::IDLE, "1.0.0");
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}}, 7));
  EXPECT_THAT(room_.update.begun, IsEmpty());
  EXPECT_THAT(intake_.reason(), HasSubstr("b"));
  EXPECT_TRUE(intake_.Waits());
  room_.Report("b", umv2::IDLE, "1.0.0");
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

TEST_F(DesiredIntakeTest, DoesNotWaitForAUmForLongerThanTheRegistrationBudget) {
  room_.Report("a", umv2::IDLE, "1.0.0");
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}}, 7));
  PassWhileTicking(limits_.registration + absl::Seconds(2));
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

TEST_F(DesiredIntakeTest, WhatWasAcceptedBeforeARestartBeginsWithoutTheMissingUmToo) {
  room_.Report("a", umv2::IDLE, "1.0.0");
  // As after a restart: it is stored, and nothing brings it again.
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}}, 7));
  intake_.MaybeBegin();
  EXPECT_TRUE(intake_.Waits());
  PassWhileTicking(limits_.registration + absl::Seconds(2));
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

TEST_F(DesiredIntakeTest, WhatIsWrongIsRefusedOnceAndSaid) {
  BothRun("1.0.0");
  DesiredEnvelopes wrong = room_.MakeDesired({{"a", "2.0.0"}}, 7);
  wrong.assignment = room_.maker.Seal(room_.maker.AssignmentOf("unit-2", 7, wrong.releases));
  intake_.OnDesired(wrong);
  intake_.OnDesired(wrong);
  EXPECT_THAT(room_.Told(), SizeIs(1));
  EXPECT_THAT(room_.Told()[0], StartsWith("refused: "));
  EXPECT_THAT(intake_.reason(), HasSubstr("refused"));
}

// A disk that is full for a moment says nothing about the assignment.
TEST_F(DesiredIntakeTest, AnErrorOfThisMachineIsNoRefusalAndPasses) {
  BothRun("1.0.0");
  room_.fs.SetCapacity(0);
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}}, 7));
  EXPECT_THAT(room_.update.begun, IsEmpty());
  EXPECT_THAT(room_.Told(), Not(Contains(StartsWith("refused"))));
  EXPECT_THAT(room_.Told(), Contains(StartsWith("waiting")));
  PassWhileTicking(absl::Minutes(5));
  room_.fs.SetCapacity(1 << 20);
  PassWhileTicking(absl::Minutes(2));
  EXPECT_THAT(room_.update.begun, SizeIs(1));
  EXPECT_THAT(room_.Told(), Not(Contains(StartsWith("refused"))));
}

TEST_F(DesiredIntakeTest, AnUpdateThatCannotBeMadeDurableBeginsLater) {
  BothRun("1.0.0");
  room_.update.begin_status = absl::ResourceExhaustedError("full");
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}}, 7));
  EXPECT_THAT(room_.Told(), Not(Contains(StartsWith("refused"))));
  room_.update.begin_status = absl::OkStatus();
  room_.Pass(absl::Seconds(3));
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

TEST_F(DesiredIntakeTest, KeySetsThatCannotBeRecordedAreTriedAgain) {
  release::v1::KeySet next = room_.maker.FirstKeySet();
  next.set_version(2);
  const std::vector<std::string> chain = {room_.maker.KeySetEnvelope(), SealOrDie(next, kKeySetType, room_.maker.root)};
  room_.fs.SetCapacity(0);
  EXPECT_FALSE(intake_.OnKeySets(chain).ok());
  EXPECT_THAT(room_.Told(), IsEmpty());
  room_.fs.SetCapacity(1 << 20);
  room_.Pass(absl::Seconds(5));
  EXPECT_THAT(room_.trust->record().key_sets(), SizeIs(2));
}

// The unit learns late what runs, and judges by that.
TEST_F(DesiredIntakeTest, ADowngradeOfAUmThatRegistersLateIsRefusedAllTheSame) {
  room_.Report("a", umv2::IDLE, "1.0.0");
  PassWhileTicking(limits_.registration + absl::Seconds(2));
  intake_.OnDesired(room_.MakeDesired({{"b", "2.0.0"}}, 7));
  EXPECT_THAT(room_.Told(), Contains(StartsWith("waiting: no UM owns")));
  room_.Report("b", umv2::IDLE, "5.0.0");
  EXPECT_THAT(room_.update.begun, IsEmpty());
  EXPECT_THAT(room_.Told(), Contains(HasSubstr("refused: ")));
  EXPECT_THAT(intake_.reason(), HasSubstr("back to 2.0.0"));
}

TEST_F(DesiredIntakeTest, ARequirementOnAUmThatHasNotSpokenYetWaitsForIt) {
  room_.Report("a", umv2::IDLE, "1.0.0");
  PassWhileTicking(limits_.registration + absl::Seconds(2));
  release::v1::Release release = room_.maker.ReleaseOf("r7", {{.id = "a", .type = "a", .version = "2.0.0"}});
  auto& requirement = *release.mutable_components(0)->add_requirements();
  requirement.set_component_type("b");
  requirement.set_min_version("1.0.0");
  intake_.OnDesired(room_.maker.Desired("unit-1", 7, {room_.maker.Seal(release)}));
  EXPECT_THAT(room_.update.begun, IsEmpty());
  EXPECT_THAT(room_.Told(), Contains(StartsWith("waiting: waits for b")));
  EXPECT_THAT(room_.Told(), Not(Contains(StartsWith("refused"))));
  room_.Report("b", umv2::IDLE, "1.0.0");
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

TEST_F(DesiredIntakeTest, AComponentThatAppearsInALaterStatusUnsticksTheUpdate) {
  BothRun("1.0.0");
  intake_.OnDesired(room_.maker.Desired(
      "unit-1", 7, {room_.maker.MakeRelease("r7", {{.id = "motor", .type = "motor", .version = "2.0.0"}})}));
  EXPECT_THAT(intake_.reason(), HasSubstr("no UM owns component motor"));
  umv2::UpdateStatus status = room_.ums.ums().at("b").last;
  auto& motor = *status.add_components();
  motor.set_component_id("motor");
  motor.set_component_type("motor");
  motor.set_version("1.0.0");
  room_.ums.Status(room_.streams.at("b"), status);
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

TEST_F(DesiredIntakeTest, AComponentThatWasGoneAtTheEndOfAnUpdateUnsticksTheNextOneWhenItIsBack) {
  BothRun("1.0.0");
  const umv2::UpdateStatus whole = room_.ums.ums().at("b").last;
  room_.update.shown.phase = Phase::kReverting;
  umv2::UpdateStatus empty = whole;
  empty.clear_components();
  room_.ums.Status(room_.streams.at("b"), empty);
  room_.update.shown.phase = Phase::kIdle;
  intake_.OnDesired(room_.maker.Desired(
      "unit-1", 7, {room_.maker.MakeRelease("r7", {{.id = "b", .type = "b", .version = "2.0.0"}})}));
  EXPECT_THAT(intake_.reason(), HasSubstr("no UM owns component b"));
  room_.ums.Status(room_.streams.at("b"), whole);
  EXPECT_THAT(room_.update.begun, SizeIs(1)) << "it is as it was before the update, not as it was when it was judged";
}

TEST_F(DesiredIntakeTest, AComponentThatTwoClaimIsRefusedWithBothNamesUntilOneLetsGo) {
  BothRun("1.0.0");
  const umv2::UpdateStatus own = room_.ums.ums().at("b").last;
  umv2::UpdateStatus greedy = own;
  umv2::ComponentStatus& claim = *greedy.add_components();
  claim.set_component_id("a");
  claim.set_component_type("a");
  claim.set_version("2.0.0");
  claim.set_state(umv2::INSTALLED);
  room_.ums.Status(room_.streams.at("b"), greedy);
  intake_.OnDesired(room_.maker.Desired(
      "unit-1", 7, {room_.maker.MakeRelease("r7", {{.id = "a", .type = "a", .version = "2.0.0"}})}));
  EXPECT_THAT(intake_.reason(), HasSubstr("component a of type a is disputed: a and b both claim it"));
  EXPECT_THAT(room_.update.begun, IsEmpty()) << "and is not taken for applied, since b says 2.0.0";
  room_.ums.Status(room_.streams.at("b"), own);
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

TEST_F(DesiredIntakeTest, WhatWasLeftBehindBeginsWithoutAskingAgain) {
  room_.config.set_needs_approval(true);
  BothRun("1.0.0");
  intake_.OnDesired(room_.maker.Desired(
      "unit-1", 7,
      {room_.maker.MakeRelease(
          "r7", {{.id = "a", .type = "a", .version = "2.0.0"}, {.id = "b", .type = "b", .version = "2.0.0"}})}));
  ASSERT_THAT(room_.update.begun, SizeIs(1));
  UnitUpdate first = room_.update.begun[0].update;
  EXPECT_TRUE(first.needs_approval);
  first.leftovers = {"b"};
  const auto documents = room_.desired->desired();
  ASSERT_TRUE(documents.ok());
  ASSERT_TRUE(room_.desired->SetCommitted(*documents, first).ok());
  ASSERT_TRUE(room_.desired->SetDone(documents->accepted, "applied", "b is away").ok());
  room_.update.shown = UnitUpdate();
  room_.Report("a", umv2::IDLE, "2.0.0");
  ASSERT_THAT(room_.update.begun, SizeIs(2));
  const UnitUpdate& second = room_.update.begun[1].update;
  ASSERT_THAT(second.participants, SizeIs(1));
  EXPECT_EQ(second.participants[0].node_id, "b");
  EXPECT_FALSE(second.needs_approval);
}

TEST_F(DesiredIntakeTest, TheSameAssignmentAgainOnlyTellsAgain) {
  BothRun("1.0.0");
  const DesiredEnvelopes desired = room_.MakeDesired({{"a", "1.0.0"}}, 7);
  intake_.OnDesired(desired);
  ASSERT_THAT(room_.update.begun, SizeIs(1));
  EXPECT_EQ(room_.update.begun[0].update.outcome, Outcome::kApplied);
  room_.update.shown.phase = Phase::kTrial;
  intake_.OnDesired(desired);
  EXPECT_THAT(room_.update.begun, SizeIs(1));
  EXPECT_THAT(room_.update.Of(Event::Kind::kAbort), IsEmpty());
}

TEST_F(DesiredIntakeTest, ANewerAssignmentSupersedesTheRunningUpdate) {
  BothRun("1.0.0");
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}}, 7));
  room_.update.shown.phase = Phase::kPreparing;
  intake_.OnDesired(room_.MakeDesired({{"a", "3.0.0"}}, 8));
  EXPECT_THAT(room_.update.Of(Event::Kind::kNewAssignmentWaits), SizeIs(1));
  EXPECT_THAT(room_.update.Of(Event::Kind::kAbort), SizeIs(1));
}

TEST_F(DesiredIntakeTest, TheSameReleasesFromElsewhereAreARefresh) {
  BothRun("1.0.0");
  DesiredEnvelopes desired = room_.MakeDesired({{"a", "2.0.0"}}, 7);
  intake_.OnDesired(desired);
  room_.update.shown.phase = Phase::kPreparing;
  release::v1::Assignment moved = room_.maker.AssignmentOf("unit-1", 8, desired.releases);
  moved.add_base_urls("https://elsewhere");
  desired.assignment = room_.maker.Seal(moved);
  intake_.OnDesired(desired);
  EXPECT_THAT(room_.update.Of(Event::Kind::kAbort), IsEmpty());
  EXPECT_THAT(room_.update.Of(Event::Kind::kSourcesChanged), SizeIs(1));
}

TEST_F(DesiredIntakeTest, ABundleIsAWayOutOfNeedsServiceToo) {
  BothRun("1.0.0");
  const Bundle bundle{.documents = room_.MakeDesired({{"a", "2.0.0"}}, 7), .artifacts = {}};
  room_.update.shown.phase = Phase::kTrial;
  EXPECT_EQ(intake_.ApplyBundle("/b.tar", bundle).status().code(), absl::StatusCode::kFailedPrecondition);
  room_.update.shown.phase = Phase::kNeedsService;
  EXPECT_TRUE(intake_.ApplyBundle("/b.tar", bundle).ok());
  EXPECT_THAT(room_.update.Of(Event::Kind::kNewAssignmentWaits), SizeIs(1));
}

TEST_F(DesiredIntakeTest, AClockThatIsBehindIsWaitedForAndTold) {
  room_.config.mutable_trust()->set_require_trusted_time(true);
  BothRun("1.0.0");
  room_.clock.SetNow(absl::FromUnixSeconds(0));
  intake_.OnDesired(room_.MakeDesired({{"a", "2.0.0"}}, 7));
  PassWhileTicking(absl::Seconds(10));
  EXPECT_THAT(room_.update.begun, IsEmpty());
  EXPECT_THAT(room_.Told(), SizeIs(1));
  EXPECT_THAT(room_.Told()[0], HasSubstr("waits for a clock"));
  room_.clock.SetNow(room_.maker.now);
  PassWhileTicking(absl::Seconds(2));
  EXPECT_THAT(room_.update.begun, SizeIs(1));
}

}  // namespace
}  // namespace tandem::cm
