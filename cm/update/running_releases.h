// Which signed releases the unit runs, and whether they still count.
#ifndef TANDEM_CM_UPDATE_RUNNING_RELEASES_H_
#define TANDEM_CM_UPDATE_RUNNING_RELEASES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/trust/trust_store.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/records/desired_store.h"
#include "common/crypto/key_set.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem::cm {

// In force now.
absl::StatusOr<TrustedKeys> KeysInForce(const TrustStore& trust, const std::string& name_space);

// Of the signed releases that the unit runs, or has on trial, the one with this digest (32 bytes). `documents` are the
// running update's, or nullptr. NOT_FOUND: what it runs instead.
absl::StatusOr<release::v1::Release> FindRunningRelease(const std::string& digest, const UnitUpdate& update,
                                                        const StoredDesired* documents, const DesiredStore& desired);

// PERMISSION_DENIED when a key that signed a release of `documents` is no longer trusted.
absl::Status CheckStillSigned(const StoredDesired& documents, const absl::StatusOr<TrustedKeys>& keys);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_RUNNING_RELEASES_H_
