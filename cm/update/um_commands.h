// Carries out what the machine sends: a command to a UM, and for PrepareUpdate the artifacts that go with it.
#ifndef TANDEM_CM_UPDATE_UM_COMMANDS_H_
#define TANDEM_CM_UPDATE_UM_COMMANDS_H_

#include <string>
#include <utility>

#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/delivery.h"
#include "cm/update/update_port.h"
#include "common/time/loop_scope.h"

namespace tandem::cm {

struct UmCommandsParts {
  EventLoop& loop;
  const TrustStore& trust;
  UmRegistry& ums;
  ArtifactDelivery& delivery;
  UpdatePort& update;
};

// Used on the event thread.
class UmCommands {
 public:
  // What the parts refer to must outlive it.
  explicit UmCommands(UmCommandsParts parts) : parts_(std::move(parts)), scope_(parts_.loop) {}

  // To a participant of the running update. A UM that has just gone is told when it comes back.
  void Send(const std::string& node_id, UmCommand command);
  // UMs that were fetching from CM when it ended find their artifacts again.
  void ResumeDelivery();
  // The update left the phases in which anything is prepared: what CM still fetches for it is of no use.
  void EnterPhase();

 private:
  void SendPrepare(const Participant& participant);
  // False: it has no stream.
  bool SendMessage(const std::string& node_id, const updatemanager::v2::CMMessages& message);
  ArtifactSource Source() const;

  const UmCommandsParts parts_;
  LoopScope scope_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_UM_COMMANDS_H_
