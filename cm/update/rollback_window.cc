#include "cm/update/rollback_window.h"

#include <algorithm>

#include "cm/update/committed_versions.h"
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

absl::Duration RollbackWindow::Left() const {
  const auto& config = parts_.config;
  const absl::Duration window = DurationOr(config.has_rollback_window(), config.rollback_window(), absl::Hours(24));
  return window - absl::Milliseconds(parts_.desired.committed().window_elapsed_ms());
}

void RollbackWindow::Watch() {
  scope_.Cancel(timer_);
  checked_at_ = parts_.clock.Monotonic();
  absl::Duration wait = kWindowCheck;
  if (!parts_.desired.committed().sealed()) wait = std::clamp(Left(), kSoonest, kWindowCheck);
  timer_ = scope_.PostAfter(wait, [this] {
    MaybeSeal(/*next_update_begins=*/false);
    Watch();
  });
}

void RollbackWindow::MaybeSeal(bool next_update_begins) {
  const absl::Duration now = parts_.clock.Monotonic();
  const absl::Duration elapsed = now - std::exchange(checked_at_, now);
  const record::v1::CommittedRecord& committed = parts_.desired.committed();
  if (!committed.sealed() && committed.planes_size() > 0) {
    absl::Status status = parts_.desired.AddWindowTime(elapsed);
    // A rollback that was accepted within the window must stay possible, for the UMs' own counters, too.
    const absl::StatusOr<StoredDesired> desired = parts_.desired.desired();
    const bool goes_back = desired.ok() && !parts_.desired.FindTried(desired->accepted).has_value() &&
                           parts_.desired.GoesBehindCommitted(desired->accepted);
    const bool due = !goes_back && (next_update_begins || Left() <= absl::ZeroDuration());
    if (status.ok() && due) {
      status = parts_.trust.RaiseFloors({committed.pending_floor().begin(), committed.pending_floor().end()});
      if (status.ok()) status = parts_.desired.SetSealed();
      if (status.ok()) {
        LogInfo("update sealed: floors rise, old bytes may go");
        parts_.sealed();
      }
    }
    if (!status.ok()) LogError("cannot seal", {{"error", ToPersonText(status)}});
  }
  parts_.delivery.Keep(parts_.desired.ArtifactsToKeep());
  SealUms();
}

void RollbackWindow::SealUms() {
  if (parts_.update.update().phase != Phase::kIdle || !parts_.desired.committed().sealed()) return;
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    if (!um.connected || !um.last.unsealed() || StateOf(um.last) != UmState::kIdle || IsInstalling(um.last)) continue;
    // What it applied may not be what the unit committed in the end.
    if (!RunsCommitted(parts_.desired, um)) continue;
    updatemanager::v2::CMMessages message;
    message.mutable_seal_update();
    // One that goes away now is told when it registers again.
    parts_.ums.Send(node_id, message).IgnoreError();
  }
}

}  // namespace tandem::cm
