#include "cm/update/records/update_record.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

UnitUpdate Example() {
  UnitUpdate update;
  update.phase = Phase::kCommitting;
  update.update_id = "7.2";
  update.correlation_id = "rollout-9";
  update.key_set_version = 3;
  update.sequence = 7;
  update.attempt = 2;
  update.release_ids = {"gw-1", "maps-8"};
  update.started_at = absl::FromUnixSeconds(1'800'000'000);
  update.decision = Decision::kCommit;
  update.reason = "because";
  update.phase_elapsed = absl::Seconds(12);
  update.trial_elapsed = absl::Seconds(34);
  update.trial_running = true;
  update.needs_approval = true;
  update.approved = true;
  update.verify_before_commit = true;
  update.gate_passed = true;
  update.compensating = true;
  update.leftovers = {"mcu"};
  update.outcome = Outcome::kApplied;
  Participant participant{.node_id = "rootfs", .priority = 30, .switches_boot = true, .highest_first = true};
  participant.targets.push_back({.component_id = "rootfs",
                                 .component_type = "linux",
                                 .version = "2",
                                 .previous_version = "1",
                                 .sha256 = std::string(32, 'x'),
                                 .size = 99,
                                 .path = "artifacts/x",
                                 .annotations = "{}",
                                 .release_digest = std::string(32, 'd'),
                                 .plane = "FIRMWARE",
                                 .security_version = 7});
  participant.prepares = 1;
  participant.starts = 2;
  participant.forward_attempts = 3;
  participant.step_elapsed = absl::Milliseconds(1500);
  update.participants.push_back(participant);
  return update;
}

TEST(UpdateRecord, KeepsEverythingDurable) {
  const UnitUpdate update = Example();
  const auto back = FromRecord(ToRecord(update));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, update);
}

TEST(UpdateRecord, ForgetsWhatWasObserved) {
  UnitUpdate update = Example();
  update.participants[0].connected = true;
  update.participants[0].reported = true;
  update.participants[0].state = UmState::kUpdated;
  update.ready = true;
  update.abort_reason = "somebody";
  const auto back = FromRecord(ToRecord(update));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, Example());
}

TEST(UpdateRecord, RefusesAPhaseOfANewerVersion) {
  record::v1::UnitUpdateRecord record = ToRecord(Example());
  record.set_phase("Levitating");
  EXPECT_EQ(FromRecord(record).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace tandem::cm
