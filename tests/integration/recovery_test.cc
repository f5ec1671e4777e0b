// A unit whose workload is broken in any way, or that does not stay up, is still there for an order.
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/process/run_command.h"
#include "common/process/sandbox.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/three_ums.h"
#include "tests/support/text_file.h"

namespace tandem {
namespace {

using testing::HasSubstr;

// A workload within bounds, as docs/recovery.md has them, that does its worst; ends with the object.
class Workload {
 public:
  explicit Workload(const std::string& script) {
    EXPECT_EQ(pipe(stop_), 0);
    thread_ = std::thread([this, script] {
      result_ = RunInSandbox({.argv = {"sh", "-c", script},
                              .timeout = absl::Minutes(5),
                              .limits = {.memory_bytes = 128 << 20, .processes = 64, .disk_bytes = 16 << 20},
                              .stop_fd = stop_[0]});
    });
  }
  ~Workload() {
    EXPECT_EQ(write(stop_[1], "x", 1), 1);
    thread_.join();
    close(stop_[0]);
    close(stop_[1]);
  }

 private:
  int stop_[2];
  std::thread thread_;
  absl::StatusOr<SandboxResult> result_ = absl::UnknownError("");
};

TEST(Recovery, CmTakesOrdersWhateverTheWorkloadDoes) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  const std::vector<std::pair<std::string, std::string>> workloads = {
      {"dies", "kill -9 $$"},
      {"eats memory", "while true; do x=$(head -c 300000000 /dev/zero | tr '\\0' x); done"},
      {"forks", "while true; do f() { f | f & f; }; f; done"},
      {"fills its disk", "while true; do head -c 100000000 /dev/zero > $TMPDIR/$(date +%N); done"},
      {"keeps all processors busy", "for i in 1 2 3 4 5 6 7 8; do (while true; do :; done) & done; wait"},
      {"prints", "yes"},
  };
  int version = 2;
  for (const auto& [what, script] : workloads) {
    SCOPED_TRACE(what);
    const Workload workload(script);
    // The first may be over before the workload is at its worst.
    for (int i = 0; i < 3; ++i) {
      unit.Assign({{"config", absl::StrCat(++version, ".0")}});
      ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
    }
  }
}

TEST(Recovery, AFullDiskOfTheWorkloadIsNotCms) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  const std::string data = unit.folder() + "/workload";
  std::filesystem::create_directory(data);
  ASSERT_EQ(mount("tmpfs", data.c_str(), "tmpfs", 0, "size=1m"), 0);
  EXPECT_FALSE(RunCommandOk({.argv = {"sh", "-c", "head -c 5000000 /dev/zero > " + data + "/full"}}).ok());
  unit.Assign(kAllNew);
  EXPECT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  umount(data.c_str());
}

// Power cuts, each in a boot of its own.
void CutPower(UnitUnderTest& unit, int boot) {
  unit.PowerCut();
  WriteText(unit.folder() + "/boot_id", absl::StrCat("boot-", boot, "\n"));
  unit.PowerOn();
  ASSERT_TRUE(unit.WaitFor([&] {
    const auto status = unit.Status();
    return status.has_value() && status->boot_id() == absl::StrCat("boot-", boot);
  }));
}

std::string FlagFile(const char* test) {
  return absl::StrCat(testing::TempDir(), "/tandem-safe-mode-", test, getpid());
}

TEST(Recovery, AUnitThatDoesNotStayUpComesUpInSafeModeAndTakesOrders) {
  const std::string flag = FlagFile("update");
  UnitUnderTest unit(absl::StrCat("safe_mode: {failed_starts: 3, lasting: 1h, flag_file: ", flag, "}\n"));
  AddThreeUms(unit);
  unit.Start();
  ASSERT_TRUE(unit.WaitForPhase("Idle")) << unit.Story();
  for (int boot = 2; boot <= 3; ++boot) CutPower(unit, boot);
  EXPECT_EQ(unit.Status()->safe_mode(), "");
  EXPECT_FALSE(std::filesystem::exists(flag));
  CutPower(unit, 4);
  EXPECT_EQ(unit.Status()->safe_mode(), "3 starts in a row did not last");
  EXPECT_TRUE(std::filesystem::exists(flag));
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("safe_mode"); }));
  EXPECT_THAT(unit.FeedbackReason("safe_mode"), HasSubstr("3 starts"));
  // An order is taken; what it brings may run on trial, and ends safe mode when it is applied.
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  EXPECT_EQ(unit.Status()->safe_mode(), "");
  EXPECT_FALSE(std::filesystem::exists(flag));
  EXPECT_TRUE(
      unit.WaitFor([&] { return absl::StrContains(unit.FeedbackReason("safe_mode"), "an update was applied"); }));
}

TEST(Recovery, APersonLeavesSafeMode) {
  const std::string flag = FlagFile("person");
  UnitUnderTest unit(absl::StrCat("safe_mode: {failed_starts: 2, lasting: 1h, flag_file: ", flag, "}\n"));
  AddThreeUms(unit);
  unit.Start();
  ASSERT_TRUE(unit.WaitForPhase("Idle")) << unit.Story();
  for (int boot = 2; boot <= 3; ++boot) CutPower(unit, boot);
  ASSERT_TRUE(std::filesystem::exists(flag));
  const Command leave{.argv = {UnitUnderTest::Program("tandemctl"), "--socket", unit.folder() + "/cm.sock",
                               "leave-safe-mode", "--reason", "cable mended"}};
  ASSERT_TRUE(RunCommandOk(leave).ok());
  EXPECT_FALSE(std::filesystem::exists(flag));
  EXPECT_TRUE(unit.WaitFor([&] { return absl::StrContains(unit.FeedbackReason("safe_mode"), "cable mended"); }));
  EXPECT_FALSE(RunCommandOk(leave).ok());
  CutPower(unit, 4);
  EXPECT_EQ(unit.Status()->safe_mode(), "");
}

TEST(Recovery, WhatGoesWrongAfterTheCommitIsTold) {
  const std::string marker = absl::StrCat(testing::TempDir(), "/tandem-healthy-", getpid());
  WriteText(marker, "");
  UnitUnderTest unit(absl::StrCat(
      "stability: {interval: 1s, failures: 2, restarts: 2}\nhealth: {probes: [{name: app, exec: {command: [test, -e, ",
      marker, "]}}]}\nsafe_mode: {failed_starts: 4294967295}\n"));
  AddThreeUms(unit);
  unit.Start();
  ASSERT_TRUE(unit.WaitForPhase("Idle")) << unit.Story();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  EXPECT_FALSE(unit.HasFeedback("anomaly"));
  std::filesystem::remove(marker);
  ASSERT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("anomaly"); })) << unit.Story();
  EXPECT_THAT(unit.FeedbackReason("anomaly"), HasSubstr("probe \"app\" failed 2 times in a row"));
  WriteText(marker, "");
  for (int boot = 2; boot <= 3; ++boot) CutPower(unit, boot);
  ASSERT_TRUE(unit.WaitFor([&] {
    return absl::StrContains(unit.FeedbackReason("anomaly"), "started 2 times by itself");
  })) << unit.Story();
  std::filesystem::remove(marker);
}

TEST(Recovery, APauseSurvivesAPowerCut) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  ASSERT_TRUE(unit.WaitForPhase("Idle")) << unit.Story();
  const auto ctl = [&](const char* verb) {
    return RunCommandOk({.argv = {UnitUnderTest::Program("tandemctl"), "--socket", unit.folder() + "/cm.sock", verb}});
  };
  ASSERT_TRUE(ctl("pause").ok());
  CutPower(unit, 2);
  EXPECT_TRUE(unit.Status()->paused());
  EXPECT_TRUE(unit.WaitFor([&] { return unit.LastReported().paused(); }));
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForPhase("Ready")) << unit.Story();
  ASSERT_TRUE(ctl("resume").ok());
  EXPECT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  EXPECT_TRUE(unit.WaitFor([&] { return !unit.LastReported().paused(); }));
}

}  // namespace
}  // namespace tandem
