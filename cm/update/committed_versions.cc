#include "cm/update/committed_versions.h"

#include <vector>

#include "cm/trust/unit_policy.h"
#include "cm/update/status_view.h"

namespace tandem::cm {

bool RunsCommitted(const DesiredStore& desired, const UmInfo& um) {
  std::vector<Target> targets;
  for (const AcceptedRelease& release : desired.CommittedReleases()) {
    for (const InstalledVersion& installed : InstalledOf(um.last)) {
      for (const auto& component : release.release.components()) {
        if (!Targets(component, installed)) continue;
        targets.push_back({.component_id = installed.component_id,
                           .component_type = installed.component_type,
                           .version = component.version()});
      }
    }
  }
  bool left_over = false;
  for (const record::v1::LeftoverComponent& left : desired.committed().leftovers()) {
    if (left.node_id() != um.node.node_id()) continue;
    left_over = true;
    targets.push_back(
        {.component_id = left.component_id(), .component_type = left.component_type(), .version = left.version()});
  }
  const Runs runs = RunningOf(um.last, targets);
  // What was COMMITted there is in it, unless it says otherwise.
  return !targets.empty() && (runs == Runs::kTarget || (left_over && runs == Runs::kUnknown));
}

}  // namespace tandem::cm
