// The rollback window after a COMMIT, and its end.
#include <algorithm>
#include <utility>

#include "cm/trust/unit_policy.h"
#include "cm/update/coordinator.h"
#include "cm/update/status_view.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

// The window's time is written this often, too: a crash forgets no more of it.
constexpr absl::Duration kWindowCheck = absl::Minutes(10);
constexpr absl::Duration kSoonest = absl::Seconds(1);

}  // namespace

absl::Duration Coordinator::RollbackWindowLeft() const {
  const auto& config = parts_.config;
  const absl::Duration window = DurationOr(config.has_rollback_window(), config.rollback_window(), absl::Hours(24));
  return window - absl::Milliseconds(store_->committed().window_elapsed_ms());
}

void Coordinator::WatchRollbackWindow() {
  parts_.loop.Cancel(window_timer_);
  // Time before a COMMIT does not count.
  window_checked_ = parts_.clock.Monotonic();
  absl::Duration wait = kWindowCheck;
  if (!store_->committed().sealed()) wait = std::clamp(RollbackWindowLeft(), kSoonest, kWindowCheck);
  window_timer_ = parts_.loop.PostAfter(wait, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    MaybeSeal(false);
    WatchRollbackWindow();
  });
}

bool Coordinator::RunsCommitted(const UmInfo& um) const {
  std::vector<Target> targets;
  for (const AcceptedRelease& release : store_->CommittedReleases()) {
    for (const InstalledVersion& installed : InstalledOf(um.last)) {
      for (const auto& component : release.release.components()) {
        if (!Targets(component, installed)) continue;
        targets.push_back({.component_id = installed.component_id,
                           .component_type = installed.component_type,
                           .version = component.version()});
      }
    }
  }
  return !targets.empty() && RunsTargets(um.last, targets);
}

void Coordinator::MaybeSeal(bool next_update_begins) {
  const absl::Duration now = parts_.clock.Monotonic();
  const absl::Duration elapsed = now - std::exchange(window_checked_, now);
  const record::v1::CommittedRecord& committed = store_->committed();
  if (!committed.sealed() && committed.planes_size() > 0) {
    absl::Status status = store_->AddWindowTime(elapsed);
    // A rollback that was accepted within the window must stay possible, for the UMs' own counters, too.
    const absl::StatusOr<StoredDesired> desired = store_->desired();
    const bool goes_back = desired.ok() && !store_->FindTried(desired->accepted).has_value() &&
                           store_->GoesBehindCommitted(desired->accepted);
    const bool due = !goes_back && (next_update_begins || RollbackWindowLeft() <= absl::ZeroDuration());
    if (status.ok() && due) {
      status = parts_.trust.RaiseFloors({committed.pending_floor().begin(), committed.pending_floor().end()});
      if (status.ok()) status = store_->SetSealed();
      if (status.ok()) LogInfo("update sealed: floors rise, old bytes may go");
      if (status.ok() && parts_.phase_changed) parts_.phase_changed();
    }
    if (!status.ok()) LogError("cannot seal", {{"error", ToPersonText(status)}});
  }
  parts_.delivery.Keep(store_->ArtifactsToKeep());
  SealUms();
  parts_.trust.RememberTime(parts_.clock.Now()).IgnoreError();
}

void Coordinator::SealUms() {
  if (update_.phase != Phase::kIdle || !store_->committed().sealed()) return;
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    if (!um.connected || !um.last.unsealed() || StateOf(um.last) != UmState::kIdle || IsInstalling(um.last)) continue;
    // What it applied may not be what the unit committed in the end.
    if (!RunsCommitted(um)) continue;
    updatemanager::v2::CMMessages message;
    message.mutable_seal_update();
    // One that goes away now is told when it registers again.
    parts_.ums.Send(node_id, message).IgnoreError();
  }
}

}  // namespace tandem::cm
