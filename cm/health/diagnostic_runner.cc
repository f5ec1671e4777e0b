#include "cm/health/diagnostic_runner.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "cm/health/command_output.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace tandem::cm {
namespace {

using release::v1::Diagnostic;
using release::v1::DiagnosticCommand;

constexpr size_t kMaxWaiting = 256;
constexpr size_t kKeptResults = 256;
constexpr int kMaxStarted = 512;
constexpr size_t kShown = 20;
constexpr uint32_t kDefaultConcurrent = 64;
constexpr absl::Duration kAnswerRetry = absl::Seconds(2);
constexpr size_t kMaxReasonBytes = 1024;

std::string OutcomeOf(const ProbeReport& report) {
  if (report.result.ok()) return "passed";
  if (absl::IsDeadlineExceeded(report.result.status())) return "timeout";
  return report.broken ? "error" : "failed";
}

absl::StatusOr<ProbeCommandResult> RunCommandIn(const SandboxLimits& limits, int stop_fd, const ProbeCommand& command) {
  SandboxCommand sandboxed{.argv = command.argv,
                           .timeout = command.timeout,
                           .environment = command.environment,
                           .input_file = command.input_file,
                           .limits = limits,
                           .stop_fd = stop_fd};
  ASSIGN_OR_RETURN(const SandboxResult result, RunInSandbox(sandboxed));
  if (result.timed_out) {
    return absl::DeadlineExceededError(
        absl::StrCat(command.argv[0], " did not end within ", absl::FormatDuration(command.timeout)));
  }
  if (result.out_of_memory) {
    return absl::ResourceExhaustedError(
        absl::StrCat(command.argv[0], " needed more than its ", limits.memory_bytes, " bytes of memory"));
  }
  if (result.signal != 0) {
    return absl::AbortedError(absl::StrCat(command.argv[0], " was ended by signal ", result.signal));
  }
  return ProbeCommandResult{.exit_code = result.exit_code, .output = result.output, .tail = result.tail};
}

// A version probe without a version means the one that the release brings.
void FillInVersion(const release::v1::Release& release, Diagnostic& diagnostic) {
  if (!diagnostic.check().has_version() || !diagnostic.check().version().version().empty()) return;
  auto& probe = *diagnostic.mutable_check()->mutable_version();
  std::set<std::string> versions;
  for (const release::v1::ReleaseComponent& component : release.components()) {
    if (component.component_type() == probe.component_type()) versions.insert(component.version());
  }
  if (versions.size() == 1) probe.set_version(*versions.begin());
}

}  // namespace

SandboxLimits SandboxLimitsOf(const config::v1::Diagnostics& config) {
  SandboxLimits limits;
  limits.user = config.user();
  if (config.memory_limit_bytes() != 0) limits.memory_bytes = config.memory_limit_bytes();
  if (config.process_limit() != 0) limits.processes = config.process_limit();
  if (config.disk_limit_bytes() != 0) limits.disk_bytes = config.disk_limit_bytes();
  if (config.output_limit_bytes() != 0) limits.output_bytes = config.output_limit_bytes();
  return limits;
}

DiagnosticRunner::DiagnosticRunner(DiagnosticRunnerParts parts)
    : parts_(std::move(parts)),
      limits_(SandboxLimitsOf(parts_.config.diagnostics())),
      concurrent_(parts_.config.diagnostics().concurrent() == 0 ? kDefaultConcurrent
                                                                : parts_.config.diagnostics().concurrent()),
      file_(parts_.fs, JoinPath(parts_.config.state_dir(), "diagnostics.rec")),
      stop_fd_(eventfd(0, EFD_CLOEXEC)),
      workers_(std::make_unique<ProbeWorkers>(static_cast<int>(concurrent_))) {
  const absl::StatusOr<std::string> bytes = file_.ReadOrRestorePrevious();
  if (bytes.ok() && record_.ParseFromString(*bytes)) return;
  record_.Clear();
  // What is lost is only how often each was begun.
  if (!absl::IsNotFound(bytes.status())) LogWarning("record of running diagnostics lost", {{"file", file_.path()}});
}

DiagnosticRunner::~DiagnosticRunner() {
  alive_.reset();
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof(one));
  workers_.reset();
  close(stop_fd_);
}

void DiagnosticRunner::OnCommand(const std::string& envelope) {
  const absl::StatusOr<DiagnosticCommand> opened = [&]() -> absl::StatusOr<DiagnosticCommand> {
    ASSIGN_OR_RETURN(const TrustedKeys keys, parts_.keys());
    ASSIGN_OR_RETURN(Signed<DiagnosticCommand> command, OpenDiagnosticCommand(envelope, keys));
    if (command.document.unit_id() == parts_.config.unit_id()) return std::move(command.document);
    return absl::PermissionDeniedError(absl::StrCat("it is for unit \"", command.document.unit_id(), "\""));
  }();
  if (!opened.ok()) return parts_.refused(absl::StrCat("diagnostic: ", ToPersonText(opened.status())));
  const DiagnosticCommand& command = *opened;
  const Key key(command.run_id(), command.diagnostic());
  if (jobs_.contains(key)) return;
  const auto done = std::ranges::find(finished_, key, &Finished::key);
  if (done != finished_.end()) {
    // The fleet asks again because the answer did not reach it; the outbox keeps one.
    if (const absl::Status again = parts_.answer(done->answer); !again.ok()) {
      LogWarning("cannot queue a result again", {{"error", ToPersonText(again)}});
    }
    return;
  }
  Job job{.command = command};
  if (const absl::Status taken = Take(command, job.diagnostic); !taken.ok()) {
    return AnswerError(command, ToPersonText(taken));
  }
  const record::v1::StartedDiagnostic* const started = FindStarted(key);
  if (started != nullptr && started->starts() >= kMaxDiagnosticStarts) {
    return AnswerError(command, absl::StrCat("CM ended ", started->starts(), " times while it ran"));
  }
  if (waiting_.size() >= kMaxWaiting) return AnswerError(command, "too many diagnostics are waiting");
  jobs_.emplace(key, std::move(job));
  waiting_.push_back(key);
  StartMore();
}

absl::Status DiagnosticRunner::Take(const DiagnosticCommand& command, Diagnostic& diagnostic) const {
  const absl::Time expires = ExpiryOf(command.has_expires(), command.expires());
  if (parts_.now() > expires) {
    return absl::FailedPreconditionError(
        absl::StrCat("the order expired at ", absl::FormatTime(expires, absl::UTCTimeZone())));
  }
  ASSIGN_OR_RETURN(const release::v1::Release release, parts_.find_release(command.release_digest()));
  const auto found = std::ranges::find(release.diagnostics(), command.diagnostic(), &Diagnostic::name);
  if (found == release.diagnostics().end()) {
    return absl::NotFoundError(
        absl::StrCat("release ", release.release_id(), " has no diagnostic \"", command.diagnostic(), "\""));
  }
  diagnostic = *found;
  diagnostic.mutable_check()->set_name(diagnostic.name());
  FillInVersion(release, diagnostic);
  return MakeProbe(diagnostic.check(), parts_.probes).status();
}

void DiagnosticRunner::StartMore() {
  std::vector<Key> starting;
  while (running_ < concurrent_ && !waiting_.empty()) {
    const Key key = std::move(waiting_.front());
    waiting_.pop_front();
    record::v1::StartedDiagnostic* started = FindStarted(key);
    if (started == nullptr) {
      if (record_.started_size() >= kMaxStarted) record_.mutable_started()->DeleteSubrange(0, 1);
      started = record_.add_started();
      started->set_run_id(key.first);
      started->set_diagnostic(key.second);
    }
    started->set_starts(started->starts() + 1);
    starting.push_back(key);
    ++running_;
  }
  if (starting.empty()) return;
  SaveStarted();
  for (const Key& key : starting) {
    Job& job = jobs_.at(key);
    job.running = true;
    job.started = parts_.clock.Monotonic();
    Run(key, job);
  }
  parts_.changed();
}

void DiagnosticRunner::Run(const Key& key, const Job& job) {
  LogInfo("diagnostic begins", {{"run", key.first}, {"diagnostic", key.second}});
  ProbeContext context = parts_.probes;
  context.run_command = [limits = limits_, stop_fd = stop_fd_, name = key.second](ProbeCommand command) {
    command.environment.emplace_back("TANDEM_DIAGNOSTIC", name);
    return RunCommandIn(limits, stop_fd, command);
  };
  absl::StatusOr<std::unique_ptr<Probe>> made = MakeProbe(job.diagnostic.check(), context);
  // Functions that are copied hold what they share.
  std::shared_ptr<Probe> probe;
  ProbeReport not_made;
  if (made.ok()) {
    probe = *std::move(made);
  } else {
    not_made = {.result = made.status(), .broken = true};
  }
  workers_->Run([this, alive = std::weak_ptr<bool>(alive_), &loop = parts_.loop, key, probe, not_made,
                 timeout = TimeoutOf(job.diagnostic)] {
    ProbeReport report = probe == nullptr ? not_made : probe->Measure(timeout);
    loop.Post([this, alive, key, report = std::move(report)] {
      if (!alive.expired()) Finish(key, report);
    });
  });
}

unit::v1::DiagnosticResult DiagnosticRunner::ResultOf(const DiagnosticCommand& command) const {
  unit::v1::DiagnosticResult result;
  result.set_diagnostic(command.diagnostic());
  result.set_release_digest(HexEncode(command.release_digest()));
  result.set_boot_id(parts_.boot_id);
  return result;
}

void DiagnosticRunner::Finish(const Key& key, const ProbeReport& report) {
  const auto node = jobs_.extract(key);
  if (node.empty()) return;
  const Job& job = node.mapped();
  --running_;
  const absl::Duration took = parts_.clock.Monotonic() - job.started;
  DiagnosticAnswer answer{
      .result = ResultOf(job.command), .run_id = key.first, .triggered_by = job.command.triggered_by()};
  unit::v1::DiagnosticResult& result = answer.result;
  result.set_outcome(OutcomeOf(report));
  const std::string reason = report.result.ok() ? *report.result : ToPersonText(report.result.status());
  result.set_reason(CleanText(reason, kMaxReasonBytes));
  for (const ProbeMeasurement& measured : report.measurements) {
    unit::v1::Measurement& measurement = *result.add_measurements();
    measurement.set_name(measured.name);
    measurement.set_value(measured.value);
    measurement.set_unit(measured.unit);
    if (measured.min.has_value()) measurement.set_min(*measured.min);
    if (measured.max.has_value()) measurement.set_max(*measured.max);
  }
  result.set_log_excerpt(report.log);
  result.set_duration_ms(absl::ToDoubleMilliseconds(took));
  LogInfo("diagnostic ends",
          {{"run", key.first}, {"diagnostic", key.second}, {"outcome", result.outcome()}, {"reason", result.reason()}});
  Answer(key, std::move(answer), took);
  StartMore();
}

void DiagnosticRunner::AnswerError(const DiagnosticCommand& command, const std::string& why) {
  const Key key(command.run_id(), command.diagnostic());
  LogWarning("diagnostic cannot be run", {{"run", key.first}, {"diagnostic", key.second}, {"reason", why}});
  DiagnosticAnswer answer{
      .result = ResultOf(command), .run_id = command.run_id(), .triggered_by = command.triggered_by()};
  answer.result.set_outcome("error");
  answer.result.set_reason(why);
  Answer(key, std::move(answer), absl::ZeroDuration());
}

void DiagnosticRunner::Answer(const Key& key, DiagnosticAnswer answer, absl::Duration took) {
  const absl::Status queued = parts_.answer(answer);
  if (!queued.ok()) {
    // A full disk, say. Until then the order that comes again finds the job.
    LogError("cannot queue a diagnostic's result", {{"error", ToPersonText(queued)}});
    jobs_.try_emplace(key);
    parts_.loop.PostAfter(kAnswerRetry, [this, alive = std::weak_ptr<bool>(alive_), key, answer, took] {
      if (alive.expired()) return;
      jobs_.erase(key);
      Answer(key, answer, took);
    });
    return;
  }
  ForgetStarted(key);
  finished_.push_front({.key = key, .answer = std::move(answer), .took = took});
  if (finished_.size() > kKeptResults) finished_.pop_back();
  parts_.changed();
}

record::v1::StartedDiagnostic* DiagnosticRunner::FindStarted(const Key& key) {
  for (record::v1::StartedDiagnostic& started : *record_.mutable_started()) {
    if (started.run_id() == key.first && started.diagnostic() == key.second) return &started;
  }
  return nullptr;
}

void DiagnosticRunner::ForgetStarted(const Key& key) {
  auto& all = *record_.mutable_started();
  // Not std::ranges: clang's does not take the iterators of protobuf.
  const auto gone = std::remove_if(all.begin(), all.end(), [&](const record::v1::StartedDiagnostic& started) {
    return started.run_id() == key.first && started.diagnostic() == key.second;
  });
  if (gone == all.end()) return;
  all.erase(gone, all.end());
  SaveStarted();
}

void DiagnosticRunner::SaveStarted() {
  // Without it they run all the same; only one that takes CM down would be tried more often.
  if (const absl::Status saved = file_.Write(record_.SerializeAsString()); !saved.ok()) {
    LogError("cannot write down which diagnostics run", {{"error", ToPersonText(saved)}});
  }
}

std::vector<local::v1::DiagnosticStatus> DiagnosticRunner::Status() const {
  std::vector<local::v1::DiagnosticStatus> all;
  const auto add = [&all](const Key& key, const std::string& triggered_by, absl::Duration took) {
    local::v1::DiagnosticStatus& status = all.emplace_back();
    status.set_run_id(key.first);
    status.set_name(key.second);
    status.set_triggered_by(triggered_by);
    status.set_duration_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(took)));
    return &status;
  };
  for (const bool running : {true, false}) {
    for (const auto& [key, job] : jobs_) {
      if (job.running != running || job.command.run_id().empty()) continue;
      const absl::Duration took = running ? parts_.clock.Monotonic() - job.started : absl::ZeroDuration();
      add(key, job.command.triggered_by(), took)->set_state(running ? "running" : "waiting");
    }
  }
  for (const Finished& done : finished_) {
    if (all.size() >= kShown) break;
    local::v1::DiagnosticStatus* const status = add(done.key, done.answer.triggered_by, done.took);
    status->set_state(done.answer.result.outcome());
    status->set_reason(done.answer.result.reason());
  }
  if (all.size() > kShown) all.resize(kShown);
  return all;
}

}  // namespace tandem::cm
