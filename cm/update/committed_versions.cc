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
  return !targets.empty() && RunningOf(um.last, targets) == Runs::kTarget;
}

}  // namespace tandem::cm
