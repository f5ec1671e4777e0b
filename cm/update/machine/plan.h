// From an accepted desired state and what runs now to the update's participants. Pure.
#ifndef TANDEM_CM_UPDATE_MACHINE_PLAN_H_
#define TANDEM_CM_UPDATE_MACHINE_PLAN_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/trust/verifier.h"
#include "cm/update/machine/unit_update.h"

namespace tandem::cm {

// A UM as it last reported.
struct PlanUm {
  std::string node_id;
  uint32_t priority = 0;
  bool switches_boot = false;
  bool highest_first = false;
  std::vector<InstalledVersion> components;
  // What it claims and does not own, with why.
  std::vector<std::pair<InstalledVersion, std::string>> disputed = {};
};

struct Plan {
  // In start order; empty: everything runs already.
  std::vector<Participant> participants;
  // Components that no UM owns: "component mcu of type mcu-firmware". While there are any, nothing can begin.
  std::vector<std::string> missing;
};

// A component of the release without id stands for every component of its type. Components whose installed version is
// the wanted one take no part.
// INVALID_ARGUMENT: two releases want different versions of one component. FAILED_PRECONDITION: a component that nobody
// owns is claimed; or the UMs that start after a boot switch, with the gate, could not be done within the trial
// deadline.
absl::StatusOr<Plan> MakePlan(const AcceptedDesired& desired, const std::vector<PlanUm>& ums, const Limits& limits,
                              absl::Duration gate_time);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_MACHINE_PLAN_H_
