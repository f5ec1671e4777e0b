#include "cm/update/machine/plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/trust/unit_policy.h"
#include "cm/update/machine/participants.h"

namespace tandem::cm {
namespace {

using release::v1::ReleaseComponent;

std::string Describe(const ReleaseComponent& component) {
  if (component.component_id().empty()) return absl::StrCat("any component of type ", component.component_type());
  return absl::StrCat("component ", component.component_id(), " of type ", component.component_type());
}

Target MakeTarget(const AcceptedRelease& release, const ReleaseComponent& wanted, const InstalledVersion& installed) {
  return {.component_id = installed.component_id,
          .component_type = installed.component_type,
          .version = wanted.version(),
          .previous_version = installed.version,
          .sha256 = wanted.sha256(),
          .size = wanted.size(),
          .path = wanted.path(),
          .annotations = wanted.annotations(),
          .release_digest = release.digest,
          .plane = release::v1::Plane_Name(wanted.plane()),
          .security_version = wanted.security_version()};
}

bool IsOwned(const InstalledVersion& component, const std::vector<PlanUm>& ums) {
  return std::ranges::any_of(ums, [&](const PlanUm& um) {
    return std::ranges::any_of(um.components, [&](const InstalledVersion& own) {
      return own.component_id == component.component_id && own.component_type == component.component_type;
    });
  });
}

// Somebody claims what is wanted, and nobody owns it.
absl::Status CheckUndisputed(const ReleaseComponent& wanted, const std::vector<PlanUm>& ums) {
  for (const PlanUm& um : ums) {
    for (const auto& [claim, why] : um.disputed) {
      if (!Targets(wanted, claim) || IsOwned(claim, ums)) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("component ", claim.component_id, " of type ", claim.component_type, " is disputed: ", why));
    }
  }
  return absl::OkStatus();
}

// UMs that start after the first boot switch run against the trial deadline, and so does the gate.
absl::Status CheckTrialFits(const std::vector<Participant>& participants, const Limits& limits,
                            absl::Duration gate_time) {
  const auto first = std::ranges::find_if(participants, &Participant::switches_boot);
  const int after = first == participants.end() ? 0 : static_cast<int>(participants.end() - first) - 1;
  const absl::Duration needed = limits.start * after + gate_time;
  if (needed <= limits.trial_deadline) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the trial could take ", absl::FormatDuration(needed), " (", after, " UMs start after ",
      first == participants.end() ? "" : first->node_id, " switches its boot, then the gate), the trial deadline is ",
      absl::FormatDuration(limits.trial_deadline),
      "; raise budgets.trial_deadline, lower budgets.start or the probes' grace"));
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const AcceptedDesired& desired, const std::vector<PlanUm>& ums, const Limits& limits,
                              absl::Duration gate_time) {
  Plan plan;
  std::map<std::string, Participant> participants;
  std::map<std::pair<std::string, std::string>, std::string> wanted_versions;
  for (const AcceptedRelease& release : desired.releases) {
    for (const ReleaseComponent& wanted : release.release.components()) {
      if (const absl::Status undisputed = CheckUndisputed(wanted, ums); !undisputed.ok()) return undisputed;
      bool owned = false;
      for (const PlanUm& um : ums) {
        for (const InstalledVersion& installed : um.components) {
          if (!Targets(wanted, installed)) continue;
          owned = true;
          // Its own, so seen once; but several releases may want it.
          const auto [known, is_new] =
              wanted_versions.insert({{installed.component_id, installed.component_type}, wanted.version()});
          if (!is_new && known->second != wanted.version()) {
            return absl::InvalidArgumentError(absl::StrCat("component ", installed.component_id,
                                                           " is wanted as version ", known->second, " and as version ",
                                                           wanted.version()));
          }
          if (!is_new || installed.version == wanted.version()) continue;
          Participant& participant = participants[um.node_id];
          participant.node_id = um.node_id;
          participant.priority = um.priority;
          participant.switches_boot = um.switches_boot;
          participant.highest_first = um.highest_first;
          participant.targets.push_back(MakeTarget(release, wanted, installed));
        }
      }
      if (!owned) plan.missing.push_back(Describe(wanted));
    }
  }
  for (auto& [node_id, participant] : participants) plan.participants.push_back(std::move(participant));
  SortInStartOrder(plan.participants);
  if (const absl::Status fits = CheckTrialFits(plan.participants, limits, gate_time); !fits.ok()) return fits;
  return plan;
}

}  // namespace tandem::cm
