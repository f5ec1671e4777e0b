#include "cm/update/trial_gates.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/update_room.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class TrialGatesTest : public testing::Test {
 protected:
  TrialGatesTest()
      : gates_({.loop = room_.loop,
                .clock = room_.clock,
                .config = room_.config,
                .limits = limits_,
                .trust = *room_.trust,
                .make_gate = [this](GateMode mode, const std::vector<release::v1::Probe>& probes,
                                    absl::Duration grace) -> absl::StatusOr<std::unique_ptr<GateRunner>> {
                  for (const release::v1::Probe& probe : probes) probes_.push_back(probe.name());
                  if (!gate_status_.ok()) return gate_status_;
                  return GateRunner::Create(room_.loop, workers_, mode, {}, {}, grace);
                },
                .update = room_.update,
                .reporter = *room_.reporter}) {
    room_.update.shown.update_id = "7.0";
    room_.update.shown.sequence = 7;
  }

  void Enter(Phase phase) {
    room_.update.shown.phase = phase;
    gates_.EnterPhase();
    room_.Pass(absl::Seconds(1));
  }
  void SetDocuments(const release::v1::Assignment& assignment = {}) {
    StoredDesired documents;
    documents.accepted.assignment = assignment;
    release::v1::Release release;
    release.set_release_id("r7");
    release.mutable_health()->add_probes()->set_name("of the release");
    documents.accepted.releases.push_back({.digest = "d", .release = release, .envelope = {}});
    room_.update.shown_documents = documents;
  }

  UpdateRoom room_;
  const Limits limits_;
  ProbeWorkers workers_{0};
  absl::Status gate_status_;
  std::vector<std::string> probes_;
  TrialGates gates_;
};

TEST_F(TrialGatesTest, WithoutConditionsTheUnitIsReadyAtOnce) {
  SetDocuments();
  Enter(Phase::kReady);
  const std::vector<Event> told = room_.update.Of(Event::Kind::kReadiness);
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_TRUE(told[0].flag);
}

TEST_F(TrialGatesTest, BeforeTheWindowTheUnitWaitsAndAfterItGivesUp) {
  release::v1::Assignment assignment;
  SetTimestamp(assignment.mutable_window()->mutable_not_before(), room_.clock.Now() + absl::Hours(1));
  SetTimestamp(assignment.mutable_window()->mutable_not_after(), room_.clock.Now() + absl::Hours(2));
  SetDocuments(assignment);
  Enter(Phase::kReady);
  ASSERT_THAT(room_.update.Of(Event::Kind::kReadiness), SizeIs(1));
  EXPECT_FALSE(room_.update.events.back().flag);
  EXPECT_THAT(room_.update.events.back().text, HasSubstr("install window"));
  room_.clock.Advance(absl::Hours(1));
  gates_.Tick();
  EXPECT_TRUE(room_.update.events.back().flag);
  room_.clock.Advance(absl::Hours(2));
  gates_.Tick();
  EXPECT_THAT(room_.update.Of(Event::Kind::kAbort), SizeIs(1));
}

TEST_F(TrialGatesTest, ConditionsThatCannotBeReadAreNotTakenAsMet) {
  Enter(Phase::kReady);
  EXPECT_THAT(room_.update.Of(Event::Kind::kReadiness), IsEmpty());
  EXPECT_FALSE(room_.update.Of(Event::Kind::kAbort).empty());
}

TEST_F(TrialGatesTest, TheGateAsksTheProbesOfTheReleaseToo) {
  room_.config.mutable_health()->add_probes()->set_name("of the unit");
  SetDocuments();
  Enter(Phase::kTrial);
  EXPECT_THAT(probes_, testing::ElementsAre("of the unit", "of the release"));
  EXPECT_THAT(room_.update.Of(Event::Kind::kGatePassed), SizeIs(1));
}

TEST_F(TrialGatesTest, AProbeOfTheSameNameIsToldApart) {
  room_.config.mutable_health()->add_probes()->set_name("of the release");
  SetDocuments();
  Enter(Phase::kTrial);
  EXPECT_THAT(probes_, testing::ElementsAre("of the release", "r7: of the release"));
}

TEST_F(TrialGatesTest, AGateWithoutItsDocumentsFails) {
  Enter(Phase::kTrial);
  EXPECT_THAT(room_.update.Of(Event::Kind::kGatePassed), IsEmpty());
  EXPECT_THAT(room_.update.Of(Event::Kind::kGateFailed), SizeIs(1));
}

TEST_F(TrialGatesTest, AGateThatCannotBeMadeFails) {
  SetDocuments();
  gate_status_ = absl::InvalidArgumentError("no such probe");
  Enter(Phase::kTrial);
  ASSERT_THAT(room_.update.Of(Event::Kind::kGateFailed), SizeIs(1));
  EXPECT_THAT(room_.update.events.back().text, HasSubstr("no such probe"));
}

TEST_F(TrialGatesTest, ACompensatingUpdateIsJudgedByTheUnitsOwnProbesAlone) {
  room_.config.mutable_health()->add_probes()->set_name("of the unit");
  room_.update.shown.compensating = true;
  Enter(Phase::kTrial);
  EXPECT_THAT(probes_, testing::ElementsAre("of the unit"));
  EXPECT_THAT(room_.update.Of(Event::Kind::kGatePassed), SizeIs(1));
}

TEST_F(TrialGatesTest, ALeftPhaseEndsItsGate) {
  room_.config.mutable_health()->mutable_grace()->set_seconds(10);
  SetDocuments();
  Enter(Phase::kTrial);
  Enter(Phase::kReverting);
  room_.Pass(absl::Seconds(30));
  EXPECT_THAT(room_.update.Of(Event::Kind::kGatePassed), IsEmpty());
}

TEST_F(TrialGatesTest, AVerdictIsAwaitedForABoundedTime) {
  release::v1::Assignment assignment;
  assignment.mutable_verdict_timeout()->set_seconds(60);
  SetDocuments(assignment);
  room_.update.shown.verify_before_commit = true;
  Enter(Phase::kTrial);
  EXPECT_THAT(room_.cloud.provisional, SizeIs(1));
  room_.update.shown.gate_passed = true;
  room_.Pass(absl::Seconds(59));
  gates_.Tick();
  EXPECT_THAT(room_.update.Of(Event::Kind::kNotVerified), IsEmpty());
  room_.Pass(absl::Seconds(3));
  gates_.Tick();
  ASSERT_THAT(room_.update.Of(Event::Kind::kNotVerified), SizeIs(1));
}

}  // namespace
}  // namespace tandem::cm
