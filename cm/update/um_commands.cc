#include "cm/update/um_commands.h"

#include <vector>

#include "cm/update/machine/events.h"
#include "cm/update/machine/participants.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {

namespace umv2 = updatemanager::v2;

namespace {

bool Prepares(Phase phase) { return phase == Phase::kPreparing || phase == Phase::kCommitting; }

}  // namespace

bool UmCommands::SendMessage(const std::string& node_id, const umv2::CMMessages& message) {
  const absl::Status sent = parts_.ums.Send(node_id, message);
  if (!sent.ok()) LogDebug("not sent", {{"um", node_id}, {"error", ToPersonText(sent)}});
  return sent.ok();
}

void UmCommands::Send(const std::string& node_id, UmCommand command) {
  const UnitUpdate& update = parts_.update.update();
  const Participant* participant = FindParticipant(update, node_id);
  if (participant == nullptr || command == UmCommand::kNone) return;
  LogInfo("command", {{"update", update.update_id}, {"um", node_id}, {"command", std::string(Name(command))}});
  umv2::CMMessages message;
  switch (command) {
    case UmCommand::kNone:
      return;
    case UmCommand::kPrepare:
      return SendPrepare(*participant);
    case UmCommand::kStart:
      message.mutable_start_update();
      break;
    case UmCommand::kApply:
      message.mutable_apply_update();
      break;
    case UmCommand::kRevert:
      message.mutable_revert_update();
      break;
  }
  SendMessage(node_id, message);
}

ArtifactSource UmCommands::Source() const {
  ArtifactSource source;
  const StoredDesired* documents = parts_.update.documents();
  if (documents == nullptr) return source;
  const auto& base_urls = documents->accepted.assignment.base_urls();
  source.base_urls.assign(base_urls.begin(), base_urls.end());
  source.bundle_path = documents->bundle_path;
  source.documents = documents->envelopes;
  source.documents.release_list.clear();
  // A UM that checks signatures walks the chain itself.
  const auto& chain = parts_.trust.record().key_sets();
  source.documents.key_sets.assign(chain.begin(), chain.end());
  return source;
}

void UmCommands::SendPrepare(const Participant& participant) {
  const auto um = parts_.ums.ums().find(participant.node_id);
  if (um == parts_.ums.ums().end()) return;
  parts_.delivery.MakePrepare(
      parts_.update.update().update_id, participant, um->second.node, Source(),
      scope_.Guard([this, node_id = participant.node_id,
                    update_id = parts_.update.update().update_id](absl::StatusOr<umv2::PrepareUpdate> prepare) {
        const UnitUpdate& update = parts_.update.update();
        // It took a while; whoever goes back by now must not be sent forward.
        if (update.update_id != update_id || !Prepares(update.phase)) return;
        if (!prepare.ok()) {
          return parts_.update.Handle(NodeEvent(Event::Kind::kNoArtifacts, node_id, ToPersonText(prepare.status())));
        }
        if (!StillWantsPrepare(update, node_id)) return;
        umv2::CMMessages message;
        *message.mutable_prepare_update() = *std::move(prepare);
        if (SendMessage(node_id, message)) parts_.update.Handle(NodeEvent(Event::Kind::kPrepareWentOut, node_id));
      }));
}

void UmCommands::ResumeDelivery() {
  const UnitUpdate& update = parts_.update.update();
  if (!Prepares(update.phase)) return;
  std::vector<Recipient> recipients;
  for (const Participant& participant : update.participants) {
    const auto um = parts_.ums.ums().find(participant.node_id);
    if (um == parts_.ums.ums().end() || participant.prepares == 0) continue;
    recipients.push_back({.participant = participant, .node = um->second.node});
  }
  parts_.delivery.Resume(
      update.update_id, recipients, Source(),
      scope_.Guard([this, update_id = update.update_id](const std::string& node_id, const absl::Status& why) {
        const UnitUpdate& now = parts_.update.update();
        if (now.update_id != update_id || !Prepares(now.phase)) return;
        parts_.update.Handle(NodeEvent(Event::Kind::kNoArtifacts, node_id, ToPersonText(why)));
      }));
}

void UmCommands::EnterPhase() {
  const UnitUpdate& update = parts_.update.update();
  if (update.phase == Phase::kReverting || update.phase == Phase::kNeedsService)
    parts_.delivery.Forget(update.update_id);
}

}  // namespace tandem::cm
