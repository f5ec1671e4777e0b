#include "cm/um_registry/um_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/text/clean_message.h"

namespace tandem::cm {

namespace umv2 = updatemanager::v2;

UmRegistry::UmRegistry(const std::vector<config::v1::Node>& nodes) {
  for (const config::v1::Node& node : nodes) {
    UmInfo& um = ums_[node.node_id()];
    um.node = node;
    if (um.node.computer().empty()) um.node.set_computer(kMainComputer);
  }
}

absl::Status UmRegistry::Admit(const UmPeer& peer, const std::string& node_id) const {
  const auto found = ums_.find(node_id);
  if (found == ums_.end()) {
    return absl::PermissionDeniedError(
        absl::StrCat("node_id \"", node_id, "\" is not in CM's configuration; add it to \"nodes\""));
  }
  const std::string& computer = found->second.node.computer();
  if (peer.local) {
    if (computer == kMainComputer) return absl::OkStatus();
    return absl::PermissionDeniedError(absl::StrCat("node_id \"", node_id, "\" belongs to computer ", computer,
                                                    ", but registered over CM's own unix socket"));
  }
  if (std::ranges::find(peer.names, node_id) != peer.names.end()) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("the certificate of ", peer.address, " is for ",
                                                  peer.names.empty() ? "nobody" : absl::StrJoin(peer.names, ", "),
                                                  ", not for node_id \"", node_id, "\""));
}

absl::Status UmRegistry::Register(const std::shared_ptr<UmStream>& stream, const UmPeer& peer,
                                  umv2::UpdateStatus status) {
  CleanTexts(status);
  absl::Status admitted = Admit(peer, status.node_id());
  if (admitted.ok() && streams_.contains(status.node_id())) {
    admitted = absl::AlreadyExistsError(
        absl::StrCat("node_id \"", status.node_id(), "\" is registered already by another live stream"));
  }
  if (!admitted.ok()) {
    LogWarning("UM refused", {{"um", status.node_id()}, {"peer", peer.address}, {"error", ToPersonText(admitted)}});
    if (callbacks_.refused) callbacks_.refused(status.node_id(), admitted);
    return admitted;
  }
  streams_[status.node_id()] = stream;
  UmInfo& um = ums_[status.node_id()];
  um.connected = true;
  um.seen = true;
  um.last = std::move(status);
  LogInfo("UM registered", {{"um", um.node.node_id()}, {"state", umv2::UpdateState_Name(um.last.update_state())}});
  if (callbacks_.status) callbacks_.status(um, true);
  return absl::OkStatus();
}

void UmRegistry::Status(const std::shared_ptr<UmStream>& stream, umv2::UpdateStatus status) {
  CleanTexts(status);
  const auto owner = std::ranges::find_if(streams_, [&](const auto& entry) { return entry.second == stream; });
  if (owner == streams_.end()) return;
  if (owner->first != status.node_id()) {
    stream->Close(absl::PermissionDeniedError(
        absl::StrCat("the stream registered as \"", owner->first, "\" and now says \"", status.node_id(), "\"")));
    return;
  }
  UmInfo& um = ums_[owner->first];
  um.last = std::move(status);
  if (callbacks_.status) callbacks_.status(um, false);
}

void UmRegistry::Closed(const std::shared_ptr<UmStream>& stream) {
  const auto owner = std::ranges::find_if(streams_, [&](const auto& entry) { return entry.second == stream; });
  if (owner == streams_.end()) return;
  UmInfo& um = ums_[owner->first];
  um.connected = false;
  streams_.erase(owner);
  LogInfo("UM lost", {{"um", um.node.node_id()}});
  if (callbacks_.lost) callbacks_.lost(um);
}

absl::Status UmRegistry::Send(const std::string& node_id, const umv2::CMMessages& message) {
  const auto found = streams_.find(node_id);
  if (found == streams_.end()) return absl::NotFoundError(absl::StrCat("UM ", node_id, " is not connected"));
  found->second->Send(message);
  return absl::OkStatus();
}

bool UmRegistry::AllSeen() const {
  return std::ranges::all_of(ums_, [](const auto& entry) { return entry.second.seen; });
}

}  // namespace tandem::cm
