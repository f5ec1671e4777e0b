// Diagnostics of a signed release on a unit of real processes: what they answer, and what they cannot do.

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/signed_metadata.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/three_ums.h"

namespace tandem {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

void AddScript(release::v1::Release& release, const std::string& name, const std::string& script,
               uint32_t timeout_secs = 60) {
  release::v1::Diagnostic& diagnostic = *release.add_diagnostics();
  diagnostic.set_name(name);
  diagnostic.set_run_after_ota(true);
  diagnostic.set_timeout_secs(timeout_secs);
  for (const std::string& word : {std::string("sh"), std::string("-c"), script}) {
    diagnostic.mutable_check()->mutable_exec()->add_command(word);
  }
}

std::string OutcomeOf(UnitUnderTest& unit, const std::string& diagnostic, const std::string& run_id) {
  unit.WaitFor([&] { return unit.DiagnosticResultOf(diagnostic, run_id).has_value(); }, absl::Seconds(60));
  const auto result = unit.DiagnosticResultOf(diagnostic, run_id);
  return result.has_value() ? result->outcome() : "no result";
}

// Processes with `mark` on their command line.
std::vector<std::string> FindProcesses(const std::string& mark) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline");
    std::string line;
    std::getline(file, line, '\n');
    if (line.find(mark) != std::string::npos) found.push_back(entry.path());
  }
  return found;
}

TEST(Diagnostics, ResultsHaveNumbersAndLog) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment& assignment, release::v1::Release& release) {
    assignment.set_attempt(1);
    if (release.diagnostics().empty()) {
      AddScript(release, "inference", "echo loading; echo measure latency 12.5 ms; exit 0");
      AddScript(release, "camera", "echo reason no picture; exit 1");
    }
  });
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  unit.OrderDiagnostic("inference", "run-1");
  unit.OrderDiagnostic("camera", "run-1");
  ASSERT_EQ(OutcomeOf(unit, "inference", "run-1"), "passed") << unit.Story();
  ASSERT_EQ(OutcomeOf(unit, "camera", "run-1"), "failed") << unit.Story();
  const auto result = unit.DiagnosticResultOf("inference", "run-1");
  EXPECT_EQ(result->measurements(0).name(), "latency");
  EXPECT_EQ(result->measurements(0).value(), 12.5);
  EXPECT_EQ(result->log_excerpt(), "loading");
  EXPECT_EQ(result->boot_id(), "boot-1");
  EXPECT_EQ(unit.DiagnosticResultOf("camera", "run-1")->reason(), "no picture");
  const auto status = unit.Status();
  ASSERT_TRUE(status.has_value());
  ASSERT_EQ(status->diagnostics_size(), 2);
  EXPECT_THAT((std::vector<std::string>{status->diagnostics(0).state(), status->diagnostics(1).state()}),
              testing::UnorderedElementsAre("passed", "failed"));
}

TEST(Diagnostics, OnlyAGenuineOrderRunsOnlyWhatTheRunningReleaseHolds) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment& assignment, release::v1::Release& release) {
    assignment.set_attempt(1);
    if (release.diagnostics().empty()) AddScript(release, "good", "true");
  });
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  const release::v1::DiagnosticCommand good = unit.DiagnosticCommandOf("good", "forged");
  unit.OrderDiagnostic(SealOrDie(good, kDiagnosticCommandType, {GenerateOrDie()}));
  ASSERT_TRUE(unit.WaitFor([&] { return absl::StrContains(unit.FeedbackReason("refused"), "diagnostic: "); }));
  release::v1::DiagnosticCommand other = good;
  other.set_unit_id("unit-2");
  unit.OrderDiagnostic(unit.maker().Seal(other));
  ASSERT_TRUE(unit.WaitFor([&] { return absl::StrContains(unit.FeedbackReason("refused"), "unit-2"); }));
  EXPECT_FALSE(unit.DiagnosticResultOf("good", "forged").has_value());
  EXPECT_THAT(unit.Status()->diagnostics(), IsEmpty());
  // Genuine, but of a release that this unit does not run, however well it is signed.
  release::v1::DiagnosticCommand foreign = unit.DiagnosticCommandOf("good", "foreign");
  const std::string signed_elsewhere = unit.maker().MakeRelease("other", {{.type = "model-type", .version = "9"}});
  foreign.set_release_digest(PayloadDigest(signed_elsewhere));
  unit.OrderDiagnostic(unit.maker().Seal(foreign));
  EXPECT_EQ(OutcomeOf(unit, "good", "foreign"), "error");
  EXPECT_THAT(unit.DiagnosticResultOf("good", "foreign")->reason(), HasSubstr("the unit does not run the release"));
  unit.OrderDiagnostic("good", "genuine");
  EXPECT_EQ(OutcomeOf(unit, "good", "genuine"), "passed");
}

// Where a diagnostic might leave something behind.
const std::vector<std::string> kPlaces = {"/", "/var", "/etc", "/tmp", "/root", "/home"};

std::vector<std::string> FilesNamed(const std::string& folder, const std::string& mark) {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (absl::StrContains(entry.path().filename().string(), mark)) found.push_back(entry.path());
  }
  return found;
}

TEST(Diagnostics, HostileOnesHarmNothingAndLeaveNothing) {
  UnitUnderTest unit("diagnostics: {memory_limit_bytes: 134217728, process_limit: 32, disk_limit_bytes: 8388608}\n");
  AddThreeUms(unit);
  unit.Start();
  const std::string mark = absl::StrCat("tandem-hostile-", getpid());
  const std::string note = absl::StrCat(": ", mark, "; ");
  unit.Assign(kAllNew, [&](release::v1::Assignment& assignment, release::v1::Release& release) {
    assignment.set_attempt(1);
    if (!release.diagnostics().empty()) return;
    AddScript(release, "hangs", note + "trap '' TERM INT HUP QUIT; while true; do sleep 1000; done", 2);
    AddScript(release, "forks", note + "f() { f | f & f; }; f", 2);
    AddScript(release, "detaches", note + "(setsid sh -c '" + note + "sleep 1000; true' &) ; sleep 0.1; exit 0");
    AddScript(release, "fills",
              note + absl::StrCat("for i in 1 2 3 4; do head -c 900000000 /dev/zero > /tmp/", mark, "-$i; done; ",
                                  "for d in ", absl::StrJoin(kPlaces, " "), "; do head -c 900000000 /dev/zero > $d/",
                                  mark, "; done 2>/dev/null; exit 0"),
              30);
    AddScript(release, "prints", note + "head -c 3000000000 /dev/zero; echo; echo measure after 1; exit 0");
    AddScript(release, "eats", note + "x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo had ${#x}; exit 0");
    AddScript(release, "good", "exit 0");
  });
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  const std::vector<std::string> all = {"hangs", "forks", "detaches", "fills", "prints", "eats", "good"};
  for (const std::string& name : all) unit.OrderDiagnostic(name, "run-1");
  // Meanwhile CM is there for others.
  EXPECT_EQ(OutcomeOf(unit, "good", "run-1"), "passed") << unit.Story();
  EXPECT_EQ(unit.Phase(), "Idle");
  EXPECT_EQ(OutcomeOf(unit, "hangs", "run-1"), "timeout");
  EXPECT_EQ(OutcomeOf(unit, "detaches", "run-1"), "passed");
  EXPECT_EQ(OutcomeOf(unit, "prints", "run-1"), "passed");
  for (const std::string& name : all) EXPECT_NE(OutcomeOf(unit, name, "run-1"), "no result") << name;
  EXPECT_THAT(unit.DiagnosticResultOf("eats", "run-1")->log_excerpt(), testing::Not(HasSubstr("had 400000000")));
  EXPECT_LE(unit.DiagnosticResultOf("prints", "run-1")->log_excerpt().size(), size_t{8} << 10);
  EXPECT_THAT(FindProcesses(mark), IsEmpty());
  // Not by how much of the disk is free: others write, too.
  for (const std::string& place : kPlaces) EXPECT_THAT(FilesNamed(place, mark), IsEmpty()) << place;
  // And it still does its work.
  unit.Assign({{"config", "3.0"}});
  EXPECT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
}

TEST(Diagnostics, OfTheTrialRunBeforeTheCommit) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment& assignment, release::v1::Release& release) {
    assignment.set_attempt(1);
    assignment.set_commit_on(release::v1::VERIFIED);
    if (release.diagnostics().empty()) AddScript(release, "smoke", "exit 0");
  });
  ASSERT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("provisional"); })) << unit.Story();
  unit.OrderDiagnostic("smoke", "run-1");
  EXPECT_EQ(OutcomeOf(unit, "smoke", "run-1"), "passed") << unit.Story();
  EXPECT_EQ(unit.Phase(), "Trial");
  unit.PublishVerdict(false, "said so");
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  // What was on trial is gone, and with it what it may run.
  unit.OrderDiagnostic("smoke", "run-2");
  EXPECT_EQ(OutcomeOf(unit, "smoke", "run-2"), "error") << unit.Story();
}

TEST(Diagnostics, ARestartOfCmLosesNoResult) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew, [](release::v1::Assignment& assignment, release::v1::Release& release) {
    assignment.set_attempt(1);
    if (!release.diagnostics().empty()) return;
    AddScript(release, "quick", "exit 0");
    AddScript(release, "slow", "sleep 1000", 300);
  });
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  unit.StopAcks();
  unit.OrderDiagnostic("slow", "run-1");
  unit.OrderDiagnostic("quick", "run-1");
  ASSERT_EQ(OutcomeOf(unit, "quick", "run-1"), "passed");
  for (int i = 0; i < 3; ++i) {
    unit.KillCm();
    unit.StartCm();
    // As the fleet does at each reconnect.
    unit.OrderDiagnostic("slow", "run-1");
    unit.OrderDiagnostic("quick", "run-1");
    ASSERT_TRUE(unit.WaitFor([&] {
      const auto status = unit.Status();
      return status.has_value() && status->diagnostics_size() == 2;
    })) << unit.Story();
  }
  // It was begun three times; who takes CM down three times gets no fourth.
  EXPECT_EQ(OutcomeOf(unit, "slow", "run-1"), "error") << unit.Story();
  EXPECT_THAT(unit.DiagnosticResultOf("slow", "run-1")->reason(), HasSubstr("CM ended 3 times while it ran"));
}

}  // namespace
}  // namespace tandem
