// The part of verification that asks whether genuine releases suit this unit: hardware, floors, the way back,
// requirements. Used by the verifier, and by whoever reads an accepted release from a record.
#ifndef TANDEM_CM_TRUST_UNIT_POLICY_H_
#define TANDEM_CM_TRUST_UNIT_POLICY_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/trust/verifier.h"
#include "common/crypto/signed_metadata.h"

namespace tandem::cm {

// The release without what is not for this unit. INVALID_ARGUMENT: the assignment takes a plane from it that it does
// not have. PERMISSION_DENIED: a component has no entry for this hardware.
absl::StatusOr<release::v1::Release> ReleaseForUnit(const Signed<release::v1::Release>& release,
                                                    const release::v1::Assignment& assignment,
                                                    const std::string& hardware);

// The release's entry means this component: of its type, and of its id when it names one.
bool Targets(const release::v1::ReleaseComponent& entry, const InstalledVersion& installed);

// INVALID_ARGUMENT when two releases bring the same component.
absl::Status CheckNoOverlap(const std::vector<AcceptedRelease>& releases);

// PERMISSION_DENIED when a security_version is below the unit's floor for the type.
absl::Status CheckFloors(const std::vector<AcceptedRelease>& releases, const record::v1::TrustRecord& trust);

// PERMISSION_DENIED when a component would go back (an older version, or any with `rollback_of`) to a release that this
// unit never committed and that is no rollback target.
absl::Status CheckWayBack(const release::v1::Assignment& assignment, const std::vector<AcceptedRelease>& releases,
                          const UnitFacts& unit, const record::v1::TrustRecord& trust);

// FAILED_PRECONDITION when, after the update, a required type would be missing or too old somewhere on the unit.
absl::Status CheckRequirements(const std::vector<AcceptedRelease>& releases, const UnitFacts& unit);

}  // namespace tandem::cm

#endif  // TANDEM_CM_TRUST_UNIT_POLICY_H_
