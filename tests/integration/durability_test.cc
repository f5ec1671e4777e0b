// Records that are damaged, disks that are full, programs that are started twice, keys that are revoked, and an update
// that fails after its COMMIT.
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/crypto/key_set.h"
#include "common/crypto/signed_metadata.h"
#include "common/process/run_command.h"
#include "common/storage/durable_record.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/three_ums.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

void Damage(const std::string& path) {
  ASSERT_TRUE(std::filesystem::exists(path)) << path;
  std::ofstream(path, std::ios::binary) << "garbage, as a dying flash leaves it";
}

// --- the software of the other slot ---

// What a newer version may have written: the same records, with more in them.
void AddUnknownFields(const std::string& folder) {
  int records = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".rec") continue;
    DurableRecord record(FileSystem::Real(), entry.path());
    const absl::StatusOr<std::string> bytes = record.Read();
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    // Field 9999, a number.
    ASSERT_TRUE(record.Write(*bytes + "\xf8\xf0\x04\x01").ok());
    ++records;
  }
  ASSERT_GE(records, 4) << folder;
}

class OtherVersionTest : public testing::TestWithParam<std::string> {};

TEST_P(OtherVersionTest, RecordsWithFieldsOfANewerVersionAreGoneOnWith) {
  UnitUnderTest unit("health: {grace: 1500ms}\n");
  unit.AddUm({.node_id = "config", .priority = 10, .behaviour = {"apply: {delay: 1s}"}});
  unit.AddUm({.node_id = "model", .priority = 20, .behaviour = {"prepare: {delay: 700ms}", "start: {delay: 700ms}"}});
  unit.AddUm({.node_id = "boot", .priority = 30, .switches_boot = true, .behaviour = {"start: {reboot: true}"}});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase(GetParam())) << unit.Story();
  unit.PowerCut();
  AddUnknownFields(unit.folder());
  unit.PowerOn();
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

INSTANTIATE_TEST_SUITE_P(Phase, OtherVersionTest, testing::Values("Preparing", "Starting", "Trial", "Committing"));

// --- the decision record ---

struct Lost {
  std::string phase;
  std::string outcome;
  std::string version;
};

void PrintTo(const Lost& lost, std::ostream* out) { *out << lost.phase; }

class RecordLostTest : public testing::TestWithParam<Lost> {
 protected:
  // Stops CM in the phase, with one UM committed already when it is Committing.
  void StopIn(const std::string& phase) {
    unit_.AddUm({.node_id = "config", .priority = 10, .behaviour = {"apply: {delay: 1s}"}});
    unit_.AddUm(
        {.node_id = "model", .priority = 20, .behaviour = {"prepare: {delay: 700ms}", "start: {delay: 700ms}"}});
    unit_.AddUm({.node_id = "boot", .priority = 30, .switches_boot = true, .behaviour = {"start: {reboot: true}"}});
    unit_.Start();
    unit_.Assign(kAllNew);
    ASSERT_TRUE(unit_.WaitForPhase(phase)) << unit_.Story();
    if (phase == "Committing") {
      ASSERT_TRUE(unit_.WaitFor([&] { return unit_.UmState("boot") == "IDLE"; })) << unit_.Story();
    }
    unit_.KillCm();
  }

  UnitUnderTest unit_{"health: {grace: 1500ms}\n"};
};

TEST_P(RecordLostTest, WhatTheUmsReportDecides) {
  StopIn(GetParam().phase);
  Damage(unit_.folder() + "/cm/update.rec");
  unit_.StartCm();
  ASSERT_TRUE(unit_.WaitForOutcome(GetParam().outcome)) << unit_.Story();
  ExpectAll(unit_, GetParam().version);
  EXPECT_TRUE(unit_.WaitFor([&] { return unit_.HasFeedback("recovering"); })) << unit_.Story();
  EXPECT_TRUE(std::filesystem::exists(unit_.folder() + "/cm/update.rec.corrupt"));
}

TEST_P(RecordLostTest, ASecondCrashWhileRecoveringLosesNothing) {
  StopIn(GetParam().phase);
  Damage(unit_.folder() + "/cm/update.rec");
  // Nobody is there to report, so that CM is still recovering when it ends again.
  for (const char* node : {"config", "model", "boot"}) unit_.KillUm(node);
  unit_.StartCm();
  ASSERT_TRUE(unit_.WaitForPhase("Recovering")) << unit_.Story();
  unit_.KillCm();
  unit_.StartCm();
  ASSERT_TRUE(unit_.WaitForPhase("Recovering")) << unit_.Story();
  for (const char* node : {"config", "model", "boot"}) unit_.StartUm(node);
  ASSERT_TRUE(unit_.WaitForOutcome(GetParam().outcome)) << unit_.Story();
  ExpectAll(unit_, GetParam().version);
}

INSTANTIATE_TEST_SUITE_P(Each, RecordLostTest,
                         testing::Values(Lost{"Starting", "reverted", "1.0"}, Lost{"Trial", "reverted", "1.0"},
                                         Lost{"Committing", "applied", "2.0"}),
                         [](const auto& test) { return test.param.phase; });

TEST(Damage, TheFirstRecordOfAnUpdateHasNoneBeforeItSoTheUpdateBeginsAnew) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour("model", {"prepare: {delay: 700ms}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Preparing")) << unit.Story();
  unit.KillCm();
  Damage(unit.folder() + "/cm/update.rec");
  unit.StartCm();
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

TEST(Damage, WithBothCopiesGoneTheUnitGoesBackAndNeedsService) {
  UnitUnderTest unit("health: {grace: 1500ms}\n");
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Trial")) << unit.Story();
  unit.KillCm();
  Damage(unit.folder() + "/cm/update.rec");
  Damage(unit.folder() + "/cm/update.rec.prev");
  unit.StartCm();
  ASSERT_TRUE(unit.WaitForPhase("NeedsService")) << unit.Story();
  // Nothing tells how far the update was: the UMs go back to what the unit is committed to.
  ExpectAll(unit, "1.0");
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

TEST(Damage, DatabasesThatAreGarbageAreKeptAsideAndTheUnitStillUpdates) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign({{"config", "1.5"}});
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  unit.KillCm();
  for (const char* name : {"history.db", "outbox.db"}) {
    const std::string path = absl::StrCat(unit.folder(), "/cm/", name);
    for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path + suffix);
    std::filesystem::resize_file(path, 4096);
    Damage(path);
  }
  unit.StartCm();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("applied"); }));
  EXPECT_TRUE(std::filesystem::exists(unit.folder() + "/cm/history.db.corrupt"));
  EXPECT_TRUE(std::filesystem::exists(unit.folder() + "/cm/outbox.db.corrupt"));
}

TEST(Damage, ADamagedTrustRecordIsReplacedByTheOneBeforeAndStillRefusesWhatIsOld) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign({{"config", "1.5"}});
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  const DesiredEnvelopes old = unit.MakeDesired({{"config", "1.5"}}, unit.sequence(), {});
  unit.Assign({{"config", "1.7"}});
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  unit.KillCm();
  Damage(unit.folder() + "/cm/trust.rec");
  unit.StartCm();
  unit.Publish(old);
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("refused"); })) << unit.Story();
  EXPECT_TRUE(unit.WaitFor([&] { return unit.Version("config") == "1.7"; })) << unit.Story();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

// --- the disk ---

class FullDiskTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    state_ = unit_.folder() + "/cm";
    std::filesystem::create_directories(state_);
    mounted_ = mount("tmpfs", state_.c_str(), "tmpfs", 0, "size=4m") == 0;
    if (!mounted_) GTEST_SKIP() << "needs the right to mount a small disk";
  }
  void TearDown() override {
    unit_.KillCm();
    if (mounted_) umount2(state_.c_str(), MNT_DETACH);
  }
  void Fill() {
    std::ofstream file(filler(), std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), block.size()).flush()) {
    }
  }
  std::string filler() const { return state_ + "/filler"; }

  UnitUnderTest unit_{"health: {grace: 1s}\n"};
  std::string state_;
  bool mounted_ = false;
};

TEST_P(FullDiskTest, NothingIsDoneThatCannotBeWrittenDownAndItGoesOnWithRoom) {
  unit_.AddUm({.node_id = "config", .priority = 10, .behaviour = {"apply: {delay: 500ms}"}});
  unit_.AddUm({.node_id = "model", .priority = 20, .behaviour = {"prepare: {delay: 600ms}", "start: {delay: 600ms}"}});
  unit_.AddUm({.node_id = "boot", .priority = 30, .switches_boot = true, .behaviour = {"start: {reboot: true}"}});
  unit_.Start();
  unit_.Assign(kAllNew);
  ASSERT_TRUE(unit_.WaitForPhase(GetParam())) << unit_.Story();
  Fill();
  ASSERT_TRUE(unit_.WaitFor([&] {
    const auto status = unit_.Status();
    return status.has_value() && absl::StrContains(absl::AsciiStrToLower(status->reason()), "no space left");
  })) << unit_.Story();
  const std::string stuck_in = unit_.Phase();
  EXPECT_FALSE(unit_.WaitFor([&] { return unit_.Phase() != stuck_in; }, absl::Seconds(1)));
  std::filesystem::remove(filler());
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  ExpectAll(unit_, "2.0");
  EXPECT_TRUE(unit_.WaitFor([&] { return unit_.HasFeedback("applied"); })) << unit_.Story();
}

INSTANTIATE_TEST_SUITE_P(Each, FullDiskTest, testing::Values("Preparing", "Starting", "Trial", "Committing"),
                         [](const auto& test) { return test.param; });

// --- two of a kind ---

TEST(Twice, ASecondCmOnTheSameStateIsRefusedAndNamesTheFirst) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  ASSERT_TRUE(unit.WaitFor([&] { return unit.UmState("boot") == "IDLE"; })) << unit.Story();
  const auto second = RunCommand({.argv = {UnitUnderTest::Program("tandem-cm"), "--config", unit.folder() + "/cm.yaml"},
                                  .timeout = absl::Seconds(20)});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->exit_code, 1);
  EXPECT_THAT(second->error_output, HasSubstr(absl::StrCat("is in use by process ", unit.cm_pid())));
  EXPECT_EQ(unit.UmState("boot"), "IDLE") << "the first one is none the worse for it";
}

TEST(Twice, ASecondUmOnTheSameStateIsRefusedAndNamesTheFirst) {
  UnitUnderTest unit;
  unit.AddUm({.node_id = "model", .behaviour = {}, .payload = true});
  unit.Start();
  ASSERT_TRUE(unit.WaitFor([&] { return unit.UmState("model") == "IDLE"; })) << unit.Story();
  const auto second =
      RunCommand({.argv = {UnitUnderTest::Program("tandem-um"), "--config", unit.folder() + "/model.yaml"},
                  .timeout = absl::Seconds(20)});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->exit_code, 1);
  EXPECT_THAT(second->error_output, HasSubstr(absl::StrCat("is in use by process ", unit.um_pid("model"))));
}

// --- keys and verdicts ---

TEST(Keys, AnUpdateWhoseReleaseKeysAreRevokedIsAborted) {
  UnitUnderTest unit("health: {grace: 2s}\n");
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Trial")) << unit.Story();
  const std::vector<PrivateKey> fresh = {GenerateOrDie(), GenerateOrDie()};
  release::v1::KeySet next = unit.maker().FirstKeySet();
  next.set_version(2);
  *next.mutable_release() = MakeRole(fresh, 2);
  const std::vector<std::string> chain = {unit.maker().KeySetEnvelope(),
                                          SealOrDie(next, kKeySetType, unit.maker().root)};
  unit.PublishKeySets(chain);
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  EXPECT_THAT(unit.Status()->last_update().reason(), HasSubstr("a newer key set revoked what signed it"));
  ExpectAll(unit, "1.0");
  // The new keys are the unit's keys now.
  unit.maker().release = fresh;
  DesiredEnvelopes desired = unit.MakeDesired({{"config", "3.0"}}, unit.sequence() + 1, {});
  desired.key_sets = chain;
  unit.Publish(desired);
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("applied"); }, absl::Seconds(60))) << unit.Story();
  EXPECT_EQ(unit.Version("config"), "3.0");
}

TEST(Verdict, CommitOnVerifiedWaitsForTheFleetsWord) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  const auto verified = [](release::v1::Assignment& assignment, release::v1::Release&) {
    assignment.set_attempt(1);
    assignment.set_commit_on(release::v1::VERIFIED);
  };
  unit.Assign(kAllNew, verified);
  ASSERT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("provisional"); })) << unit.Story();
  EXPECT_EQ(unit.Phase(), "Trial");
  unit.PublishVerdict(true, "");
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
  unit.Assign({{"config", "3.0"}}, verified);
  ASSERT_TRUE(unit.WaitForPhase("Trial")) << unit.Story();
  unit.PublishVerdict(false, "two in ten units run hot");
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  EXPECT_THAT(unit.Status()->last_update().reason(), HasSubstr("two in ten units run hot"));
  ExpectAll(unit, "2.0");
}

TEST(Verdict, OnlyTheAssignmentKeysWordForThisUnitCounts) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment& assignment, release::v1::Release&) {
    assignment.set_attempt(1);
    assignment.set_commit_on(release::v1::VERIFIED);
  });
  ASSERT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("provisional"); })) << unit.Story();
  // Each is logged; what is the same as the one before is not told again.
  int count = 0;
  const auto refused = [&](const std::string& envelope, const std::string& why) {
    unit.PublishVerdict(envelope);
    const auto logged = [&] {
      const std::vector<std::string> parts = absl::StrSplit(unit.cm_log(), "error=\"verdict: ");
      return static_cast<int>(parts.size()) - 1;
    };
    ++count;
    return unit.WaitFor([&] { return logged() == count && absl::StrContains(unit.FeedbackReason("refused"), why); });
  };
  const release::v1::Verdict good = unit.VerdictOf(true, "");
  // By nobody's key, and by one that may sign releases only.
  EXPECT_TRUE(refused(SealOrDie(good, kVerdictType, {GenerateOrDie()}), "signed by 0 of the 1 keys")) << unit.Story();
  release::v1::Verdict bad = unit.VerdictOf(false, "");
  EXPECT_TRUE(refused(SealOrDie(bad, kVerdictType, unit.maker().release), "signed by 0 of the 1 keys")) << unit.Story();
  release::v1::Verdict other = good;
  other.set_unit_id("unit-2");
  EXPECT_TRUE(refused(unit.maker().Seal(other), "it is for unit \"unit-2\"")) << unit.Story();
  other = good;
  other.set_namespace_("other");
  EXPECT_TRUE(refused(unit.maker().Seal(other), "it is for namespace \"other\"")) << unit.Story();
  EXPECT_TRUE(refused("{\"verified\":true}", "verdict: ")) << unit.Story();
  // Genuine, and about another update.
  other = unit.VerdictOf(false, "");
  other.set_attempt(2);
  unit.PublishVerdict(unit.maker().Seal(other));
  ASSERT_TRUE(unit.WaitFor([&] { return absl::StrContains(unit.cm_log(), "a verdict on another update"); }));
  EXPECT_EQ(unit.Phase(), "Trial");
  unit.PublishVerdict(unit.maker().Seal(good));
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
}

// --- after COMMIT ---

TEST(AfterCommit, AUmThatFellBackIsDrivenForward) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  // Dies while it confirms, and does not come up when it is asked next.
  unit.SetBehaviour("boot", {"check: {fail: boot of slot B failed, fail_times: 1}", "apply: {crash_before: 1}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
  EXPECT_THAT(unit.cm_log(), HasSubstr("um=boot command=StartUpdate"));
}

TEST(AfterCommit, WhenNothingHelpsACompensatingUpdateBringsAllBack) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  // Applied at once, so that there is something to compensate.
  unit.AddUm({.node_id = "first", .priority = 25, .switches_boot = true, .behaviour = {}});
  unit.SetBehaviour("boot", {"check: {fail: boot of slot B failed}", "apply: {crash_before: 100, delay: 10ms}"});
  unit.Start();
  std::map<std::string, std::string> versions = kAllNew;
  versions["first"] = "2.0";
  unit.Assign(versions);
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  ExpectAll(unit, "1.0");
  EXPECT_EQ(unit.Version("first"), "1.0");
  EXPECT_EQ(unit.UmState("first"), "IDLE");
  EXPECT_THAT(unit.Status()->last_update().reason(), HasSubstr("after COMMIT the new version did not come up"));
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("reverted"); }));
  EXPECT_THAT(unit.FeedbackStates(), IsSupersetOf({"committing", "reverting", "reverted"}));
}

}  // namespace
}  // namespace tandem
