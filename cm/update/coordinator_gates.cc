// What holds an update up before Start, and judges it on trial.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/update/coordinator.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

// A name that is taken already is told apart by where the probe comes from.
void AddProbes(const std::vector<release::v1::Probe>& from, const std::string& origin,
               std::vector<release::v1::Probe>& to) {
  const auto taken = [&to](const std::string& name) {
    return std::ranges::any_of(to, [&](const release::v1::Probe& probe) { return probe.name() == name; });
  };
  for (release::v1::Probe probe : from) {
    while (taken(probe.name())) probe.set_name(absl::StrCat(origin, ": ", probe.name()));
    to.push_back(std::move(probe));
  }
}

}  // namespace

void Coordinator::StartPreconditions() {
  std::vector<release::v1::Probe> probes(parts_.config.preconditions().begin(), parts_.config.preconditions().end());
  if (active_.has_value()) {
    const auto& assigned = active_->accepted.assignment.preconditions();
    AddProbes({assigned.begin(), assigned.end()}, "assignment", probes);
  }
  preconditions_met_ = probes.empty();
  preconditions_reason_ = probes.empty() ? "" : "the preconditions";
  if (!probes.empty()) {
    absl::StatusOr<std::unique_ptr<GateRunner>> gate =
        parts_.make_gate(GateMode::kPreconditions, probes, absl::ZeroDuration());
    if (!gate.ok()) {
      preconditions_reason_ = ToPersonText(gate.status());
    } else {
      preconditions_ = *std::move(gate);
      preconditions_->Start([this](const GateState& state) {
        preconditions_met_ = state.verdict == GateVerdict::kPassed;
        preconditions_reason_ = state.reason;
        UpdateReadiness();
      });
    }
  }
  parts_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) UpdateReadiness();
  });
}

void Coordinator::ForgetConditions() {
  preconditions_.reset();
  preconditions_met_ = false;
}

void Coordinator::UpdateReadiness() {
  const Phase phase = update_.phase;
  if (phase != Phase::kReady && phase != Phase::kStarting && phase != Phase::kCommitting) return;
  bool ready = preconditions_met_;
  std::string reason = preconditions_reason_;
  // Whoever has begun to start, or goes back, is past its window.
  const bool in_window = phase == Phase::kReady && !update_.compensating;
  if (in_window && active_.has_value() && active_->accepted.assignment.has_window()) {
    const auto& window = active_->accepted.assignment.window();
    const absl::Time now = parts_.trust.TrustedNow(parts_.clock.Now());
    if (window.has_not_after() && now > absl::FromUnixSeconds(window.not_after().seconds())) {
      return Handle({.kind = Event::Kind::kAbort,
                     .elapsed = {},
                     .node_id = {},
                     .text = "the install window closed before the unit was ready"});
    }
    const absl::Time opens = absl::FromUnixSeconds(window.not_before().seconds());
    if (window.has_not_before() && now < opens) {
      ready = false;
      reason = absl::StrCat("the install window, which opens at ", absl::FormatTime(opens, absl::UTCTimeZone()));
    }
  }
  if (ready == update_.ready && reason == update_.ready_reason) return;
  Handle({.kind = Event::Kind::kReadiness, .elapsed = {}, .node_id = {}, .text = reason, .flag = ready});
}

std::vector<release::v1::Probe> Coordinator::HealthProbes(const AcceptedDesired& desired) const {
  std::vector<release::v1::Probe> probes(parts_.config.health().probes().begin(),
                                         parts_.config.health().probes().end());
  for (const AcceptedRelease& release : desired.releases) {
    const auto& signed_probes = release.release.health().probes();
    AddProbes({signed_probes.begin(), signed_probes.end()}, release.release.release_id(), probes);
  }
  return probes;
}

std::optional<StabilityTarget> Coordinator::Stability() const {
  if (!store_.has_value() || update_.phase != Phase::kIdle) return std::nullopt;
  const record::v1::CommittedRecord& committed = store_->committed();
  if (committed.sealed() || committed.planes().empty() || committed.sequence() == 0) return std::nullopt;
  AcceptedDesired runs;
  runs.releases = store_->CommittedReleases();
  const auto& health = parts_.config.health();
  StabilityTarget target{
      .sequence = committed.sequence(), .attempt = committed.attempt(), .probes = HealthProbes(runs), .grace = {}};
  target.grace = LongestGrace(target.probes, DurationOr(health.has_grace(), health.grace(), absl::ZeroDuration()));
  return target;
}

absl::Duration Coordinator::GateTime(const AcceptedDesired& desired) const {
  const auto& health = parts_.config.health();
  return TimeToPass(HealthProbes(desired), DurationOr(health.has_grace(), health.grace(), absl::ZeroDuration()));
}

void Coordinator::StartHealthGate() {
  // What the release brought is gone after a compensating update, and so are its probes.
  const AcceptedDesired none;
  const bool of_release = active_.has_value() && !update_.compensating;
  const auto& health = parts_.config.health();
  provisional_sent_ = false;
  absl::StatusOr<std::unique_ptr<GateRunner>> gate =
      parts_.make_gate(GateMode::kHealth, HealthProbes(of_release ? active_->accepted : none),
                       DurationOr(health.has_grace(), health.grace(), absl::ZeroDuration()));
  if (!gate.ok()) {
    parts_.loop.Post([this, alive = std::weak_ptr<bool>(alive_), why = ToPersonText(gate.status())] {
      if (!alive.expired()) Handle({.kind = Event::Kind::kGateFailed, .elapsed = {}, .node_id = {}, .text = why});
    });
    return;
  }
  gate_ = *std::move(gate);
  gate_->Start([this](const GateState& state) {
    if (state.verdict == GateVerdict::kFailed) {
      return Handle({.kind = Event::Kind::kGateFailed, .elapsed = {}, .node_id = {}, .text = state.reason});
    }
    if (state.verdict != GateVerdict::kPassed) return Changed();
    gate_passed_at_ = parts_.clock.Monotonic();
    Handle({.kind = Event::Kind::kGatePassed, .elapsed = {}, .node_id = {}, .text = {}});
    if (update_.phase == Phase::kTrial && update_.verify_before_commit) Report("provisional", "");
  });
}

}  // namespace tandem::cm
