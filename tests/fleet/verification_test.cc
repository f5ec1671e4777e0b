// Verification of what was rolled out, on a fleet in memory: FLEET items 9 to 14, 18 and 20.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "tests/fleet/fleet_under_test.h"

namespace tandem::fleet {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kUnit[] = "u000";

v1::RolloutSpec OneRing(const std::string& release) {
  v1::RolloutSpec spec = FleetUnderTest::Spec(release);
  spec.add_rings()->set_name("all");
  // Longer than any deadline of a diagnostic here.
  spec.mutable_score_age()->set_seconds(120);
  return spec;
}

TEST(VerificationTest, WithoutDiagnosticsAnAppliedUnitIsDone) {
  FleetUnderTest fleet;
  fleet.Begin(2);
  EXPECT_THAT(fleet.RunsOf(kUnit), IsEmpty());
  EXPECT_EQ(fleet.AttemptsOf(kUnit)[0].state, AttemptState::kPassed);
  // It is what the unit can go back to.
  EXPECT_EQ(fleet.Row(kUnit).good[0], fleet.Row(kUnit).runs[0]);
}

TEST(VerificationTest, AUnitIsVerifiedOnceAllItsDiagnosticsPassed) {
  FleetUnderTest fleet;
  fleet.Begin(2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0", {release::v1::FIRMWARE}, {}, {"inference", "stream"});
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 2; }, 30));
  const auto runs = fleet.RunsOf(kUnit);
  ASSERT_THAT(runs, SizeIs(2));
  EXPECT_EQ(runs[0].run_id, runs[1].run_id);
  EXPECT_THAT(runs, Each(Field(&DiagnosticRunRow::state, RunState::kPassed)));
  EXPECT_THAT(runs, Each(Field(&DiagnosticRunRow::triggered_by, kOtaVerify)));
  EXPECT_EQ(fleet.Row(kUnit).good[0], fleet.ReleaseOf(r2).number);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
  EXPECT_EQ(fleet.ReleaseOf(r2).verdict, ReleaseVerdict::kVerified);
  EXPECT_THAT(fleet.Audits("unit.release.verifying"), SizeIs(2));
  EXPECT_THAT(fleet.Audits("unit.release.verified"), SizeIs(2));
  EXPECT_THAT(fleet.Audits("release.verified"), SizeIs(1));
}

TEST(VerificationTest, NothingIsDecidedWhileOneDiagnosticIsPending) {
  FleetUnderTest fleet;
  fleet.Begin(1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0", {release::v1::FIRMWARE}, {}, {"a", "b"});
  fleet.Diagnose("r2", Diagnosis::kHangs);
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verifying") == 1; }, 30));
  const std::string run_id = fleet.RunsOf(kUnit)[0].run_id;
  fleet.SayResult(kUnit, run_id, "a", "failed");
  fleet.Run(2);
  EXPECT_EQ(fleet.Count(rollout, 0, "verifying"), 1);
  fleet.SayResult(kUnit, run_id, "b", "passed");
  fleet.Run(1);
  EXPECT_EQ(fleet.AttemptsOf(kUnit).back().state, AttemptState::kPassed) << "of r1";
  EXPECT_EQ(fleet.AttemptsOf(kUnit)[1].state, AttemptState::kVerificationFailed);
}

TEST(VerificationTest, SilenceBecomesATimeoutAfterOneAndAHalfTimesTheLongestTimeout) {
  FleetUnderTest fleet;
  fleet.Begin(1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kHangs);
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verifying") == 1; }, 30));
  const int64_t begun = fleet.RunsOf(kUnit)[0].created_at;
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.RunsOf(kUnit)[0].state == RunState::kTimeout; }, 100));
  // 20 s x 1.5, and at most one look of the reaper.
  EXPECT_GE(fleet.now - begun, 30);
  EXPECT_LE(fleet.now - begun, 61);
  EXPECT_EQ(fleet.Count(rollout, 0, "verification_failed"), 1);
}

TEST(VerificationTest, AnAbsentUnitHasLongerByTheGraceAndAnAuditEntrySaysSo) {
  FleetUnderTest fleet;
  fleet.verification_options.offline_grace = absl::Seconds(100);
  fleet.Restart();
  fleet.Begin(1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kHangs);
  v1::RolloutSpec spec = OneRing(r2);
  spec.mutable_score_age()->set_seconds(1000);
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verifying") == 1; }, 30));
  fleet.SetOnline(kUnit, false);
  fleet.Run(100);
  EXPECT_EQ(fleet.RunsOf(kUnit)[0].state, RunState::kPending);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.RunsOf(kUnit)[0].state == RunState::kTimeout; }, 100));
  EXPECT_THAT(fleet.Audits("unit.diagnostic.deadline_extended"), SizeIs(1));
}

TEST(VerificationTest, AnOfflineUnitIsVerifiedAfterItIsBackAndHasApplied) {
  FleetUnderTest fleet;
  fleet.Begin(2);
  fleet.SetOnline(kUnit, false);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 1; }, 30));
  EXPECT_EQ(fleet.Count(rollout, 0, "offline"), 1);
  fleet.SetOnline(kUnit, true);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 2; }, 30));
}

TEST(VerificationTest, AUnitThatLeavesBeforeItsResultsTimesOutAndGoesBackWhenItReturns) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose(
      "r2", [&](const SimulatedUnit& unit) { return unit.unit_id == kUnit ? Diagnosis::kHangs : Diagnosis::kPasses; });
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verifying") == 1; }, 30));
  fleet.SetOnline(kUnit, false);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }, 200));
  EXPECT_EQ(fleet.UnitsAt(r2), 1) << "it is away";
  fleet.SetOnline(kUnit, true);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.UnitsAt(r1) == 2; }, 30));
}

TEST(VerificationTest, CommandsThatAUnitMissedComeAgainWhenItIsBack) {
  FleetUnderTest fleet;
  fleet.Begin(1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r2));
  bool was_away = false;
  // Gone just when its diagnostics are ordered.
  ASSERT_TRUE(fleet.RunUntil(
      [&] {
        if (!was_away && fleet.UnitsAt(r2) == 1) {
          fleet.SetOnline(kUnit, false);
          was_away = true;
        }
        return fleet.Count(rollout, 0, "verifying") == 1;
      },
      30));
  fleet.Run(3);
  EXPECT_EQ(fleet.Count(rollout, 0, "verifying"), 1);
  fleet.SetOnline(kUnit, true);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 1; }, 10));
}

TEST(VerificationTest, ANewPromotionSupersedesPendingRunsAndStartsAfresh) {
  FleetUnderTest fleet;
  fleet.Begin(1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kHangs);
  const int64_t first = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(first, 0, "verifying") == 1; }, 30));
  const std::string run_id = fleet.RunsOf(kUnit)[0].run_id;
  const std::string r3 = fleet.ImportVerified("r3", "3.0.0");
  const int64_t second = fleet.Roll(OneRing(r3));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(second, 0, "verified") == 1; }, 30));
  const auto runs = fleet.RunsOf(kUnit);
  ASSERT_THAT(runs, SizeIs(2));
  EXPECT_EQ(runs[1].state, RunState::kSuperseded);
  EXPECT_NE(runs[0].run_id, run_id);
  // What comes of the old one is kept, and decides nothing.
  fleet.SayResult(kUnit, run_id, "inference", "failed");
  fleet.Run(3);
  EXPECT_EQ(fleet.RunsOf(kUnit)[1].late_outcome, "failed");
  EXPECT_EQ(fleet.RunsOf(kUnit)[1].state, RunState::kSuperseded);
  EXPECT_EQ(fleet.Count(second, 0, "verified"), 1);
  EXPECT_EQ(fleet.ReleaseOf(r2).verdict, ReleaseVerdict::kNone);
}

TEST(VerificationTest, ARetryDuringVerificationStartsAfreshWithANewRun) {
  FleetUnderTest fleet;
  fleet.Begin(1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Diagnose("r2", Diagnosis::kHangs);
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verifying") == 1; }, 30));
  fleet.Diagnose("r2", Diagnosis::kPasses);
  ASSERT_TRUE(fleet.Change(rollout, "retry", kUnit).ok());
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 1; }, 10));
  const auto runs = fleet.RunsOf(kUnit);
  ASSERT_THAT(runs, SizeIs(2));
  EXPECT_NE(runs[0].run_id, runs[1].run_id);
  EXPECT_EQ(runs[1].state, RunState::kSuperseded);
}

TEST(VerificationTest, ResultsTwiceAndOfNothingThatWasAskedForChangeNothing) {
  FleetUnderTest fleet;
  fleet.Begin(2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 2; }, 30));
  const std::string run_id = fleet.RunsOf(kUnit)[0].run_id;
  fleet.SayResult(kUnit, run_id, "inference", "failed");
  fleet.SayResult(kUnit, "no such run", "inference", "failed");
  fleet.SayResult(kUnit, run_id, "no such diagnostic", "failed");
  // Another unit's.
  fleet.SayResult("u001", run_id, "inference", "failed");
  fleet.SayResult(kUnit, run_id, "inference", "nonsense");
  fleet.Run(3);
  EXPECT_EQ(fleet.Count(rollout, 0, "verified"), 2);
  EXPECT_EQ(fleet.RunsOf(kUnit)[0].state, RunState::kPassed);
}

TEST(VerificationTest, MessagesInAnyOrderAndTwiceComeToTheSame) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    FleetUnderTest fleet;
    fleet.MixMessages(seed);
    fleet.Begin(6);
    const std::string r2 = fleet.ImportVerified("r2", "2.0.0", {release::v1::FIRMWARE}, {}, {"a", "b", "c"});
    const int64_t rollout = fleet.Roll(OneRing(r2));
    ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; })) << seed;
    EXPECT_EQ(fleet.Count(rollout, 0, "verified"), 6) << seed;
  }
}

TEST(VerificationTest, OnDemandRunsGateNothing) {
  FleetUnderTest fleet;
  fleet.Begin(1);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 1; }, 30));
  fleet.Diagnose("r2", Diagnosis::kFails);
  fleet.Write([&](StoreTransaction& tx) {
    return fleet.unit_operations->RunDiagnostics(tx, kUnit, {}, "test", fleet.now).status();
  });
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.RunsOf(kUnit)[0].state == RunState::kFailed; }, 10));
  EXPECT_EQ(fleet.RunsOf(kUnit)[0].triggered_by, kByOperator);
  fleet.Run(20);
  EXPECT_NE(fleet.ReleaseOf(r2).verdict, ReleaseVerdict::kFailed);
  EXPECT_EQ(fleet.UnitsAt(r2), 1);
}

TEST(VerificationTest, OnDemandRunsAreOfReleasesThatTheUnitRuns) {
  FleetUnderTest fleet;
  fleet.Begin(1);
  fleet.ImportVerified("r2", "2.0.0");
  const auto run = [&](const std::vector<std::string>& names) {
    return fleet.store->Write("test", [&](StoreTransaction& tx) {
      return fleet.unit_operations->RunDiagnostics(tx, kUnit, names, "test", fleet.now).status();
    });
  };
  EXPECT_THAT(run({}).message(), HasSubstr("no release that unit u000 runs has diagnostics"));
  EXPECT_TRUE(absl::IsNotFound(run({"inference"})));
}

TEST(VerificationTest, CommitOnVerifiedWaitsForItsDiagnosticsAndThenCommits) {
  FleetUnderTest fleet;
  fleet.Begin(2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kProvisional; });
  v1::RolloutSpec spec = OneRing(r2);
  spec.set_commit_on(release::v1::VERIFIED);
  const int64_t rollout = fleet.Roll(spec);
  bool waited = false;
  ASSERT_TRUE(fleet.RunUntil(
      [&] {
        waited = waited || fleet.Count(rollout, 0, "verifying_trial") == 2;
        return fleet.Count(rollout, 0, "verified") == 2;
      },
      30));
  EXPECT_TRUE(waited);
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "complete"; }));
}

TEST(VerificationTest, CommitOnVerifiedRevertsAtOnceWithoutADownload) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(2);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  fleet.Behave("r2", [](const SimulatedUnit&) { return Behaviour::kProvisional; });
  fleet.Diagnose("r2", Diagnosis::kFails);
  v1::RolloutSpec spec = OneRing(r2);
  spec.set_commit_on(release::v1::VERIFIED);
  const int64_t rollout = fleet.Roll(spec);
  ASSERT_TRUE(fleet.RunUntil([&] { return !fleet.link.verdicts().empty(); }, 30));
  EXPECT_FALSE(fleet.VerdictOf(fleet.link.verdicts()[0].second).verified());
  EXPECT_THAT(fleet.VerdictOf(fleet.link.verdicts()[0].second).reason(),
              HasSubstr("diagnostic inference: failed: 412 ms"));
  EXPECT_EQ(fleet.UnitsAt(r1), 2) << "the verdict alone brings it back";
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }, 100));
  EXPECT_EQ(fleet.UnitsAt(r1), 2);
}

TEST(VerificationTest, AnUnhealthyUnitWithinItsWindowCountsAgainstTheRelease) {
  FleetUnderTest fleet;
  const std::string r1 = fleet.Begin(40);
  const std::string r2 = fleet.ImportVerified("r2", "2.0.0");
  v1::RolloutSpec spec = FleetUnderTest::Spec(r2);
  const int64_t rollout = fleet.Roll(spec);
  std::string sick;
  ASSERT_TRUE(fleet.RunUntil(
      [&] {
        for (const auto& [unit_id, unit] : fleet.units()) {
          if (unit.runs.contains("FIRMWARE") && unit.runs.at("FIRMWARE").first == r2) sick = unit_id;
        }
        return fleet.Count(rollout, 0, "verified") == 2;
      },
      30));
  fleet.SayAnomaly(sick, "memory: 3 MiB available, at least 64 needed");
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.State(rollout) == "aborted"; }, 100));
  fleet.Run(10);
  EXPECT_EQ(fleet.UnitsAt(r1), 40);
  EXPECT_THAT(fleet.AttemptsOf(sick).at(1).reason, HasSubstr("memory: 3 MiB"));
}

TEST(VerificationTest, DiagnosticsRunWhereTheyAreMeantTo) {
  FleetUnderTest fleet;
  fleet.Begin(2);
  release::v1::Release release = fleet.maker.ReleaseOf("r2", {{.type = "part1", .version = "2.0.0"}});
  for (const char* region : {"eu", "us"}) {
    release::v1::Diagnostic& diagnostic = *release.add_diagnostics();
    diagnostic.set_name(region);
    diagnostic.set_run_after_ota(true);
    diagnostic.set_target(absl::StrCat("region == \"", region, "\""));
    diagnostic.mutable_check()->mutable_exec()->add_command("check");
  }
  release::v1::Diagnostic& only_by_hand = *release.add_diagnostics();
  only_by_hand.set_name("by-hand");
  only_by_hand.mutable_check()->mutable_exec()->add_command("check");
  const std::string r2 = fleet.Import(release);
  const int64_t rollout = fleet.Roll(OneRing(r2));
  ASSERT_TRUE(fleet.RunUntil([&] { return fleet.Count(rollout, 0, "verified") == 2; }, 30));
  EXPECT_THAT(fleet.RunsOf("u000"), ElementsAre(Field(&DiagnosticRunRow::diagnostic, "eu")));
  EXPECT_THAT(fleet.RunsOf("u001"), ElementsAre(Field(&DiagnosticRunRow::diagnostic, "us")));
}

TEST(VerificationTest, ADefinitionThatNobodyCanRunIsRefusedWhenItIsImported) {
  FleetUnderTest fleet;
  const auto refused = [&](const std::function<void(release::v1::Diagnostic&)>& change) {
    release::v1::Release release = fleet.maker.ReleaseOf("r9", {{.type = "part1", .version = "9.0.0"}});
    release::v1::Diagnostic& diagnostic = *release.add_diagnostics();
    diagnostic.set_name("check");
    diagnostic.mutable_check()->mutable_exec()->add_command("check");
    change(diagnostic);
    return std::string(
        fleet.store
            ->Write(
                "test",
                [&](StoreTransaction& tx) {
                  return fleet.documents->ImportRelease(tx, fleet.maker.Seal(release), {}, "test", fleet.now).status();
                })
            .message());
  };
  EXPECT_THAT(refused([](auto& d) { d.set_timeout_secs(301); }), HasSubstr("timeout_secs is 301; at most 300"));
  EXPECT_THAT(refused([](auto& d) { d.set_target("region =="); }), HasSubstr("diagnostic \"check\", target"));
  EXPECT_THAT(refused([](auto& d) { d.clear_check(); }), HasSubstr("it checks nothing"));
  EXPECT_THAT(refused([](auto& d) { d.set_name("Not a name"); }), HasSubstr("1 to 64 of a-z"));
  EXPECT_THAT(refused([](auto& d) { d.add_planes(release::v1::MODEL); }), HasSubstr("MODEL is not one of"));
}

}  // namespace
}  // namespace tandem::fleet
