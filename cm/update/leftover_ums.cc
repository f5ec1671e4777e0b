#include "cm/update/leftover_ums.h"

#include "cm/update/committed_versions.h"
#include "cm/update/status_view.h"
#include "common/log/log.h"

namespace tandem::cm {
namespace {

constexpr absl::Duration kTellAgain = absl::Seconds(10);
// After that it waits for the next registration, or the end of the next update.
constexpr int kTimes = 5;

}  // namespace

// No update runs, or nobody knows who takes part in it.
bool LeftoverUms::NobodyElseTellsIt() const {
  const UnitUpdate& update = parts_.update.update();
  return update.phase == Phase::kIdle || (update.phase == Phase::kNeedsService && update.participants.empty());
}

void LeftoverUms::Look(const UmInfo& um, bool registered) {
  if (!NobodyElseTellsIt()) return;
  const UmState state = StateOf(um.last);
  const std::string node_id = um.node.node_id();
  if (registered || state == UmState::kIdle) told_.erase(node_id);
  if (!um.connected || state == UmState::kIdle || IsInstalling(um.last)) return;
  Told& told = told_[node_id];
  const absl::Duration now = parts_.clock.Monotonic();
  if (told.times >= kTimes || now - told.at < kTellAgain) return;
  told.at = now;
  ++told.times;
  scope_.PostAfter(kTellAgain, [this, node_id] {
    if (!NobodyElseTellsIt()) return;
    Look(parts_.ums.ums().at(node_id), /*registered=*/false);
    parts_.looked();
  });
  // The update it belongs to is over: it is told how that ended.
  const bool apply = state == UmState::kUpdated && RunsCommitted(parts_.desired, um);
  LogWarning("UM is still in an update that is over",
             {{"um", node_id}, {"state", std::string(Name(state))}, {"answer", apply ? "apply" : "revert"}});
  updatemanager::v2::CMMessages message;
  apply ? static_cast<void>(message.mutable_apply_update()) : static_cast<void>(message.mutable_revert_update());
  parts_.ums.Send(node_id, message).IgnoreError();
}

void LeftoverUms::AnUpdateIsOver() {
  told_.clear();
  for (const auto& [node_id, um] : parts_.ums.ums()) Look(um, /*registered=*/false);
}

std::vector<std::string> LeftoverUms::Unsettled() const {
  std::vector<std::string> who;
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    if (!um.connected || StateOf(um.last) == UmState::kIdle) continue;
    const auto told = told_.find(node_id);
    const bool given_up = told != told_.end() && told->second.times >= kTimes && !IsInstalling(um.last);
    if (!given_up) who.push_back(node_id);
  }
  return who;
}

}  // namespace tandem::cm
