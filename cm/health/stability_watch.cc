#include "cm/health/stability_watch.h"

#include <algorithm>
#include <utility>

#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {
namespace {

constexpr absl::Duration kProbeTimeout = absl::Seconds(5);

StabilityRules RulesOf(const config::v1::Stability& config) {
  StabilityRules rules;
  if (config.failures() != 0) rules.failures = config.failures();
  if (config.restarts() != 0) rules.restarts = config.restarts();
  return rules;
}

record::v1::StabilityRecord ToRecord(const StabilityState& state) {
  record::v1::StabilityRecord record;
  record.set_sequence(state.sequence);
  record.set_attempt(state.attempt);
  record.set_boot_id(state.boot_id);
  record.set_restarts(state.restarts);
  for (const std::string& told : state.told) record.add_told(told);
  return record;
}

StabilityState FromRecord(const record::v1::StabilityRecord& record) {
  return {.sequence = record.sequence(),
          .attempt = record.attempt(),
          .boot_id = record.boot_id(),
          .restarts = record.restarts(),
          .told = {record.told().begin(), record.told().end()}};
}

}  // namespace

struct StabilityWatch::Watched {
  std::string name;
  absl::Duration timeout;
  std::unique_ptr<Probe> probe;
  // On the event thread.
  bool running = false;
};

StabilityWatch::StabilityWatch(StabilityWatchParts parts)
    : parts_(std::move(parts)),
      rules_(RulesOf(parts_.config.stability())),
      interval_(
          DurationOr(parts_.config.stability().has_interval(), parts_.config.stability().interval(), absl::Minutes(1))),
      file_(parts_.fs, JoinPath(parts_.config.state_dir(), "stability.rec")) {
  const absl::StatusOr<std::string> bytes = file_.ReadOrRestorePrevious();
  record::v1::StabilityRecord record;
  if (bytes.ok() && record.ParseFromString(*bytes)) {
    state_ = FromRecord(record);
  } else if (!absl::IsNotFound(bytes.status())) {
    LogWarning("what happened since the last commit is lost; it is counted anew", {{"file", file_.path()}});
  }
}

StabilityWatch::~StabilityWatch() {
  alive_.reset();
  parts_.loop.Cancel(timer_);
}

void StabilityWatch::Watch(uint64_t sequence, uint32_t attempt, const std::vector<release::v1::Probe>& probes,
                           absl::Duration grace) {
  watched_.clear();
  for (const release::v1::Probe& config : probes) {
    absl::StatusOr<std::unique_ptr<Probe>> probe = MakeProbe(config, parts_.probes);
    if (!probe.ok()) {
      LogWarning("a probe cannot be watched", {{"error", ToPersonText(probe.status())}});
      continue;
    }
    auto watched = std::make_shared<Watched>();
    watched->name = config.name();
    watched->timeout = DurationOr(config.has_timeout(), config.timeout(), kProbeTimeout);
    watched->probe = *std::move(probe);
    watched_.push_back(std::move(watched));
  }
  watching_ = true;
  Step({.kind = StabilityEvent::Kind::kCommitted, .sequence = sequence, .attempt = attempt, .boot_id = parts_.boot_id});
  SetTimer(std::max(interval_, grace));
}

void StabilityWatch::Pause() {
  if (!watching_ && state_.boot_id.empty()) return;
  watching_ = false;
  watched_.clear();
  parts_.loop.Cancel(timer_);
  Step({.kind = StabilityEvent::Kind::kNotWatched});
}

void StabilityWatch::End() {
  watching_ = false;
  Step({.kind = StabilityEvent::Kind::kEnded});
}

void StabilityWatch::SetTimer(absl::Duration wait) {
  parts_.loop.Cancel(timer_);
  if (interval_ == absl::ZeroDuration() || watched_.empty()) return;
  timer_ = parts_.loop.PostAfter(wait, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || !watching_) return;
    RunProbes();
    SetTimer(interval_);
  });
}

void StabilityWatch::RunProbes() {
  if (!probes_on_) return;
  for (const std::shared_ptr<Watched>& watched : watched_) {
    // One that takes longer than the interval is not run twice at a time.
    if (std::exchange(watched->running, true)) continue;
    parts_.workers.Run([this, alive = std::weak_ptr<bool>(alive_), &loop = parts_.loop, watched] {
      const absl::StatusOr<std::string> result = watched->probe->Run(watched->timeout);
      loop.Post([this, alive, watched, result] {
        watched->running = false;
        const bool current =
            !alive.expired() && watching_ && std::find(watched_.begin(), watched_.end(), watched) != watched_.end();
        if (!current) return;
        Step({.kind = result.ok() ? StabilityEvent::Kind::kProbePassed : StabilityEvent::Kind::kProbeFailed,
              .probe = watched->name,
              .detail = result.ok() ? *result : ToPersonText(result.status())});
      });
    });
  }
}

void StabilityWatch::Step(const StabilityEvent& event) {
  StabilityStep step = StepStability(rules_, state_, event);
  // Before it is noted as told: telling twice is better than not at all.
  if (!step.anomaly.empty()) parts_.anomaly(step.anomaly);
  const std::string bytes = ToRecord(step.state).SerializeAsString();
  if (bytes != ToRecord(state_).SerializeAsString()) {
    if (const absl::Status saved = file_.Write(bytes); !saved.ok()) {
      LogError("cannot write down what happened since the commit", {{"error", ToPersonText(saved)}});
    }
  }
  state_ = std::move(step.state);
}

}  // namespace tandem::cm
