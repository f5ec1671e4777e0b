// What units say, one message at a time: order, duplicates, strangers, claims that do not hold.
#include "fleet/controller/report_intake.h"

#include <gtest/gtest.h>

#include "common/status/status.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/unit_table.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

// One unit, u000, that was ordered to release r1 and has not answered.
class ReportIntakeTest : public testing::Test {
 protected:
  ReportIntakeTest() {
    fleet_.AddUnits(1);
    digest_ = fleet_.Import("r1", "1.0.0");
    fleet_.Behave("r1", [](const SimulatedUnit&) { return Behaviour::kSilent; });
    v1::RolloutSpec spec = FleetUnderTest::Spec(digest_);
    spec.add_rings();
    fleet_.Roll(spec);
    EXPECT_TRUE(fleet_.RunUntil([&] { return fleet_.Row("u000").desired_sequence == 1; }, 20));
  }

  ReportReplies Take(const UnitMessage& message, bool open_registration = false) {
    ReportReplies replies;
    ReportIntake intake(*fleet_.documents, *fleet_.registry, *fleet_.verification,
                        {.open_registration = open_registration});
    fleet_.Write([&](StoreTransaction& tx) {
      replies = {};
      return intake.Take(tx, message, fleet_.now, replies);
    });
    return replies;
  }
  static UnitMessage Presence(uint64_t seq, bool online) {
    unit::v1::Presence presence;
    presence.set_online(online);
    return FakeUnitLink::Message("u000", 7, seq, presence);
  }
  UnitMessage Feedback(uint64_t seq, const std::string& state) const {
    unit::v1::Feedback feedback;
    feedback.set_sequence(1);
    feedback.set_attempt(1);
    feedback.set_state(state);
    return FakeUnitLink::Message("u000", 7, seq, feedback);
  }
  unit::v1::Applied Applied() const {
    unit::v1::Applied applied;
    applied.set_sequence(1);
    applied.set_attempt(1);
    applied.set_boot_id("boot");
    unit::v1::PlaneReport& plane = *applied.add_planes();
    plane.set_plane("FIRMWARE");
    plane.set_release_digest(digest_);
    unit::v1::ComponentReport& component = *applied.add_components();
    component.set_component_type("part1");
    component.set_version("1.0.0");
    component.set_slot_running("B");
    component.set_slot_confirmed("B");
    return applied;
  }
  AttemptState State() { return fleet_.AttemptsOf("u000").at(0).state; }
  std::string Reason() { return fleet_.AttemptsOf("u000").at(0).reason; }

  FleetUnderTest fleet_;
  std::string digest_;
};

TEST_F(ReportIntakeTest, AnOlderPresenceThatComesLaterSaysNothing) {
  Take(Presence(5, false));
  EXPECT_FALSE(fleet_.Row("u000").online);
  Take(Presence(4, true));
  EXPECT_FALSE(fleet_.Row("u000").online);
  Take(Presence(6, true));
  EXPECT_TRUE(fleet_.Row("u000").online);
  EXPECT_EQ(fleet_.Counter("online"), 1);
}

TEST_F(ReportIntakeTest, AnOlderReportThatComesLaterSaysNothing) {
  unit::v1::Reported newer;
  newer.set_sequence(1);
  newer.set_phase("Trial");
  Take(FakeUnitLink::Message("u000", 7, 9, newer));
  unit::v1::Reported older;
  older.set_phase("Idle");
  Take(FakeUnitLink::Message("u000", 7, 8, older));
  fleet_.Write([&](StoreTransaction& tx) -> absl::Status {
    unit::v1::Reported stored;
    ASSIGN_OR_RETURN(const std::string bytes, UnitTable(tx).Reported(fleet_.Row("u000").number));
    EXPECT_TRUE(stored.ParseFromString(bytes));
    EXPECT_EQ(stored.phase(), "Trial");
    return absl::OkStatus();
  });
}

TEST_F(ReportIntakeTest, WhatCameBeforeAFailureDoesNotUndoIt) {
  Take(Feedback(3, "reverted"));
  EXPECT_EQ(State(), AttemptState::kFailed);
  Take(FakeUnitLink::Message("u000", 7, 2, Applied()));
  EXPECT_EQ(State(), AttemptState::kFailed);
}

TEST_F(ReportIntakeTest, AnOldFailureThatComesLateDoesNotUndoASuccess) {
  Take(FakeUnitLink::Message("u000", 7, 4, Applied()));
  EXPECT_EQ(State(), AttemptState::kApplied);
  Take(Feedback(3, "needs_service"));
  EXPECT_EQ(State(), AttemptState::kApplied);
  Take(Feedback(5, "reverted"));
  EXPECT_EQ(State(), AttemptState::kFailed);
}

TEST_F(ReportIntakeTest, EveryCopyIsAcknowledgedAndCountedOnce) {
  EXPECT_EQ(Take(Feedback(2, "preparing")).acks.size(), 1);
  EXPECT_EQ(Take(Feedback(2, "preparing")).acks.size(), 1);
  fleet_.Write([&](StoreTransaction& tx) {
    int events = 0;
    const absl::Status status = UnitTable(tx).Events(fleet_.Row("u000").number, 10, [&](UnitEventRow&&) { ++events; });
    EXPECT_EQ(events, 1);
    return status;
  });
}

TEST_F(ReportIntakeTest, FeedbackOfAnotherOrderChangesNothing) {
  UnitMessage message = Feedback(2, "reverted");
  std::get<unit::v1::Feedback>(message.payload).set_attempt(9);
  EXPECT_EQ(Take(message).acks.size(), 1);
  EXPECT_EQ(State(), AttemptState::kAsked);
}

TEST_F(ReportIntakeTest, AppliedIsBelievedOnlyAsFarAsItHolds) {
  const auto refused = [&](const std::function<void(unit::v1::Applied&)>& change, const std::string& why) {
    unit::v1::Applied applied = Applied();
    change(applied);
    const uint64_t seq = 10;
    Take(FakeUnitLink::Message("u000", 7, seq, applied));
    EXPECT_EQ(State(), AttemptState::kFailed);
    EXPECT_NE(Reason().find(why), std::string::npos) << Reason();
    // As before it, for the next.
    fleet_.Write([&](StoreTransaction& tx) -> absl::Status {
      RETURN_IF_ERROR(tx.sql.Run("UPDATE attempts SET state = 2, seq = 0, epoch = 0", {}).status());
      RETURN_IF_ERROR(tx.sql.Run("DELETE FROM unit_events", {}).status());
      return RebuildCounters(tx);
    });
  };
  refused([](auto& applied) { applied.mutable_components(0)->set_version("0.9"); }, "runs 0.9, not 1.0.0");
  refused([](auto& applied) { applied.mutable_components(0)->set_slot_trial("B"); }, "still on trial");
  refused([](auto& applied) { applied.mutable_components(0)->set_slot_confirmed("A"); }, "slot A is the confirmed one");
  refused([](auto& applied) { applied.mutable_planes(0)->set_release_digest("00"); }, "plane firmware is at release");
  refused([](auto& applied) { applied.clear_planes(); }, "at no release that it names");
  refused([](auto& applied) { applied.clear_boot_id(); }, "which boot");
}

TEST_F(ReportIntakeTest, AReportAtRestWithTheReleaseIsAsGoodAsTheMessageThatWasLost) {
  unit::v1::Reported reported;
  reported.set_sequence(1);
  reported.set_phase("Idle");
  *reported.mutable_planes() = Applied().planes();
  *reported.mutable_components() = Applied().components();
  Take(FakeUnitLink::Message("u000", 7, 2, reported));
  EXPECT_EQ(State(), AttemptState::kApplied);
}

TEST_F(ReportIntakeTest, AStrangerIsNotAcknowledgedUnlessUnitsMayRegisterThemselves) {
  unit::v1::Reported reported;
  reported.set_hardware("gw-9");
  (*reported.mutable_attributes())["region"] = "eu";
  (*reported.mutable_attributes())["line"] = "3";
  const UnitMessage message = FakeUnitLink::Message("stranger", 1, 1, reported);
  EXPECT_EQ(Take(message).unknown, 1);
  EXPECT_EQ(fleet_.Counter("units"), 1);
  EXPECT_EQ(Take(message, /*open_registration=*/true).unknown, 0);
  EXPECT_EQ(fleet_.Counter("units"), 2);
  // Nobody took its presence, which came before.
  EXPECT_EQ(fleet_.Counter("online"), 2);
  fleet_.Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const UnitRecord record, UnitTable(tx).GetRecord("stranger"));
    EXPECT_EQ(record.attributes.region, "eu");
    EXPECT_EQ(record.attributes.tags.at("line"), "3");
    return absl::OkStatus();
  });
}

TEST_F(ReportIntakeTest, WhatARevokedUnitSaysIsNotTaken) {
  fleet_.Write([&](StoreTransaction& tx) {
    return fleet_.registry->SetRevoked(tx, "u000", true, "stolen", "test", fleet_.now);
  });
  const ReportReplies replies = Take(Feedback(2, "applied"));
  EXPECT_EQ(replies.unknown, 1);
  EXPECT_TRUE(replies.acks.empty());
}

TEST_F(ReportIntakeTest, AHeartbeatOfAUnitThatMissedItsOrderHasItPublishedAgain) {
  Take(Presence(2, true));
  ASSERT_TRUE(fleet_.RunUntil([&] { return fleet_.Row("u000").published_sequence == 1; }, 5));
  const auto queued = [&] {
    int64_t length = 0;
    fleet_.Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(length, AssignmentTable(tx).QueueLength());
      return tx.sql.Run("DELETE FROM publish_queue", {}).status();
    });
    return length;
  };
  unit::v1::Reported reported;
  reported.set_phase("Idle");
  Take(FakeUnitLink::Message("u000", 7, 9, reported));
  // It may be on its way.
  EXPECT_EQ(queued(), 0);
  fleet_.now += 2 * 3600;
  Take(FakeUnitLink::Message("u000", 7, 10, reported));
  EXPECT_EQ(queued(), 1);
  Take(FakeUnitLink::Message("u000", 7, 11, reported));
  EXPECT_EQ(queued(), 0);
}

TEST_F(ReportIntakeTest, AnOlderOrderThatReachedTheUnitLaterIsAnsweredWithTheNewestAtOnce) {
  Take(Presence(2, true));
  ASSERT_TRUE(fleet_.RunUntil([&] { return fleet_.Row("u000").published_sequence == 1; }, 5));
  fleet_.Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const UnitRow before, UnitTable(tx).Get("u000", /*lock=*/true));
    UnitRow unit = before;
    unit.desired_sequence = 9;
    unit.published_sequence = 9;
    unit.published_at = fleet_.now;
    return UnitTable(tx).Save(before, unit);
  });
  const auto queued = [&] {
    int64_t length = 0;
    fleet_.Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(length, AssignmentTable(tx).QueueLength());
      return absl::OkStatus();
    });
    return length;
  };
  unit::v1::Reported reported;
  reported.set_phase("Preparing");
  Take(FakeUnitLink::Message("u000", 7, 3, reported));
  EXPECT_EQ(queued(), 0);
  reported.set_sequence(8);
  Take(FakeUnitLink::Message("u000", 7, 4, reported));
  EXPECT_EQ(queued(), 1);
}

}  // namespace
}  // namespace tandem::fleet
