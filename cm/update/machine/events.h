// Events of the unit's update, made in one line.
#ifndef TANDEM_CM_UPDATE_MACHINE_EVENTS_H_
#define TANDEM_CM_UPDATE_MACHINE_EVENTS_H_

#include <string>
#include <utility>

#include "cm/update/machine/unit_update.h"

namespace tandem::cm {

// Something happened to the unit; `text` says why.
inline Event UnitEvent(Event::Kind kind, std::string text = "") {
  Event event;
  event.kind = kind;
  event.text = std::move(text);
  return event;
}

// Something happened at one UM.
inline Event NodeEvent(Event::Kind kind, std::string node_id, std::string text = "") {
  Event event = UnitEvent(kind, std::move(text));
  event.node_id = std::move(node_id);
  return event;
}

inline Event TickEvent(absl::Duration elapsed) {
  Event event;
  event.elapsed = elapsed;
  return event;
}

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_MACHINE_EVENTS_H_
