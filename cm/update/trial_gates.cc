#include "cm/update/trial_gates.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/update/conditions.h"
#include "cm/update/machine/events.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

constexpr char kNoDocuments[] = "the documents of the running update cannot be read, so nothing can be judged by them";

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

std::vector<release::v1::Probe> HealthProbes(const config::v1::HealthGate& health,
                                             const std::vector<AcceptedRelease>& releases) {
  std::vector<release::v1::Probe> probes(health.probes().begin(), health.probes().end());
  for (const AcceptedRelease& release : releases) {
    const auto& signed_probes = release.release.health().probes();
    AddProbes({signed_probes.begin(), signed_probes.end()}, release.release.release_id(), probes);
  }
  return probes;
}

absl::Duration TrialGates::Grace() const {
  const auto& health = parts_.config.health();
  return DurationOr(health.has_grace(), health.grace(), absl::ZeroDuration());
}

absl::Duration TrialGates::TimeToPass(const std::vector<AcceptedRelease>& releases) const {
  return cm::TimeToPass(HealthProbes(parts_.config.health(), releases), Grace());
}

std::vector<GateProbeStatus> TrialGates::Probes() const {
  const GateRunner* gate = gate_ != nullptr ? gate_.get() : preconditions_.get();
  return gate == nullptr ? std::vector<GateProbeStatus>() : gate->Probes();
}

void TrialGates::EnterPhase() {
  const Phase phase = parts_.update.update().phase;
  ForgetConditions();
  if (phase != Phase::kTrial) gate_.reset();
  if (phase == Phase::kReady) StartPreconditions();
  if (phase == Phase::kTrial) StartHealthGate();
}

void TrialGates::ForgetConditions() {
  preconditions_.reset();
  preconditions_met_ = false;
}

void TrialGates::AskConditions(const std::vector<Action>& actions) {
  const UnitUpdate& update = parts_.update.update();
  const bool started = std::ranges::any_of(actions, [](const Action& a) { return a.command == UmCommand::kStart; });
  if (started) ForgetConditions();
  // Ready asks when it is entered.
  if (update.phase == Phase::kReady || preconditions_ != nullptr || !WaitsForConditions(update, parts_.limits)) return;
  StartPreconditions();
}

void TrialGates::Tick() {
  UpdateReadiness();
  CheckVerdictTimeout();
}

void TrialGates::StartPreconditions() {
  preconditions_met_ = false;
  preconditions_reason_ = "the preconditions";
  const absl::Status started = AskAll();
  // What cannot be asked does not hold.
  if (!started.ok()) preconditions_reason_ = ToPersonText(started);
  scope_.Post([this] { UpdateReadiness(); });
}

absl::Status TrialGates::AskAll() {
  std::vector<release::v1::Probe> probes(parts_.config.preconditions().begin(), parts_.config.preconditions().end());
  if (const StoredDesired* documents = parts_.update.documents(); documents != nullptr) {
    ASSIGN_OR_RETURN(const std::vector<release::v1::Probe> assigned,
                     AssignedConditions(documents->accepted, parts_.config));
    AddProbes(assigned, "assignment", probes);
  }
  if (probes.empty()) {
    preconditions_met_ = true;
    preconditions_reason_.clear();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(preconditions_, parts_.make_gate(GateMode::kPreconditions, probes, absl::ZeroDuration()));
  preconditions_->Start([this](const GateState& state) {
    preconditions_met_ = state.verdict == GateVerdict::kPassed;
    preconditions_reason_ = state.reason;
    UpdateReadiness();
  });
  return absl::OkStatus();
}

void TrialGates::UpdateReadiness() {
  const UnitUpdate& update = parts_.update.update();
  const Phase phase = update.phase;
  if (phase != Phase::kReady && phase != Phase::kStarting && phase != Phase::kCommitting) return;
  bool ready = preconditions_met_;
  std::string reason = preconditions_reason_;
  const StoredDesired* documents = parts_.update.documents();
  if (documents == nullptr && !update.compensating && phase != Phase::kCommitting) {
    // The assignment's conditions are unknown, so nothing says that they hold.
    return parts_.update.Handle(UnitEvent(Event::Kind::kAbort, kNoDocuments));
  }
  // Whoever has begun to start, or goes back, is past its window.
  const bool in_window = phase == Phase::kReady && !update.compensating;
  if (in_window && documents->accepted.assignment.has_window()) {
    const auto& window = documents->accepted.assignment.window();
    const absl::Time now = parts_.trust.TrustedNow(parts_.clock.Now());
    if (window.has_not_after() && now > absl::FromUnixSeconds(window.not_after().seconds())) {
      return parts_.update.Handle(
          UnitEvent(Event::Kind::kAbort, "the install window closed before the unit was ready"));
    }
    const absl::Time opens = absl::FromUnixSeconds(window.not_before().seconds());
    if (window.has_not_before() && now < opens) {
      ready = false;
      reason = absl::StrCat("the install window, which opens at ", absl::FormatTime(opens, absl::UTCTimeZone()));
    }
  }
  if (ready == update.ready && reason == update.ready_reason) return;
  Event event = UnitEvent(Event::Kind::kReadiness, reason);
  event.flag = ready;
  parts_.update.Handle(event);
}

void TrialGates::StartHealthGate() {
  const UnitUpdate& update = parts_.update.update();
  const StoredDesired* documents = parts_.update.documents();
  // Which probes were signed with it is unknown, so none of them has passed.
  if (documents == nullptr && !update.compensating) {
    scope_.Post([this] { parts_.update.Handle(UnitEvent(Event::Kind::kGateFailed, kNoDocuments)); });
    return;
  }
  // What the release brought is gone after a compensating update, and so are its probes.
  const std::vector<release::v1::Probe> probes = HealthProbes(
      parts_.config.health(), update.compensating ? std::vector<AcceptedRelease>() : documents->accepted.releases);
  absl::StatusOr<std::unique_ptr<GateRunner>> gate = parts_.make_gate(GateMode::kHealth, probes, Grace());
  if (!gate.ok()) {
    scope_.Post(
        [this, why = ToPersonText(gate.status())] { parts_.update.Handle(UnitEvent(Event::Kind::kGateFailed, why)); });
    return;
  }
  gate_ = *std::move(gate);
  gate_->Start([this](const GateState& state) {
    if (state.verdict == GateVerdict::kFailed) {
      return parts_.update.Handle(UnitEvent(Event::Kind::kGateFailed, state.reason));
    }
    if (state.verdict != GateVerdict::kPassed) return parts_.update.Changed();
    gate_passed_at_ = parts_.clock.Monotonic();
    parts_.update.Handle(UnitEvent(Event::Kind::kGatePassed));
    const UnitUpdate& now = parts_.update.update();
    if (now.phase == Phase::kTrial && now.verify_before_commit) {
      parts_.reporter.Report(now, UpdateReport::kProvisional, "");
    }
  });
}

void TrialGates::CheckVerdictTimeout() {
  const UnitUpdate& update = parts_.update.update();
  const StoredDesired* documents = parts_.update.documents();
  if (update.phase != Phase::kTrial || !update.gate_passed || !update.verify_before_commit || documents == nullptr) {
    return;
  }
  const auto& assignment = documents->accepted.assignment;
  const absl::Duration limit =
      DurationOr(assignment.has_verdict_timeout(), assignment.verdict_timeout(), absl::InfiniteDuration());
  if (parts_.clock.Monotonic() - gate_passed_at_ <= limit) return;
  parts_.update.Handle(
      UnitEvent(Event::Kind::kNotVerified, absl::StrCat("no verdict within ", absl::FormatDuration(limit))));
}

}  // namespace tandem::cm
