#include "cm/health/gate_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

namespace tandem::cm {
namespace {

using testing::HasSubstr;

release::v1::Probe Exec(const std::string& name, const std::string& script) {
  release::v1::Probe probe;
  probe.set_name(name);
  for (const char* word : {"/bin/sh", "-c"}) probe.mutable_exec()->add_command(word);
  probe.mutable_exec()->add_command(script);
  probe.mutable_interval()->set_nanos(10'000'000);
  return probe;
}

// A watchdog probe runs a function of the test on the workers.
release::v1::Probe Watched(const std::string& name) {
  release::v1::Probe probe;
  probe.set_name(name);
  probe.mutable_watchdog();
  probe.mutable_interval()->set_nanos(10'000'000);
  return probe;
}

class GateRunnerTest : public testing::Test {
 protected:
  // Runs the loop until the gate says `verdict`; false after 20 s.
  bool WaitFor(GateRunner& gate, GateVerdict verdict) {
    bool reached = false;
    gate.Start([&](const GateState& state) {
      last_ = state;
      if (state.verdict == verdict) {
        reached = true;
        loop_.Stop();
      }
    });
    loop_.PostAfter(absl::Seconds(20), [this] { loop_.Stop(); });
    loop_.Run();
    return reached;
  }

  EventLoop loop_{Clock::Real()};
  ProbeWorkers workers_{2};
  ProbeContext context_;
  GateState last_;
};

TEST_F(GateRunnerTest, PassesWhenTheProbesPass) {
  release::v1::Probe twice = Exec("b", "exit 0");
  twice.set_successes_needed(2);
  auto gate = GateRunner::Create(loop_, workers_, GateMode::kHealth, {Exec("a", "exit 0"), twice}, context_);
  ASSERT_TRUE(gate.ok()) << gate.status();
  EXPECT_TRUE(WaitFor(**gate, GateVerdict::kPassed));
  const std::vector<GateProbeStatus> probes = (*gate)->Probes();
  ASSERT_EQ(probes.size(), 2u);
  EXPECT_EQ(probes[1].name, "b");
  EXPECT_EQ(probes[1].progress.state, ProbeState::kPassed);
  EXPECT_EQ(probes[1].progress.detail, "exit code 0");
}

TEST_F(GateRunnerTest, FailsWithTheProbesReason) {
  auto gate =
      GateRunner::Create(loop_, workers_, GateMode::kHealth, {Exec("a", "echo no camera >&2; exit 3")}, context_);
  ASSERT_TRUE(WaitFor(**gate, GateVerdict::kFailed));
  EXPECT_EQ(last_.reason, "probe \"a\" failed: exit code 3: no camera");
}

TEST_F(GateRunnerTest, GraceAloneIsWaitedFor) {
  auto gate = GateRunner::Create(loop_, workers_, GateMode::kHealth, {}, context_, absl::Milliseconds(50));
  const absl::Duration start = Clock::Real().Monotonic();
  EXPECT_TRUE(WaitFor(**gate, GateVerdict::kPassed));
  EXPECT_GE(Clock::Real().Monotonic() - start, absl::Milliseconds(50));
}

TEST_F(GateRunnerTest, PreconditionsAreProbedUntilTheyHold) {
  std::atomic<int> runs = 0;
  context_.watchdog = [&] { return ++runs < 5 ? absl::UnavailableError("driving") : absl::OkStatus(); };
  auto gate = GateRunner::Create(loop_, workers_, GateMode::kPreconditions, {Watched("parked")}, context_);
  EXPECT_TRUE(WaitFor(**gate, GateVerdict::kPassed));
  EXPECT_GE(runs, 5);
}

TEST_F(GateRunnerTest, TheCallbackMayDestroyTheGate) {
  auto gate = GateRunner::Create(loop_, workers_, GateMode::kHealth, {Exec("a", "exit 0")}, context_);
  std::unique_ptr<GateRunner> owned = *std::move(gate);
  owned->Start([&](const GateState& state) {
    if (state.verdict == GateVerdict::kPassed) {
      owned.reset();
      loop_.Stop();
    }
  });
  loop_.PostAfter(absl::Seconds(20), [this] { loop_.Stop(); });
  loop_.Run();
  EXPECT_EQ(owned, nullptr);
}

TEST_F(GateRunnerTest, NothingComesFromADestroyedGate) {
  ProbeWorkers worker(1);
  std::atomic<bool> entered = false;
  std::atomic<bool> leave = false;
  context_.watchdog = [&] {
    entered = true;
    while (!leave) std::this_thread::yield();
    return absl::OkStatus();
  };
  auto gate = GateRunner::Create(loop_, worker, GateMode::kHealth, {Watched("slow")}, context_);
  std::unique_ptr<GateRunner> owned = *std::move(gate);
  int calls = 0;
  owned->Start([&](const GateState&) { ++calls; });
  while (!entered) loop_.RunReady();
  owned.reset();
  leave = true;
  std::atomic<bool> drained = false;
  // The one worker takes work in order, so this ends after the probe has.
  worker.Run([&] { drained = true; });
  while (!drained) std::this_thread::yield();
  loop_.RunReady();
  EXPECT_EQ(calls, 0);
}

TEST_F(GateRunnerTest, WhatCannotWorkIsRefusedByName) {
  release::v1::Probe empty;
  empty.set_name("x");
  const absl::Status status = GateRunner::Create(loop_, workers_, GateMode::kHealth, {empty}, context_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"x\""));
  EXPECT_THAT(std::string(GateRunner::Create(loop_, workers_, GateMode::kHealth,
                                             {Exec("a", "exit 0"), Exec("a", "exit 0")}, context_)
                              .status()
                              .message()),
              HasSubstr("two probes are named \"a\""));
}

TEST(LongestGraceTest, IsTheLongestOfAll) {
  release::v1::Probe probe = Exec("a", "exit 0");
  probe.mutable_grace()->set_seconds(30);
  EXPECT_EQ(LongestGrace({probe}, absl::Seconds(10)), absl::Seconds(30));
  EXPECT_EQ(LongestGrace({probe}, absl::Seconds(40)), absl::Seconds(40));
}

TEST(TimeToPassTest, CountsTheRowOfSuccessesToo) {
  release::v1::Probe probe;
  probe.mutable_interval()->set_seconds(600);
  probe.mutable_timeout()->set_seconds(2);
  probe.set_successes_needed(10);
  EXPECT_EQ(TimeToPass({probe}, absl::Seconds(10)), absl::Seconds(10 + 9 * 600 + 2));
  probe.mutable_grace()->set_seconds(30);
  EXPECT_EQ(TimeToPass({probe, {}}, absl::Seconds(10)), absl::Seconds(30 + 9 * 600 + 2));
  EXPECT_EQ(TimeToPass({}, absl::Seconds(10)), absl::Seconds(10));
}

}  // namespace
}  // namespace tandem::cm
