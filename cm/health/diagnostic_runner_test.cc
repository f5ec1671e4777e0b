#include "cm/health/diagnostic_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/signed_metadata.h"
#include "common/storage/fake_file_system.h"
#include "tests/support/test_documents.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kUnit[] = "unit-1";

class DiagnosticRunnerTest : public testing::Test {
 protected:
  DiagnosticRunnerTest() {
    config_.set_unit_id(kUnit);
    config_.set_namespace_("acme");
    config_.set_state_dir("/state");
    EXPECT_TRUE(fs_.MakeFolders("/state").ok());
    release_ = maker_.ReleaseOf("r1", {{.type = "rootfs", .version = "2.0"}});
    Start();
  }
  ~DiagnosticRunnerTest() override { runner_.reset(); }

  void Start() {
    runner_.reset();
    runner_ = std::make_unique<DiagnosticRunner>(DiagnosticRunnerParts{
        .loop = loop_,
        .clock = Clock::Real(),
        .fs = fs_,
        .config = config_,
        .boot_id = "boot-1",
        .probes = context_,
        .keys = [this] { return TrustedKeys::FromFirst(maker_.KeySetEnvelope(), "acme"); },
        .now = [this] { return maker_.now; },
        .find_release = [this](const std::string& digest) -> absl::StatusOr<release::v1::Release> {
          if (digest == PayloadDigest(maker_.Seal(release_))) return release_;
          return absl::NotFoundError("the unit runs something else");
        },
        .answer =
            [this](const DiagnosticAnswer& answer) {
              if (answer_status_.ok()) answers_.push_back(answer);
              return answer_status_;
            },
        .refused = [this](const std::string& why) { refused_.push_back(why); },
        .changed = [] {}});
  }

  void AddCheck(const std::string& name, const release::v1::Probe& check, uint32_t timeout_secs = 30) {
    release::v1::Diagnostic& diagnostic = *release_.add_diagnostics();
    diagnostic.set_name(name);
    diagnostic.set_timeout_secs(timeout_secs);
    *diagnostic.mutable_check() = check;
  }
  void AddScript(const std::string& name, const std::string& script, uint32_t timeout_secs = 30) {
    release::v1::Probe probe;
    for (const std::string& word : {std::string("sh"), std::string("-c"), script})
      probe.mutable_exec()->add_command(word);
    AddCheck(name, probe, timeout_secs);
  }
  release::v1::DiagnosticCommand CommandFor(const std::string& diagnostic, const std::string& run_id = "run-1") {
    release::v1::DiagnosticCommand command;
    command.set_namespace_("acme");
    command.set_unit_id(kUnit);
    command.set_run_id(run_id);
    command.set_release_digest(PayloadDigest(maker_.Seal(release_)));
    command.set_diagnostic(diagnostic);
    command.set_triggered_by("ota_verify");
    SetTimestamp(command.mutable_issued_at(), maker_.now);
    SetTimestamp(command.mutable_expires(), maker_.now + absl::Minutes(5));
    return command;
  }
  void Order(const std::string& diagnostic, const std::string& run_id = "run-1") {
    runner_->OnCommand(maker_.Seal(CommandFor(diagnostic, run_id)));
  }
  bool RunUntil(const std::function<bool()>& done) {
    const absl::Duration deadline = Clock::Real().Monotonic() + absl::Seconds(30);
    while (!done()) {
      if (Clock::Real().Monotonic() > deadline) return false;
      if (loop_.RunReady() == 0) std::this_thread::yield();
    }
    return true;
  }
  // The result of a diagnostic that is ordered now.
  unit::v1::DiagnosticResult ResultOf(const std::string& diagnostic, const std::string& run_id = "run-1") {
    const size_t before = answers_.size();
    Order(diagnostic, run_id);
    EXPECT_TRUE(RunUntil([&] { return answers_.size() > before; })) << diagnostic;
    return answers_.size() > before ? answers_.back().result : unit::v1::DiagnosticResult();
  }

  TestMaker maker_{"acme"};
  config::v1::CmConfig config_;
  EventLoop loop_{Clock::Real()};
  FakeFileSystem fs_;
  ProbeContext context_;
  release::v1::Release release_;
  absl::Status answer_status_;
  std::vector<DiagnosticAnswer> answers_;
  std::vector<std::string> refused_;
  std::unique_ptr<DiagnosticRunner> runner_;
};

TEST_F(DiagnosticRunnerTest, APassedOneIsAnsweredWithItsNumbers) {
  release::v1::Probe probe;
  for (const char* word : {"sh", "-c",
                           "echo loading; echo measure latency 12.5 ms; echo measure limit $TANDEM_LIMIT; "
                           "echo reason fast enough; echo warm >&2"}) {
    probe.mutable_exec()->add_command(word);
  }
  (*probe.mutable_exec()->mutable_parameters())["limit"] = "20";
  probe.mutable_exec()->set_measurement("latency");
  probe.mutable_exec()->mutable_threshold()->set_max(20);
  AddCheck("inference", probe);
  const unit::v1::DiagnosticResult result = ResultOf("inference");
  EXPECT_EQ(result.outcome(), "passed") << result.DebugString();
  EXPECT_EQ(result.reason(), "latency 12.5 ms: fast enough");
  EXPECT_EQ(result.boot_id(), "boot-1");
  ASSERT_EQ(result.measurements_size(), 2);
  EXPECT_EQ(result.measurements(0).name(), "latency");
  EXPECT_EQ(result.measurements(0).value(), 12.5);
  EXPECT_EQ(result.measurements(0).max(), 20);
  EXPECT_FALSE(result.measurements(0).has_min());
  EXPECT_EQ(result.measurements(1).value(), 20);
  EXPECT_THAT(result.log_excerpt(), testing::AllOf(HasSubstr("loading"), HasSubstr("warm")));
  EXPECT_EQ(answers_[0].run_id, "run-1");
  EXPECT_EQ(answers_[0].triggered_by, "ota_verify");
}

TEST_F(DiagnosticRunnerTest, OutcomesFollowTheConvention) {
  AddScript("fails", "echo reason no camera; exit 1");
  AddScript("broken", "echo cannot load >&2; exit 7");
  AddScript("hangs", "trap '' TERM; while true; do sleep 100; done", 1);
  AddScript("crashes", "kill -SEGV $$");
  release::v1::Probe missing;
  missing.mutable_exec()->add_command("/no/such/program");
  AddCheck("missing", missing);
  EXPECT_EQ(ResultOf("fails").outcome(), "failed");
  EXPECT_EQ(answers_.back().result.reason(), "no camera");
  EXPECT_EQ(ResultOf("broken").outcome(), "error");
  EXPECT_EQ(answers_.back().result.reason(), "exit code 7: cannot load");
  EXPECT_EQ(ResultOf("hangs").outcome(), "timeout");
  EXPECT_EQ(ResultOf("crashes").outcome(), "error");
  EXPECT_EQ(ResultOf("missing").outcome(), "error");
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("/no/such/program"));
}

TEST_F(DiagnosticRunnerTest, AThresholdDecidesEvenWhenTheCommandIsContent) {
  release::v1::Probe probe;
  for (const char* word : {"echo", "measure latency 25 ms"}) probe.mutable_exec()->add_command(word);
  probe.mutable_exec()->set_measurement("latency");
  probe.mutable_exec()->mutable_threshold()->set_max(20);
  AddCheck("slow", probe);
  probe.mutable_exec()->set_measurement("frames");
  AddCheck("silent", probe);
  EXPECT_EQ(ResultOf("slow").outcome(), "failed");
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("latency: 25 ms is above the limit of 20 ms"));
  EXPECT_EQ(ResultOf("silent").outcome(), "failed");
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("measure frames"));
}

TEST_F(DiagnosticRunnerTest, TheSameOrderAgainIsAnsweredWithTheSameResult) {
  AddScript("once", "date +%s%N; echo measure when $(date +%N)");
  const unit::v1::DiagnosticResult first = ResultOf("once");
  Order("once");
  ASSERT_THAT(answers_, SizeIs(2));
  EXPECT_EQ(answers_[1].result.SerializeAsString(), first.SerializeAsString());
  // Another run is another result.
  EXPECT_NE(ResultOf("once", "run-2").log_excerpt(), first.log_excerpt());
}

TEST_F(DiagnosticRunnerTest, OneThatRunsIsNotBegunAgain) {
  AddScript("slow", "sleep 0.3");
  Order("slow");
  Order("slow");
  ASSERT_TRUE(RunUntil([this] { return !answers_.empty(); }));
  EXPECT_THAT(runner_->Status(), SizeIs(1));
  Order("slow");
  EXPECT_THAT(answers_, SizeIs(2));
}

TEST_F(DiagnosticRunnerTest, WhatIsNotGenuineOrNotForThisUnitIsRefused) {
  AddScript("good", "true");
  const release::v1::DiagnosticCommand good = CommandFor("good");
  runner_->OnCommand(SealOrDie(good, kDiagnosticCommandType, {GenerateOrDie()}));
  runner_->OnCommand(SealOrDie(good, kDiagnosticCommandType, maker_.release));
  runner_->OnCommand(SealOrDie(good, kVerdictType, maker_.assignment));
  runner_->OnCommand("{}");
  release::v1::DiagnosticCommand other = good;
  other.set_unit_id("unit-2");
  runner_->OnCommand(maker_.Seal(other));
  other = good;
  other.set_namespace_("other");
  runner_->OnCommand(maker_.Seal(other));
  other = good;
  other.clear_expires();
  runner_->OnCommand(maker_.Seal(other));
  EXPECT_THAT(refused_, SizeIs(7));
  EXPECT_THAT(refused_[4], HasSubstr("it is for unit \"unit-2\""));
  EXPECT_THAT(answers_, IsEmpty());
  EXPECT_THAT(runner_->Status(), IsEmpty());
}

TEST_F(DiagnosticRunnerTest, OnlyWhatTheRunningReleaseDefinesIsRun) {
  AddScript("good", "true");
  EXPECT_EQ(ResultOf("other").outcome(), "error");
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("release r1 has no diagnostic \"other\""));
  release::v1::DiagnosticCommand command = CommandFor("good", "run-2");
  command.set_release_digest(std::string(32, 'x'));
  runner_->OnCommand(maker_.Seal(command));
  EXPECT_EQ(answers_.back().result.outcome(), "error");
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("the unit runs something else"));
  command = CommandFor("good", "run-3");
  SetTimestamp(command.mutable_expires(), maker_.now - absl::Seconds(1));
  runner_->OnCommand(maker_.Seal(command));
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("the order expired at"));
  EXPECT_THAT(refused_, IsEmpty());
}

TEST_F(DiagnosticRunnerTest, OneThatThisCmDoesNotKnowIsAnError) {
  AddCheck("newer", release::v1::Probe());
  EXPECT_EQ(ResultOf("newer").outcome(), "error");
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("it says not what to check"));
}

TEST_F(DiagnosticRunnerTest, SoManyRunAtTheSameTimeAndTheRestWait) {
  config_.mutable_diagnostics()->set_concurrent(2);
  Start();
  for (const char* name : {"a", "b", "c", "d"}) AddScript(name, "sleep 0.1");
  for (const char* name : {"a", "b", "c", "d"}) Order(name);
  std::vector<std::string> states;
  for (const auto& status : runner_->Status()) states.push_back(status.state());
  EXPECT_THAT(states, ElementsAre("running", "running", "waiting", "waiting"));
  EXPECT_TRUE(RunUntil([this] { return answers_.size() == 4; }));
  for (const DiagnosticAnswer& answer : answers_) EXPECT_EQ(answer.result.outcome(), "passed");
}

TEST_F(DiagnosticRunnerTest, OneThatTakesCmDownIsNotTriedForEver) {
  AddScript("deadly", "sleep 1000");
  for (uint32_t i = 0; i < kMaxDiagnosticStarts; ++i) {
    Order("deadly");
    EXPECT_THAT(runner_->Status(), SizeIs(1));
    // CM ends; what was written is all that is left.
    Start();
  }
  EXPECT_EQ(ResultOf("deadly").outcome(), "error");
  EXPECT_EQ(answers_.back().result.reason(), "CM ended 3 times while it ran");
  // Answered: another run begins with a clean slate.
  Order("deadly", "run-2");
  EXPECT_EQ(runner_->Status()[0].state(), "running");
}

TEST_F(DiagnosticRunnerTest, AResultThatCannotBeQueuedYetIsQueuedLater) {
  AddScript("good", "true");
  answer_status_ = absl::ResourceExhaustedError("no space");
  Order("good");
  EXPECT_TRUE(RunUntil([this] { return runner_->Status().empty(); }));
  Order("good");
  answer_status_ = absl::OkStatus();
  EXPECT_TRUE(RunUntil([this] { return !answers_.empty(); }));
  EXPECT_EQ(answers_[0].result.outcome(), "passed");
  EXPECT_THAT(answers_, SizeIs(1));
}

TEST_F(DiagnosticRunnerTest, AVersionProbeMeansTheReleasesOwnVersion) {
  context_.components = [] {
    return std::vector<ProbeComponent>{{.component_id = "root", .component_type = "rootfs", .version = "1.0"}};
  };
  Start();
  release::v1::Probe probe;
  probe.mutable_version()->set_component_type("rootfs");
  AddCheck("version", probe);
  EXPECT_EQ(ResultOf("version").outcome(), "failed");
  EXPECT_THAT(answers_.back().result.reason(), HasSubstr("reports 1.0, expected 2.0"));
}

TEST_F(DiagnosticRunnerTest, ADamagedRecordKeepsNothingFromRunning) {
  ASSERT_TRUE(fs_.MakeFolders("/state").ok());
  AddScript("good", "true");
  Order("good");
  ASSERT_TRUE(RunUntil([this] { return answers_.size() == 1; }));
  runner_.reset();
  fs_.Put("/state/diagnostics.rec", "garbage");
  Start();
  EXPECT_EQ(ResultOf("good", "run-2").outcome(), "passed");
}

TEST_F(DiagnosticRunnerTest, EndsAtOnceWhenCmEnds) {
  AddScript("long", "sleep 1000", 300);
  Order("long");
  const absl::Duration start = Clock::Real().Monotonic();
  runner_.reset();
  EXPECT_LT(Clock::Real().Monotonic() - start, absl::Seconds(20));
  EXPECT_THAT(answers_, IsEmpty());
}

}  // namespace
}  // namespace tandem::cm
