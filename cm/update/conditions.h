// The conditions that an assignment sets for the start of its update.
#ifndef TANDEM_CM_UPDATE_CONDITIONS_H_
#define TANDEM_CM_UPDATE_CONDITIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "cm/trust/verifier.h"
#include "tandem/config/v1/cm.pb.h"
#include "tandem/release/v1/probe.pb.h"

namespace tandem::cm {

// What the assignment carries itself, and what it names: of the unit's configuration, which knows the machine, or else
// of the releases. INVALID_ARGUMENT when it names one that nobody has, or carries what an assignment may not.
absl::StatusOr<std::vector<release::v1::Probe>> AssignedConditions(const AcceptedDesired& desired,
                                                                   const config::v1::CmConfig& config);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_CONDITIONS_H_
