// What others see and hear of the coordinator: status, reported state, running releases, news that change nothing.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cm/update/add_all.h"
#include "cm/update/coordinator.h"
#include "cm/update/running_releases.h"
#include "cm/update/status_view.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

void ViewProbes(const std::vector<GateProbeStatus>& probes, local::v1::UnitStatus& status) {
  for (const GateProbeStatus& probe : probes) {
    local::v1::ProbeStatus& view = *status.add_probes();
    view.set_name(probe.name);
    view.set_state(std::string(ProbeStateName(probe.progress.state)));
    view.set_detail(probe.progress.detail);
    view.set_successes(probe.progress.successes);
    view.set_failures(probe.progress.failures);
  }
}

void ViewCloud(const CloudState& cloud, local::v1::CloudStatus& view) {
  view.set_connected(cloud.connected);
  view.set_endpoint(cloud.endpoint);
  view.set_error(cloud.error);
  view.set_outbox_messages(cloud.outbox_messages);
}

}  // namespace

void Coordinator::Changed() {
  if (changed_) changed_();
}

void Coordinator::PhaseChanged() {
  if (parts_.phase_changed) parts_.phase_changed();
}

std::string Coordinator::Reason() const {
  if (!durability_error_.empty()) return durability_error_;
  return update_.phase == Phase::kIdle ? intake_.reason() : update_.reason;
}

void Coordinator::PublishReported() { reporter_.PublishReported(update_, Reason()); }

// What CM fetches for UMs on other computers, as if they did it themselves.
void Coordinator::ViewDeliveries(local::v1::UnitStatus& status) const {
  for (local::v1::UmStatus& um : *status.mutable_ums()) {
    const auto participant = std::ranges::find(update_.participants, um.node_id(), &Participant::node_id);
    const std::optional<DeliveryProgress> progress = parts_.delivery.Progress(update_.update_id, um.node_id());
    if (participant == update_.participants.end() || !progress.has_value()) continue;
    um.set_activity(progress->activity);
    for (local::v1::ComponentStatus& component : *um.mutable_components()) {
      for (const Target& target : participant->targets) {
        const auto done = progress->bytes_done.find(target.sha256);
        if (target.component_id != component.component_id() || done == progress->bytes_done.end()) continue;
        component.set_bytes_done(done->second);
        component.set_bytes_total(target.size);
      }
    }
  }
}

void Coordinator::OnUmRefused(const std::string& node_id, const absl::Status& why) {
  // It comes again with every retry of the UM.
  reporter_.TellOnce(UpdateReport::kUmRefused, absl::StrCat("UM ", node_id, " was refused: ", ToPersonText(why)));
}

void Coordinator::RefuseFromCloud(const std::string& what) {
  LogWarning("refused", {{"error", what}});
  // What is wrong once mostly comes again.
  reporter_.TellOnce(UpdateReport::kRefused, what);
}

void Coordinator::ReportSafeMode(const std::string& what) {
  LogWarning("safe mode", {{"reason", what}});
  reporter_.Tell({}, UpdateReport::kSafeMode, what);
  PublishReported();
  Changed();
}

local::v1::UnitStatus Coordinator::Status() const {
  local::v1::UnitStatus status;
  status.set_unit_id(parts_.config.unit_id());
  status.set_cm_version(TANDEM_VERSION);
  status.set_boot_id(parts_.boot_id);
  status.set_phase(std::string(Name(update_.phase)));
  status.set_reason(Reason());
  status.set_paused(update_.paused);
  AddAll(ViewUms(parts_.ums.ums(), update_), status.mutable_ums());
  if (update_.phase == Phase::kIdle) {
    if (reporter_.last_update().has_value()) *status.mutable_last_update() = *reporter_.last_update();
  } else {
    *status.mutable_update() = ViewUpdate(update_);
    AddAll(WaitsFor(update_, limits_), status.mutable_waiting_for());
    ViewDeliveries(status);
    const absl::Duration running = ticking_ ? parts_.clock.Monotonic() - last_tick_ : absl::ZeroDuration();
    status.set_phase_elapsed_ms(absl::ToInt64Milliseconds(update_.phase_elapsed + running));
    status.set_phase_budget_ms(absl::ToInt64Milliseconds(PhaseBudget(update_, limits_)));
  }
  ViewProbes(gates_.Probes(), status);
  if (parts_.cloud != nullptr) ViewCloud(parts_.cloud->state(), *status.mutable_cloud());
  if (parts_.safe_mode) status.set_safe_mode(parts_.safe_mode());
  if (parts_.add_status) parts_.add_status(status);
  return status;
}

absl::StatusOr<TrustedKeys> Coordinator::Keys() const { return KeysInForce(parts_.trust, parts_.config.namespace_()); }

absl::StatusOr<release::v1::Release> Coordinator::FindRunningRelease(const std::string& digest) const {
  return cm::FindRunningRelease(digest, update_, documents(), parts_.desired);
}

std::optional<StabilityTarget> Coordinator::Stability() const {
  if (update_.phase != Phase::kIdle) return std::nullopt;
  const record::v1::CommittedRecord& committed = parts_.desired.committed();
  if (committed.sealed() || committed.planes().empty() || committed.sequence() == 0) return std::nullopt;
  const auto& health = parts_.config.health();
  StabilityTarget target{.sequence = committed.sequence(),
                         .attempt = committed.attempt(),
                         .probes = HealthProbes(health, parts_.desired.CommittedReleases()),
                         .grace = {}};
  target.grace = LongestGrace(target.probes, DurationOr(health.has_grace(), health.grace(), absl::ZeroDuration()));
  return target;
}

}  // namespace tandem::cm
