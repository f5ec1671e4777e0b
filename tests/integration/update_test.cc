// Whole updates over real processes and a real broker.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/three_ums.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

TEST(Update, ThreeUmsReachTheNewVersionsAndTheCloudHearsOfEachStep) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("applied"); }));
  EXPECT_THAT(unit.FeedbackStates(), IsSupersetOf({"preparing", "trial", "committing", "applied"}));
}

TEST(Update, UmsAreSealedWhenTheRollbackWindowEndsAlsoThoseThatWereAway) {
  UnitUnderTest unit("rollback_window: 5s\n");
  AddThreeUms(unit);
  const auto unsealed = [&unit](const std::string& node_id) {
    const auto status = unit.Status();
    if (!status.has_value()) return false;
    return std::ranges::any_of(status->ums(), [&](const auto& um) { return um.node_id() == node_id && um.unsealed(); });
  };
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  EXPECT_TRUE(unsealed("config") && unsealed("model") && unsealed("boot")) << unit.Story();
  unit.KillUm("model");
  EXPECT_TRUE(unit.WaitFor([&] { return !unsealed("config") && !unsealed("boot"); })) << unit.Story();
  EXPECT_TRUE(unsealed("model")) << "the last that CM heard of it";
  unit.StartUm("model");
  EXPECT_TRUE(unit.WaitFor([&] { return !unsealed("model"); })) << unit.Story();
  ExpectAll(unit, "2.0");
}

// --- failures: the first, the middle and the last UM, in each step; the unit ends as one ---

struct Failure {
  std::string um;
  std::string behaviour;
  std::string outcome;
  // Where all UMs end.
  std::string version;
  // Part of what the cloud is told.
  std::string told;
};

void PrintTo(const Failure& failure, std::ostream* out) { *out << failure.um << " with " << failure.behaviour; }

class FailureTest : public testing::TestWithParam<Failure> {};

TEST_P(FailureTest, EndsAsOne) {
  const Failure& failure = GetParam();
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour(failure.um, {failure.behaviour});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome(failure.outcome)) << unit.Story();
  ExpectAll(unit, failure.version);
  if (!failure.told.empty()) {
    EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback(failure.outcome); }));
    EXPECT_THAT(unit.FeedbackReason(failure.outcome), HasSubstr(failure.told));
  }
}

INSTANTIATE_TEST_SUITE_P(Prepare, FailureTest,
                         testing::Values(Failure{"config", "prepare: {fail: disk full}", "reverted", "1.0",
                                                 "prepare failed at config: disk full"},
                                         Failure{"model", "prepare: {fail: disk full}", "reverted", "1.0",
                                                 "prepare failed at model: disk full"},
                                         Failure{"boot", "prepare: {fail: disk full, delay: 200ms}", "reverted", "1.0",
                                                 "disk full"}));
INSTANTIATE_TEST_SUITE_P(
    Start, FailureTest,
    testing::Values(Failure{"config", "start: {fail: no switch}", "reverted", "1.0",
                            "start failed at config: no switch"},
                    Failure{"model", "start: {fail: no switch}", "reverted", "1.0", "start failed at model: no switch"},
                    Failure{"boot", "start: {fail: no switch}", "reverted", "1.0", "start failed at boot: no switch"}));
INSTANTIATE_TEST_SUITE_P(AfterReboot, FailureTest,
                         testing::Values(Failure{"boot", "start: {reboot: true}\n    check: {fail: fell back to A}",
                                                 "reverted", "1.0", "fell back to A"}));
INSTANTIATE_TEST_SUITE_P(Apply, FailureTest,
                         testing::Values(Failure{"config", "apply: {fail: busy, fail_times: 2}", "applied", "2.0", ""},
                                         Failure{"model", "apply: {fail: busy, fail_times: 2}", "applied", "2.0", ""},
                                         Failure{"boot", "apply: {fail: busy, fail_times: 2}", "applied", "2.0", ""}));

TEST(Update, AUmThatSaysUpdatedButRunsSomethingElseIsNotCommitted) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour("model", {"claims_version: \"0.9\""});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  EXPECT_THAT(unit.Status()->last_update().reason(),
              HasSubstr("model says that it is updated, but does not run model 2.0"));
  EXPECT_TRUE(unit.WaitFor([&] { return unit.UmState("config") == "IDLE"; })) << unit.Story();
  EXPECT_EQ(unit.Version("config"), "1.0");
}

TEST(Update, ARevertThatFailsIsRetriedUntilTheUnitIsBack) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour("config", {"revert: {fail: busy, fail_times: 2}"});
  unit.SetBehaviour("boot", {"start: {fail: broken}", "revert: {fail: busy, fail_times: 1}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  ExpectAll(unit, "1.0");
}

TEST(Update, WhatCannotBeRevertedNeedsServiceAndTheRestStillGoesBack) {
  UnitUnderTest unit("budgets: {revert: 2s}\n");
  AddThreeUms(unit);
  unit.SetBehaviour("model", {"revert: {fail: flash is worn out}"});
  unit.SetBehaviour("boot", {"start: {fail: broken}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("NeedsService")) << unit.Story();
  EXPECT_TRUE(unit.WaitFor([&] { return unit.UmState("config") == "IDLE" && unit.UmState("boot") == "IDLE"; }));
  EXPECT_EQ(unit.Version("config"), "1.0");
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("needs_service"); }));
  // Revert is offered at every registration; once it works, all is well again.
  unit.SetBehaviour("model", {});
  unit.RestartUm("model");
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  ExpectAll(unit, "1.0");
}

TEST(Update, AReleaseThatFailedIsTriedAgainOnlyByAHigherAttempt) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour("model", {"start: {fail: broken, fail_times: 1}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  unit.Assign(kAllNew);  // a refresh: higher sequence, same attempt
  ASSERT_TRUE(unit.WaitFor([&] {
    const auto status = unit.Status();
    return status.has_value() && status->reason().find("higher attempt") != std::string::npos;
  })) << unit.Story();
  unit.Assign(kAllNew, /*attempt=*/2);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

// --- restarts ---

struct Restart {
  std::string phase;
  // "cm", a UM, or "all" for a power cut of the whole unit.
  std::string who;
};

void PrintTo(const Restart& restart, std::ostream* out) { *out << restart.who << " in " << restart.phase; }

class RestartTest : public testing::TestWithParam<Restart> {};

TEST_P(RestartTest, TheUpdateGoesOn) {
  UnitUnderTest unit("health: {grace: 1500ms}\n");
  unit.AddUm({.node_id = "config", .priority = 10, .behaviour = {"apply: {delay: 700ms}"}});
  unit.AddUm({.node_id = "model", .priority = 20, .behaviour = {"prepare: {delay: 700ms}", "start: {delay: 700ms}"}});
  unit.AddUm({.node_id = "boot", .priority = 30, .switches_boot = true, .behaviour = {"start: {reboot: true}"}});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase(GetParam().phase)) << unit.Story();
  if (GetParam().who == "cm") {
    unit.KillCm();
    unit.StartCm();
  } else if (GetParam().who == "all") {
    unit.PowerCut();
    unit.PowerOn();
  } else {
    unit.RestartUm(GetParam().who);
  }
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

std::vector<Restart> EveryRestart() {
  std::vector<Restart> restarts;
  for (const char* phase : {"Preparing", "Starting", "Trial", "Committing"}) {
    for (const char* who : {"cm", "config", "model", "boot", "all"}) restarts.push_back({phase, who});
  }
  return restarts;
}

INSTANTIATE_TEST_SUITE_P(Each, RestartTest, testing::ValuesIn(EveryRestart()),
                         [](const auto& test) { return test.param.phase + "_" + test.param.who; });

TEST(Restart, AnAbortGoesOnAfterAPowerCut) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour("config", {"revert: {delay: 1s}"});
  unit.SetBehaviour("boot", {"start: {fail: broken}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Reverting")) << unit.Story();
  unit.PowerCut();
  unit.PowerOn();
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  ExpectAll(unit, "1.0");
}

TEST(Restart, UmsThatCrashInEachStepAreBroughtThrough) {
  for (const char* crash : {"crash_before: 1", "crash_after: 1"}) {
    UnitUnderTest unit;
    AddThreeUms(unit);
    for (const char* node : {"config", "model", "boot"}) {
      std::vector<std::string> behaviour;
      for (const char* step : {"prepare", "start", "apply"}) {
        behaviour.push_back(absl::StrCat(step, ": {", crash, "}"));
      }
      unit.SetBehaviour(node, behaviour);
    }
    unit.Start();
    unit.Assign(kAllNew);
    ASSERT_TRUE(unit.WaitForOutcome("applied")) << crash << unit.Story();
    ExpectAll(unit, "2.0");
  }
}

// --- UMs that come late, go, or should not be here ---

TEST(Registration, AUmThatDropsAfterStartAndNeverReturnsBringsTheUnitBack) {
  UnitUnderTest unit("budgets: {start: 2s, registration: 2s, revert: 3s}\nhealth: {grace: 10s}\n");
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Trial")) << unit.Story();
  unit.KillUm("model");
  ASSERT_TRUE(unit.WaitForPhase("NeedsService")) << unit.Story();
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("reverting"); }));
  EXPECT_THAT(unit.FeedbackReason("reverting"), HasSubstr("no connection from model"));
  unit.StartUm("model");
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  ExpectAll(unit, "1.0");
}

TEST(Registration, AUmThatDropsAfterApplyIsWaitedFor) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour("model", {"apply: {delay: 1s}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Committing")) << unit.Story();
  unit.KillUm("model");
  EXPECT_FALSE(unit.WaitFor([&] { return unit.Phase() != "Committing"; }, absl::Seconds(2)));
  unit.StartUm("model");
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

TEST(Registration, AUmThatComesLateUnsticksTheUpdate) {
  UnitUnderTest unit("budgets: {registration: 1s}\n");
  AddThreeUms(unit);
  unit.Start();
  unit.KillUm("model");
  unit.KillCm();
  unit.StartCm();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("waiting"); })) << unit.Story();
  EXPECT_THAT(unit.FeedbackReason("waiting"), HasSubstr("model"));
  unit.StartUm("model");
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

TEST(Registration, AUmThatWasNeverSeenIsWaitedForWhenTheReleaseMayMeanIt) {
  UnitUnderTest unit("budgets: {registration: 1s}\n");
  unit.AddUm({.node_id = "config", .behaviour = {}});
  unit.AddUm({.node_id = "away", .behaviour = {}});
  unit.Start();
  unit.KillUm("away");
  unit.KillCm();
  unit.StartCm();
  unit.Assign({{"config", "2.0"}});
  ASSERT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("waiting"); })) << unit.Story();
  EXPECT_THAT(unit.FeedbackReason("waiting"), HasSubstr("waits for away to register"));
  EXPECT_THAT(unit.Status()->reason(), HasSubstr("away"));
  EXPECT_EQ(unit.Version("config"), "1.0");
  unit.StartUm("away");
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  EXPECT_EQ(unit.Version("config"), "2.0");
}

TEST(Registration, AnUnknownUmIsRefusedAndReported) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.AddUm({.node_id = "stranger", .behaviour = {}, .unknown = true});
  unit.Start();
  ASSERT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("um_refused"); })) << unit.Story();
  EXPECT_THAT(unit.FeedbackReason("um_refused"), HasSubstr("stranger"));
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
}

// --- what must be refused before the first byte ---

TEST(Refusal, ForgedExpiredReplayedAndForeignDocumentsChangeNothing) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  const std::map<std::string, std::string> next = {{"config", "3.0"}};
  const auto expect_refused = [&](const DesiredEnvelopes& desired, const std::string& why) {
    unit.Publish(desired);
    EXPECT_TRUE(unit.WaitFor([&] { return unit.FeedbackReason("refused").find(why) != std::string::npos; }))
        << why << unit.Story();
    EXPECT_EQ(unit.Phase(), "Idle");
    EXPECT_EQ(unit.Version("config"), "2.0");
  };
  const uint64_t fresh = unit.sequence() + 1;
  DesiredEnvelopes forged = unit.MakeDesired(next, fresh, {});
  TestMaker stranger("acme", unit.maker().now);
  forged.assignment = stranger.Desired("unit-1", fresh, forged.releases).assignment;
  expect_refused(forged, "assignment");
  DesiredEnvelopes forged_release = unit.MakeDesired(next, fresh, {});
  forged_release.releases = {stranger.MakeRelease("evil", {{.id = "", .type = "config-type", .version = "3.0"}})};
  expect_refused(forged_release, "release");
  expect_refused(unit.MakeDesired(next, fresh,
                                  [&](release::v1::Assignment& a, release::v1::Release&) {
                                    a.mutable_expires()->set_seconds(a.issued_at().seconds() - 1);
                                  }),
                 "expired");
  expect_refused(
      unit.MakeDesired(next, fresh, [](release::v1::Assignment& a, release::v1::Release&) { a.set_unit_id("unit-2"); }),
      "unit-2");
  expect_refused(unit.MakeDesired(next, 0, {}), "sequence");
}

// --- the link to the cloud ---

TEST(Cloud, TheBrokerMayBeDownForTheWholeUpdateAndHearsOfItLater) {
  UnitUnderTest unit("health: {grace: 1s}\n");
  AddThreeUms(unit);
  unit.SetBehaviour("config", {"prepare: {delay: 500ms}"});
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Preparing")) << unit.Story();
  unit.broker().Stop();
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  EXPECT_FALSE(unit.HasFeedback("applied"));
  EXPECT_GT(unit.Status()->cloud().outbox_messages(), 0u);
  ASSERT_TRUE(unit.broker().Restart().ok());
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("applied"); }, absl::Seconds(60))) << unit.Story();
  EXPECT_TRUE(unit.WaitFor([&] { return unit.Status()->cloud().outbox_messages() == 0; })) << unit.Story();
}

// As brokers do with what a CM had not acknowledged before it was killed.
TEST(Cloud, TheAssignmentBeforeThatComesOnceMoreIsNotReportedAsRefused) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.SetBehaviour("config", {"prepare: {delay: 1s}"});
  unit.Start();
  unit.Assign({{"config", "1.5"}});
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  const DesiredEnvelopes before = unit.MakeDesired({{"config", "1.5"}}, unit.sequence(), {});
  unit.Assign({{"config", "1.7"}});
  ASSERT_TRUE(unit.WaitForPhase("Preparing")) << unit.Story();
  unit.Publish(before);
  ASSERT_TRUE(unit.WaitFor([&] { return unit.Story().find("came again") != std::string::npos; })) << unit.Story();
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  EXPECT_EQ(unit.Version("config"), "1.7");
  EXPECT_FALSE(unit.HasFeedback("refused"));
}

TEST(Cloud, ANewerAssignmentSupersedesAnUncommittedUpdate) {
  UnitUnderTest unit("health: {grace: 2s}\n");
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Trial")) << unit.Story();
  unit.Assign({{"boot", "3.0"}, {"config", "3.0"}, {"model", "3.0"}});
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "3.0");
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("reverted"); }));
}

TEST(Cloud, CommitOnVerifiedAbortsWhenTheVerdictIsMissing) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment& assignment, release::v1::Release&) {
    assignment.set_commit_on(release::v1::VERIFIED);
    assignment.mutable_verdict_timeout()->set_seconds(1);
  });
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  ExpectAll(unit, "1.0");
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("reverted"); }));
  EXPECT_THAT(unit.FeedbackReason("reverted"), HasSubstr("no verdict"));
}

// --- health, preconditions, people ---

TEST(Health, AProbeOfTheSignedReleaseThatFailsBringsTheUnitBack) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment&, release::v1::Release& release) {
    release::v1::Probe& probe = *release.mutable_health()->add_probes();
    probe.set_name("latency");
    probe.mutable_exec()->add_command("echo");
    probe.mutable_exec()->add_command("120");
    probe.mutable_exec()->mutable_threshold()->set_max(50);
  });
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("reverted"); }));
  EXPECT_THAT(unit.FeedbackReason("reverted"), HasSubstr("latency"));
  ExpectAll(unit, "1.0");
}

TEST(Health, ProbesOfTheUnitAndOfTheReleaseMayHaveOneName) {
  UnitUnderTest unit("health: {probes: [{name: latency, exec: {command: [\"true\"]}}]}\n");
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment&, release::v1::Release& release) {
    release::v1::Probe& probe = *release.mutable_health()->add_probes();
    probe.set_name("latency");
    probe.mutable_exec()->add_command("true");
  });
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
}

// Whoever has the online key chooses among genuine releases, and runs nothing (docs/security.md).
TEST(Attack, TheOnlineKeyRunsNothingOnAUnit) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  const std::string mark = unit.folder() + "/mark";
  unit.Assign(kAllNew, [&](release::v1::Assignment& assignment, release::v1::Release&) {
    release::v1::Probe& probe = *assignment.add_preconditions();
    probe.set_name("mine");
    probe.mutable_exec()->add_command("touch");
    probe.mutable_exec()->add_command(mark);
  });
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("refused"); })) << unit.Story();
  EXPECT_THAT(unit.FeedbackReason("refused"), HasSubstr("\"mine\" is of kind exec"));
  EXPECT_FALSE(std::filesystem::exists(mark));
  ExpectAll(unit, "1.0");
}

TEST(Health, AnAssignmentNamesConditionsOfTheUnit) {
  const std::string parked = absl::StrCat(testing::TempDir(), "/parked_", getpid());
  UnitUnderTest unit(
      absl::StrCat("conditions: [{name: parked, interval: 100ms, exec: {command: [test, -e, ", parked, "]}}]\n"));
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew,
              [&](release::v1::Assignment& assignment, release::v1::Release&) { assignment.add_conditions("parked"); });
  ASSERT_TRUE(unit.WaitForPhase("Ready")) << unit.Story();
  EXPECT_TRUE(unit.WaitFor([&] { return absl::StrContains(unit.Status()->waiting_for(0), "parked"); })) << unit.Story();
  std::ofstream(parked).close();
  EXPECT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  std::filesystem::remove(parked);
  ExpectAll(unit, "2.0");
}

TEST(People, ApproveAbortPauseAndResumeDoWhatTheySay) {
  UnitUnderTest unit("needs_approval: true\n");
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Ready")) << unit.Story();
  EXPECT_THAT(unit.Status()->waiting_for(0), HasSubstr("approval"));
  local::v1::CommandRequest request;
  local::v1::CommandResponse response;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(unit.local().Pause(&context, request, &response).ok());
  }
  {
    grpc::ClientContext context;
    ASSERT_TRUE(unit.local().Approve(&context, request, &response).ok());
  }
  EXPECT_FALSE(unit.WaitFor([&] { return unit.Phase() != "Ready"; }, absl::Seconds(1)));
  {
    grpc::ClientContext context;
    ASSERT_TRUE(unit.local().Resume(&context, request, &response).ok());
  }
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  unit.Assign({{"config", "3.0"}});
  ASSERT_TRUE(unit.WaitForPhase("Ready")) << unit.Story();
  request.set_reason("wrong site");
  {
    grpc::ClientContext context;
    ASSERT_TRUE(unit.local().Abort(&context, request, &response).ok());
  }
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  EXPECT_THAT(unit.Status()->last_update().reason(), HasSubstr("wrong site"));
  {
    grpc::ClientContext context;
    const grpc::Status refused = unit.local().Abort(&context, request, &response);
    EXPECT_THAT(refused.error_message(), HasSubstr("no update is running"));
  }
}

}  // namespace
}  // namespace tandem
