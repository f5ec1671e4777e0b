#include "cm/update/status_view.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"
#include "common/crypto/sha256.h"

namespace tandem::cm {

namespace umv2 = updatemanager::v2;
namespace {

constexpr char kDisputed[] = "disputed";

}  // namespace

std::vector<InstalledVersion> InstalledOf(const umv2::UpdateStatus& status) {
  std::vector<InstalledVersion> installed;
  std::set<std::pair<std::string, std::string>> seen;
  for (const umv2::ComponentStatus& component : status.components()) {
    if (component.state() != umv2::INSTALLED) continue;
    if (!seen.insert({component.component_id(), component.component_type()}).second) continue;
    installed.push_back({.component_id = component.component_id(),
                         .component_type = component.component_type(),
                         .version = component.version()});
  }
  return installed;
}

Runs RunningOf(const umv2::UpdateStatus& status, const std::vector<Target>& targets) {
  const std::vector<InstalledVersion> installed = InstalledOf(status);
  Runs runs = Runs::kTarget;
  for (const Target& target : targets) {
    const auto found = std::ranges::find_if(installed, [&](const InstalledVersion& component) {
      return component.component_id == target.component_id && component.component_type == target.component_type;
    });
    if (found == installed.end()) return Runs::kUnknown;
    if (found->version != target.version) runs = Runs::kOther;
  }
  return runs;
}

bool HasStagedOther(const umv2::UpdateStatus& status, const std::vector<Target>& targets) {
  if (status.update_state() != umv2::PREPARED && status.update_state() != umv2::UPDATED) return false;
  const auto comes = [](const umv2::ComponentStatus& component) { return component.state() == umv2::INSTALLING; };
  if (std::ranges::none_of(status.components(), comes)) return false;
  return !std::ranges::all_of(targets, [&](const Target& target) {
    return std::ranges::any_of(status.components(), [&](const umv2::ComponentStatus& component) {
      return comes(component) && component.component_id() == target.component_id &&
             component.component_type() == target.component_type && component.version() == target.version;
    });
  });
}

uint64_t BytesDone(const umv2::UpdateStatus& status) {
  uint64_t done = 0;
  for (const umv2::ComponentStatus& component : status.components()) done += component.bytes_done();
  return done;
}

UmState StateOf(const umv2::UpdateStatus& status) {
  switch (status.update_state()) {
    case umv2::IDLE:
      return UmState::kIdle;
    case umv2::PREPARED:
      return UmState::kPrepared;
    case umv2::UPDATED:
      return UmState::kUpdated;
    default:
      return UmState::kFailed;
  }
}

bool IsInstalling(const umv2::UpdateStatus& status) {
  if (status.working()) return true;
  return status.update_state() == umv2::IDLE &&
         std::ranges::any_of(status.components(),
                             [](const umv2::ComponentStatus& c) { return c.state() == umv2::INSTALLING; });
}

std::string ErrorOf(const umv2::UpdateStatus& status) {
  if (!status.error().message().empty()) return status.error().message();
  for (const umv2::ComponentStatus& component : status.components()) {
    if (component.state() == umv2::ERROR && !component.error().message().empty()) {
      return absl::StrCat(component.component_id(), ": ", component.error().message());
    }
  }
  return "";
}

std::string TroubleOf(const umv2::UpdateStatus& status) {
  std::string error = ErrorOf(status);
  return error.empty() && status.working() ? status.activity() : error;
}

PlanUm ToPlanUm(const UmInfo& um, const Ownership& ownership) {
  return {.node_id = um.node.node_id(),
          .priority = um.last.priority(),
          .switches_boot = um.node.switches_boot() || um.last.switches_boot(),
          .highest_first = um.node.profile() == config::v1::AOS8,
          .components = ownership.Of(um.node.node_id()),
          .disputed = ownership.DisputedBy(um.node.node_id())};
}

namespace {

void ViewSlots(const umv2::ComponentStatus& from, local::v1::ComponentStatus& to) {
  if (!from.has_slots()) return;
  to.set_slot_running(from.slots().running());
  to.set_slot_confirmed(from.slots().confirmed());
  to.set_slot_trial(from.slots().trial());
  to.set_attempts_left(from.slots().attempts_left());
}

// The installed components, each with what the update brings it and how far that is.
void ViewComponents(const UmInfo& um, const Ownership& ownership, const Participant* participant,
                    local::v1::UmStatus& view) {
  for (const umv2::ComponentStatus& component : um.last.components()) {
    if (component.state() != umv2::INSTALLED) continue;
    local::v1::ComponentStatus& to = *view.add_components();
    to.set_component_id(component.component_id());
    to.set_component_type(component.component_type());
    to.set_version(component.version());
    to.set_error(ownership.WhyNot(um.node.node_id(), component.component_id(), component.component_type()));
    to.set_state(to.error().empty() ? "installed" : kDisputed);
    ViewSlots(component, to);
    if (participant == nullptr) continue;
    for (const Target& target : participant->targets) {
      if (target.component_id == to.component_id()) to.set_target_version(target.version);
    }
  }
  for (const umv2::ComponentStatus& component : um.last.components()) {
    if (component.state() == umv2::INSTALLED) continue;
    auto installed = std::ranges::find(*view.mutable_components(), component.component_id(),
                                       &local::v1::ComponentStatus::component_id);
    local::v1::ComponentStatus& to =
        installed == view.mutable_components()->end() ? *view.add_components() : *installed;
    to.set_component_id(component.component_id());
    to.set_component_type(component.component_type());
    to.set_target_version(component.version());
    to.set_state(component.state() == umv2::ERROR ? "error" : "installing");
    to.set_error(component.error().message());
    to.set_bytes_done(component.bytes_done());
    to.set_bytes_total(component.bytes_total());
  }
}

}  // namespace

std::vector<local::v1::UmStatus> ViewUms(const std::map<std::string, UmInfo>& ums, const UnitUpdate& update) {
  const Ownership ownership(ums);
  std::vector<local::v1::UmStatus> views;
  for (const auto& [node_id, um] : ums) {
    local::v1::UmStatus view;
    const Participant* participant = update.phase == Phase::kIdle ? nullptr : FindParticipant(update, node_id);
    view.set_node_id(node_id);
    view.set_computer(um.node.computer());
    view.set_priority(um.last.priority());
    view.set_connected(um.connected);
    view.set_participant(participant != nullptr);
    if (um.seen) {
      view.set_state(umv2::UpdateState_Name(um.last.update_state()));
      view.set_error(ErrorOf(um.last));
      view.set_activity(um.last.activity());
      view.set_unsealed(um.last.unsealed());
      ViewComponents(um, ownership, participant, view);
    }
    views.push_back(std::move(view));
  }
  std::ranges::stable_sort(views, {}, &local::v1::UmStatus::priority);
  return views;
}

local::v1::UpdateSummary ViewUpdate(const UnitUpdate& update) {
  local::v1::UpdateSummary view;
  view.set_update_id(update.update_id);
  view.set_sequence(update.sequence);
  view.set_attempt(update.attempt);
  for (const std::string& id : update.release_ids) view.add_release_ids(id);
  view.set_outcome(std::string(Name(update.outcome)));
  view.set_reason(update.reason);
  view.mutable_started_at()->set_seconds(absl::ToUnixSeconds(update.started_at));
  view.set_correlation_id(update.correlation_id);
  return view;
}

std::vector<unit::v1::ComponentReport> ReportComponents(const std::map<std::string, UmInfo>& ums) {
  const Ownership ownership(ums);
  std::vector<unit::v1::ComponentReport> reports;
  for (const auto& [node_id, um] : ums) {
    for (const umv2::ComponentStatus& component : um.last.components()) {
      if (component.state() == umv2::INSTALLING) continue;
      unit::v1::ComponentReport report;
      report.set_node_id(node_id);
      report.set_component_id(component.component_id());
      report.set_component_type(component.component_type());
      report.set_version(component.version());
      report.set_state(absl::AsciiStrToLower(umv2::ComponentState_Name(component.state())));
      report.set_error(component.error().message());
      if (component.state() == umv2::INSTALLED) {
        const std::string why = ownership.WhyNot(node_id, component.component_id(), component.component_type());
        if (!why.empty()) {
          report.set_state(kDisputed);
          report.set_error(why);
        }
      }
      report.set_slot_running(component.slots().running());
      report.set_slot_confirmed(component.slots().confirmed());
      report.set_slot_trial(component.slots().trial());
      report.set_attempts_left(component.slots().attempts_left());
      reports.push_back(std::move(report));
    }
  }
  return reports;
}

std::vector<unit::v1::PlaneReport> ReportPlanes(const record::v1::CommittedRecord& committed) {
  std::vector<unit::v1::PlaneReport> reports;
  for (const record::v1::CommittedPlane& plane : committed.planes()) {
    unit::v1::PlaneReport report;
    report.set_plane(release::v1::Plane_Name(plane.plane()));
    report.set_release_digest(HexEncode(plane.release_digest()));
    report.set_release_id(plane.release_id());
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace tandem::cm
