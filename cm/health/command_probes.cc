#include "cm/health/command_probes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cm/health/command_output.h"
#include "cm/health/threshold.h"
#include "common/process/run_command.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::cm {
namespace {

constexpr size_t kOutputLimit = 1 << 20;
constexpr uint64_t kMaxGoldenFile = 16 << 20;
// The convention: 0 passed, 1 failed, anything else is trouble of its own.
constexpr int kFailedStatus = 1;

std::vector<std::pair<std::string, std::string>> EnvironmentOf(
    const google::protobuf::Map<std::string, std::string>& parameters) {
  std::vector<std::pair<std::string, std::string>> environment;
  for (const auto& [name, value] : parameters) {
    environment.emplace_back(absl::StrCat("TANDEM_", absl::AsciiStrToUpper(name)), value);
  }
  std::ranges::sort(environment);
  return environment;
}

// What the command says of itself, or the last that it printed.
absl::Status ExitError(const ProbeCommandResult& result, const std::string& reason) {
  const std::string text = reason.empty() ? LastLine(LogExcerpt(result.tail)) : reason;
  if (result.exit_code == kFailedStatus && !reason.empty()) return absl::FailedPreconditionError(reason);
  return absl::FailedPreconditionError(absl::StrCat("exit code ", result.exit_code, text.empty() ? "" : ": ", text));
}

class ExecProbe : public Probe {
 public:
  ExecProbe(const release::v1::ExecProbe& config, ProbeCommandRunner run) : config_(config), run_(std::move(run)) {}

  ProbeReport Measure(absl::Duration timeout) override {
    ProbeReport report;
    const absl::StatusOr<ProbeCommandResult> ran = run_({.argv = {config_.command().begin(), config_.command().end()},
                                                         .timeout = timeout,
                                                         .environment = EnvironmentOf(config_.parameters()),
                                                         .input_file = {}});
    if (!ran.ok()) {
      report.result = ran.status();
      report.broken = !absl::IsDeadlineExceeded(ran.status());
      return report;
    }
    CommandOutput said = ParseCommandOutput(ran->output);
    report.log = LogExcerpt(ran->tail);
    report.measurements = std::move(said.measurements);
    report.broken = ran->exit_code != 0 && ran->exit_code != kFailedStatus;
    report.result = Judge(*ran, said, report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(const ProbeCommandResult& result, const CommandOutput& said,
                                    std::vector<ProbeMeasurement>& measurements) const {
    const std::string& reason = said.reason;
    absl::StatusOr<std::string> within = reason.empty() ? "exit code 0" : reason;
    if (config_.has_threshold()) {
      within = CheckNumber(result, said.unreadable, measurements);
      if (within.ok() && !reason.empty()) absl::StrAppend(&*within, ": ", reason);
    }
    if (result.exit_code != 0) return ExitError(result, reason);
    if (!config_.expected_text().empty() && result.output.find(config_.expected_text()) == std::string::npos) {
      return absl::FailedPreconditionError(
          absl::StrCat("it did not print \"", config_.expected_text(), "\", but: ", LastLine(result.output)));
    }
    return within;
  }

  absl::StatusOr<std::string> CheckNumber(const ProbeCommandResult& result, const std::vector<std::string>& unreadable,
                                          std::vector<ProbeMeasurement>& measurements) const {
    if (config_.measurement().empty()) {
      ASSIGN_OR_RETURN(const double number, OnlyNumber(result.output));
      measurements.insert(measurements.begin(), {.name = "value", .value = number});
      SetAllowed(config_.threshold(), measurements.front());
      return CheckThreshold(number, "", config_.threshold());
    }
    if (std::ranges::find(unreadable, config_.measurement()) != unreadable.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("its line \"measure ", config_.measurement(), " …\" has no number"));
    }
    const auto found = std::ranges::find(measurements, config_.measurement(), &ProbeMeasurement::name);
    if (found == measurements.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("it printed no line \"measure ", config_.measurement(), " …\""));
    }
    if (std::ranges::count(measurements, config_.measurement(), &ProbeMeasurement::name) > 1) {
      return absl::FailedPreconditionError(absl::StrCat("it printed \"measure ", config_.measurement(), "\" twice"));
    }
    SetAllowed(config_.threshold(), *found);
    const absl::StatusOr<std::string> within = CheckThreshold(found->value, found->unit, config_.threshold());
    if (!within.ok()) return Annotate(within.status(), found->name);
    return absl::StrCat(found->name, " ", *within);
  }

  const release::v1::ExecProbe config_;
  const ProbeCommandRunner run_;
};

class ReplayProbe : public Probe {
 public:
  ReplayProbe(const release::v1::ReplayProbe& config, ProbeCommandRunner run, Clock& clock)
      : config_(config), run_(std::move(run)), clock_(clock) {}

  ProbeReport Measure(absl::Duration timeout) override {
    ProbeReport report;
    std::string golden = config_.golden_text();
    if (!config_.golden_file().empty()) {
      absl::StatusOr<std::string> read = FileSystem::Real().ReadFile(config_.golden_file(), kMaxGoldenFile);
      if (!read.ok()) return {.result = Annotate(read.status(), "golden file"), .broken = true};
      golden = *std::move(read);
    }
    const absl::Duration start = clock_.Monotonic();
    const absl::StatusOr<ProbeCommandResult> ran = run_({.argv = {config_.command().begin(), config_.command().end()},
                                                         .timeout = timeout,
                                                         .environment = EnvironmentOf(config_.parameters()),
                                                         .input_file = config_.sample()});
    const double took = absl::ToDoubleMilliseconds(clock_.Monotonic() - start);
    if (!ran.ok()) {
      report.result = ran.status();
      report.broken = !absl::IsDeadlineExceeded(ran.status());
      return report;
    }
    report.log = LogExcerpt(ran->tail);
    report.broken = ran->exit_code != 0 && ran->exit_code != kFailedStatus;
    report.measurements = {{.name = "latency", .value = took, .unit = "ms"}};
    SetAllowed(config_.latency_ms(), report.measurements[0]);
    report.result = Judge(*ran, golden, took, report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(const ProbeCommandResult& result, const std::string& golden, double took,
                                    std::vector<ProbeMeasurement>& measurements) const {
    if (result.exit_code != 0) return ExitError(result, "");
    double worst = 0;
    const absl::Status same = CompareWithGolden(result.output, golden, config_.tolerance(), worst);
    if (config_.tolerance() > 0) {
      measurements.push_back({.name = "difference", .value = worst, .max = config_.tolerance()});
    }
    RETURN_IF_ERROR(same);
    return CheckThreshold(took, "ms", config_.latency_ms());
  }

  const release::v1::ReplayProbe config_;
  const ProbeCommandRunner run_;
  Clock& clock_;
};

class ServiceProbe : public Probe {
 public:
  ServiceProbe(const release::v1::ServiceProbe& config, std::string systemctl)
      : config_(config), systemctl_(std::move(systemctl)) {}

  ProbeReport Measure(absl::Duration timeout) override {
    // As CM itself: it asks, and runs nothing of others.
    const absl::StatusOr<CommandResult> ran =
        RunCommand({.argv = {systemctl_, "is-active", "--", config_.unit()}, .timeout = timeout});
    if (!ran.ok()) return {.result = ran.status(), .broken = !absl::IsDeadlineExceeded(ran.status())};
    const std::string state = LastLine(ran->output.empty() ? ran->error_output : ran->output);
    if (state == "active") return {.result = "active"};
    return {.result = absl::FailedPreconditionError(absl::StrCat(config_.unit(), " is ", state))};
  }

 private:
  const release::v1::ServiceProbe config_;
  const std::string systemctl_;
};

}  // namespace

absl::StatusOr<ProbeCommandResult> RunAsOurselves(const ProbeCommand& command) {
  Command own{.argv = command.argv,
              .timeout = command.timeout,
              .output_limit = kOutputLimit,
              .environment = command.environment};
  if (!command.input_file.empty()) own.input_file = command.input_file;
  ASSIGN_OR_RETURN(CommandResult result, RunCommand(own));
  return ProbeCommandResult{
      .exit_code = result.exit_code, .output = result.output, .tail = absl::StrCat(result.output, result.error_output)};
}

std::unique_ptr<Probe> MakeExecProbe(const release::v1::ExecProbe& config, ProbeCommandRunner run) {
  return std::make_unique<ExecProbe>(config, std::move(run));
}
std::unique_ptr<Probe> MakeReplayProbe(const release::v1::ReplayProbe& config, ProbeCommandRunner run, Clock& clock) {
  return std::make_unique<ReplayProbe>(config, std::move(run), clock);
}
std::unique_ptr<Probe> MakeServiceProbe(const release::v1::ServiceProbe& config, std::string systemctl) {
  return std::make_unique<ServiceProbe>(config, std::move(systemctl));
}

}  // namespace tandem::cm
