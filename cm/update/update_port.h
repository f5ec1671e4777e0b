// The running update as the rooms around the coordinator see it: they look, and they tell it what happened.
#ifndef TANDEM_CM_UPDATE_UPDATE_PORT_H_
#define TANDEM_CM_UPDATE_UPDATE_PORT_H_

#include "absl/status/status.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/records/desired_store.h"

namespace tandem::cm {

// Used on the event thread.
class UpdatePort {
 public:
  virtual ~UpdatePort() = default;

  // Idle: nothing runs, and this is the update before.
  virtual const UnitUpdate& update() const = 0;

  // The documents that the running update is made from. nullptr when nothing runs, or when they cannot be read: then
  // nothing may be decided in their name.
  virtual const StoredDesired* documents() const = 0;

  // One event through the machine: durable first, then what follows from it. Ignored while nothing runs.
  virtual void Handle(const Event& event) = 0;

  // The first step of a new update, made of `documents`. After an error nothing runs, and nothing was sent.
  virtual absl::Status Begin(const Step& step, const StoredDesired& documents) = 0;

  // The same update, from documents that were assigned again.
  virtual void ReplaceDocuments(StoredDesired documents) = 0;

  // Something that Status() shows may have changed.
  virtual void Changed() = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_UPDATE_PORT_H_
