// From what a UM says to an event of the unit's update. Pure.
#ifndef TANDEM_CM_UPDATE_UM_EVENTS_H_
#define TANDEM_CM_UPDATE_UM_EVENTS_H_

#include <optional>

#include "cm/um_registry/um_registry.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/records/desired_store.h"

namespace tandem::cm {

// `registered`: it is the first status of the UM's stream.
Event StatusEvent(const UnitUpdate& update, const DesiredStore& desired, const UmInfo& um, bool registered);

// An event that could not be made durable when it came, as it is now; nullopt: it has passed, and what it was about is
// measured again.
std::optional<Event> AsOfNow(const Event& event, const UnitUpdate& update, const DesiredStore& desired,
                             const UmRegistry& ums);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_UM_EVENTS_H_
