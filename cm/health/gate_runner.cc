#include "cm/health/gate_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

GateRule RuleOf(const release::v1::Probe& probe) {
  GateRule rule;
  rule.name = probe.name();
  if (probe.has_grace()) rule.grace = ToDuration(probe.grace());
  if (probe.has_interval()) rule.interval = std::max(ToDuration(probe.interval()), absl::Milliseconds(10));
  if (probe.has_timeout()) rule.timeout = ToDuration(probe.timeout());
  rule.successes_needed = std::max(probe.successes_needed(), 1u);
  rule.failures_allowed = probe.failures_allowed();
  return rule;
}

}  // namespace

ProbeWorkers::ProbeWorkers(int at_once, Workers& workers) : at_once_(at_once), workers_(workers) {}

ProbeWorkers::~ProbeWorkers() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    queue_.clear();
  }
  for (Active& active : active_) active.worker->Join();
}

void ProbeWorkers::Run(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  queue_.push_back(std::move(work));
  // One that has ended needs the lock no more, so it is joined at once.
  active_.remove_if([](const Active& active) { return active.ended; });
  if (static_cast<int>(active_.size()) >= at_once_) return;
  Active& active = active_.emplace_back();
  active.worker = workers_.Start([this, &active] { Work(active); });
}

void ProbeWorkers::Work(Active& active) {
  std::unique_lock lock(mutex_);
  while (!stopped_ && !queue_.empty()) {
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
  active.ended = true;
}

// Lives as long as the runner; timers and results that come later find it gone.
struct GateRunner::Run : std::enable_shared_from_this<Run> {
  Run(EventLoop& run_loop, ProbeWorkers& run_workers, GateMode run_mode, Clock& run_clock)
      : loop(run_loop), workers(run_workers), mode(run_mode), clock(run_clock) {}

  void Begin() {
    started = clock.Monotonic();
    for (size_t i = 0; i < rules.size(); ++i) Schedule(i, std::max(grace, rules[i].grace));
    // The one event that no probe brings: the end of the grace.
    loop.PostAfter(grace, [weak = weak_from_this()] {
      if (const std::shared_ptr<Run> run = weak.lock()) run->Handle({});
    });
  }

  void Schedule(size_t probe, absl::Duration delay) {
    loop.PostAfter(delay, [weak = weak_from_this(), probe] {
      if (const std::shared_ptr<Run> run = weak.lock()) run->Measure(probe);
    });
  }

  void Measure(size_t probe) {
    workers.Run(
        [weak = weak_from_this(), probe, measured = probes[probe], timeout = rules[probe].timeout, events = &loop] {
          absl::StatusOr<std::string> result = measured->Run(timeout);
          events->Post([weak, probe, result = std::move(result)] {
            if (const std::shared_ptr<Run> run = weak.lock()) run->HandleResult(probe, result);
          });
        });
  }

  void HandleResult(size_t probe, const absl::StatusOr<std::string>& result) {
    GateEvent event;
    event.kind = result.ok() ? GateEvent::Kind::kProbePassed : GateEvent::Kind::kProbeFailed;
    event.probe = probe;
    event.detail = result.ok() ? *result : ToPersonText(result.status());
    // A health gate that has its verdict needs no more results.
    if (mode == GateMode::kPreconditions || state.verdict == GateVerdict::kWaiting) {
      Schedule(probe, rules[probe].interval);
    }
    Handle(std::move(event));
  }

  void Handle(GateEvent event) {
    event.elapsed = clock.Monotonic() - started;
    const GateVerdict verdict = state.verdict;
    const std::string reason = state.reason;
    state = StepGate(mode, rules, grace, std::move(state), event);
    if (state.verdict == verdict && state.reason == reason) return;
    // Copies: the callback may destroy the runner.
    const std::function<void(const GateState&)> tell = changed;
    const GateState told = state;
    tell(told);
  }

  EventLoop& loop;
  ProbeWorkers& workers;
  const GateMode mode;
  Clock& clock;
  absl::Duration grace;
  absl::Duration started;
  std::vector<GateRule> rules;
  std::vector<std::shared_ptr<Probe>> probes;
  GateState state;
  std::function<void(const GateState&)> changed;
};

absl::StatusOr<std::unique_ptr<GateRunner>> GateRunner::Create(EventLoop& loop, ProbeWorkers& workers, GateMode mode,
                                                               const std::vector<release::v1::Probe>& probes,
                                                               const ProbeContext& context, absl::Duration grace) {
  RETURN_IF_ERROR(CheckProbes(probes));
  auto run = std::make_shared<Run>(loop, workers, mode, *context.clock);
  run->grace = grace;
  for (const release::v1::Probe& config : probes) {
    ASSIGN_OR_RETURN(std::unique_ptr<Probe> probe, MakeProbe(config, context));
    run->probes.push_back(std::move(probe));
    run->rules.push_back(RuleOf(config));
  }
  run->state = InitialGateState(run->rules);
  return std::unique_ptr<GateRunner>(new GateRunner(std::move(run)));
}

GateRunner::~GateRunner() = default;

void GateRunner::Start(std::function<void(const GateState& state)> changed) {
  run_->changed = std::move(changed);
  run_->Begin();
}

const GateState& GateRunner::state() const { return run_->state; }

std::vector<GateProbeStatus> GateRunner::Probes() const {
  std::vector<GateProbeStatus> result;
  for (size_t i = 0; i < run_->rules.size(); ++i) result.push_back({run_->rules[i].name, run_->state.probes[i]});
  return result;
}

absl::Duration LongestGrace(const std::vector<release::v1::Probe>& probes, absl::Duration grace) {
  for (const release::v1::Probe& probe : probes) grace = std::max(grace, RuleOf(probe).grace);
  return grace;
}

absl::Duration TimeToPass(const std::vector<release::v1::Probe>& probes, absl::Duration grace) {
  absl::Duration longest = grace;
  for (const release::v1::Probe& probe : probes) {
    const GateRule rule = RuleOf(probe);
    longest =
        std::max(longest, std::max(grace, rule.grace) + (rule.successes_needed - 1) * rule.interval + rule.timeout);
  }
  return longest;
}

}  // namespace tandem::cm
