#include "cm/update/um_events.h"

#include "cm/update/committed_versions.h"
#include "cm/update/machine/events.h"
#include "cm/update/status_view.h"

namespace tandem::cm {

Event StatusEvent(const UnitUpdate& update, const DesiredStore& desired, const UmInfo& um, bool registered) {
  Event event = NodeEvent(Event::Kind::kUmStatus, um.node.node_id(), TroubleOf(um.last));
  event.um_state = StateOf(um.last);
  event.um_installing = IsInstalling(um.last);
  event.um_registered = registered;
  event.um_tells_running = um.last.tells_running();
  // Costs a look at documents, and matters to one that stays in an older update.
  event.um_runs_committed = event.um_state == UmState::kUpdated && RunsCommitted(desired, um);
  for (const Participant& participant : update.participants) {
    if (participant.node_id != um.node.node_id()) continue;
    event.um_runs = RunningOf(um.last, participant.targets);
    event.um_staged_other = HasStagedOther(um.last, participant.targets);
    event.um_bytes_done = BytesDone(um.last);
  }
  return event;
}

std::optional<Event> AsOfNow(const Event& event, const UnitUpdate& update, const DesiredStore& desired,
                             const UmRegistry& ums) {
  switch (event.kind) {
    case Event::Kind::kReadiness:
      return std::nullopt;
    case Event::Kind::kUmStatus:
    case Event::Kind::kUmLost: {
      const auto um = ums.ums().find(event.node_id);
      if (um == ums.ums().end()) return event;
      if (um->second.connected) return StatusEvent(update, desired, um->second, event.um_registered);
      return NodeEvent(Event::Kind::kUmLost, event.node_id);
    }
    default:
      return event;
  }
}

}  // namespace tandem::cm
