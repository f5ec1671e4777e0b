#include "cm/update/update_journal.h"

#include "common/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/update_room.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class UpdateJournalTest : public testing::Test {
 protected:
  UpdateJournal Open(const std::string& boot_id = "boot") {
    return UpdateJournal(room_.fs, room_.clock, "/cm", boot_id, *room_.desired, *room_.trust);
  }
  UnitUpdate Running(Phase phase) {
    UnitUpdate update;
    update.phase = phase;
    update.update_id = "7.0";
    update.decision = phase == Phase::kCommitting ? Decision::kCommit : Decision::kNone;
    Participant participant;
    participant.node_id = "a";
    update.participants.push_back(participant);
    return update;
  }
  StoredDesired Documents() {
    StoredDesired documents;
    documents.envelopes = room_.MakeDesired({{"a", "2"}}, 7);
    documents.accepted.assignment = room_.maker.AssignmentOf("unit-1", 7, documents.envelopes.releases);
    documents.accepted.releases.push_back({.digest = PayloadDigest(documents.envelopes.releases[0]),
                                           .release = {},
                                           .envelope = documents.envelopes.releases[0]});
    return documents;
  }
  uint64_t Saved(UpdateJournal& journal, const UnitUpdate& update) {
    const uint64_t before = room_.fs.calls();
    EXPECT_TRUE(journal.Save({.update = update, .actions = {}}, nullptr).ok());
    return room_.fs.calls() - before;
  }

  UpdateRoom room_;
};

TEST_F(UpdateJournalTest, GivesBackWhatWasSaved) {
  UpdateJournal journal = Open();
  ASSERT_TRUE(journal.Save({.update = Running(Phase::kStarting), .actions = {}}, nullptr).ok());
  const auto loaded = Open().Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->update.phase, Phase::kStarting);
  EXPECT_EQ(loaded->update.update_id, "7.0");
  EXPECT_THAT(loaded->lost, IsEmpty());
}

TEST_F(UpdateJournalTest, NothingWasEverSaved) {
  const auto loaded = Open().Load();
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded->update.phase, Phase::kIdle);
  EXPECT_THAT(loaded->lost, IsEmpty());
}

TEST_F(UpdateJournalTest, TimeAloneIsWrittenNowAndThen) {
  UpdateJournal journal = Open();
  UnitUpdate update = Running(Phase::kTrial);
  EXPECT_GT(Saved(journal, update), 0u);
  update.phase_elapsed = absl::Seconds(9);
  EXPECT_EQ(Saved(journal, update), 0u);
  update.phase_elapsed = absl::Seconds(11);
  EXPECT_GT(Saved(journal, update), 0u);
}

TEST_F(UpdateJournalTest, WhatIsOnTrialAgesWhileCmIsNotThere) {
  UpdateJournal journal = Open();
  UnitUpdate update = Running(Phase::kTrial);
  update.trial_running = true;
  update.trial_elapsed = absl::Seconds(5);
  ASSERT_TRUE(journal.Save({.update = update, .actions = {}}, nullptr).ok());
  room_.clock.Advance(absl::Seconds(7));
  EXPECT_EQ(Open().Load()->update.trial_elapsed, absl::Seconds(12));
  // After a boot nothing tells how long that took.
  EXPECT_EQ(Open("next boot").Load()->update.trial_elapsed, absl::Seconds(5));
}

TEST_F(UpdateJournalTest, ADamagedRecordIsRecoveredFromTheParticipantsOfTheCopyBefore) {
  UpdateJournal journal = Open();
  ASSERT_TRUE(journal.Save({.update = Running(Phase::kTrial), .actions = {}}, nullptr).ok());
  ASSERT_TRUE(journal.Save({.update = Running(Phase::kCommitting), .actions = {}}, nullptr).ok());
  room_.fs.Damage("/cm/update.rec", 60, "\xff\xff");
  for (int start = 0; start < 2; ++start) {
    const auto loaded = Open().Load();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->update.phase, Phase::kRecovering) << "start " << start;
    EXPECT_EQ(loaded->update.decision, Decision::kNone);
    ASSERT_EQ(loaded->update.participants.size(), 1u);
    EXPECT_EQ(loaded->update.participants[0].prepares, 1u);
  }
}

TEST_F(UpdateJournalTest, ADamagedRecordWithoutACopyIsSaid) {
  UpdateJournal journal = Open();
  ASSERT_TRUE(journal.Save({.update = Running(Phase::kTrial), .actions = {}}, nullptr).ok());
  room_.fs.Damage("/cm/update.rec", 60, "\xff\xff");
  const auto loaded = Open().Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->lost, Not(IsEmpty()));
}

TEST_F(UpdateJournalTest, WithBothCopiesDamagedTheUnitNeedsService) {
  UpdateJournal journal = Open();
  for (const Phase phase : {Phase::kStarting, Phase::kTrial, Phase::kCommitting}) {
    ASSERT_TRUE(journal.Save({.update = Running(phase), .actions = {}}, nullptr).ok());
  }
  for (const char* file : {"/cm/update.rec", "/cm/update.rec.prev"}) room_.fs.Damage(file, 60, "\xff\xff");
  for (int start = 0; start < 2; ++start) {
    const auto loaded = Open().Load();
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->update.phase, Phase::kNeedsService) << "start " << start;
    EXPECT_THAT(loaded->update.participants, IsEmpty());
    EXPECT_THAT(loaded->update.reason, testing::HasSubstr("both copies"));
  }
}

TEST_F(UpdateJournalTest, TheOutcomeIsDurableBeforeTheRecordSaysThatItIsOver) {
  UnitUpdate update = Running(Phase::kIdle);
  update.outcome = Outcome::kApplied;
  const StoredDesired documents = Documents();
  ASSERT_TRUE(room_.desired->SetDesired(documents.accepted, documents.envelopes, "").ok());
  const Step step{.update = update, .actions = {{Action::Kind::kFinished, "", UmCommand::kNone}}};
  // At every call that may fail on the way.
  for (uint64_t call = 1;; ++call) {
    UpdateJournal journal = Open();
    room_.fs.FailCall(call, absl::ResourceExhaustedError("full"));
    const absl::Status saved = journal.Save(step, &documents);
    if (saved.ok()) break;
    EXPECT_TRUE(IsLocal(saved)) << saved;
    const bool over = Open().Load()->update.update_id == "7.0";
    EXPECT_EQ(over && room_.desired->outcome() != "applied", false) << "call " << call;
  }
  EXPECT_EQ(Open().Load()->update.update_id, "7.0");
  EXPECT_EQ(room_.desired->outcome(), "applied");
  EXPECT_EQ(room_.desired->committed().sequence(), 7u);
  EXPECT_THAT(room_.trust->record().committed_releases(), testing::ElementsAre(documents.accepted.releases[0].digest));
}

}  // namespace
}  // namespace tandem::cm
