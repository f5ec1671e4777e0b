// Decides whether a signed desired state may be installed on this unit, before the first byte is fetched.
//
// Rules: docs of the signed metadata (design section 2). Pure: it looks at the documents, the unit's facts and the
// trust record, and changes nothing; TrustStore (trust_store.h) makes durable what was accepted.
#ifndef TANDEM_CM_TRUST_VERIFIER_H_
#define TANDEM_CM_TRUST_VERIFIER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/crypto/desired_documents.h"
#include "tandem/record/v1/record.pb.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem::cm {

struct InstalledVersion {
  std::string component_id;
  std::string component_type;
  std::string version;
};

// What the unit is, for the checks.
struct UnitFacts {
  std::string unit_id;
  std::string name_space;
  std::string hardware;
  std::vector<InstalledVersion> installed;
  // False while a configured UM has not said what it runs: a requirement may be met by what it has, so it is not
  // checked yet, and must be before the update begins.
  bool installed_is_complete = true;
  // By the clock rule (trusted_time.h).
  absl::Time now;
};

struct AcceptedRelease {
  // SHA-256 of the payload, 32 bytes.
  std::string digest;
  // What of it is for this unit: components of other hardware, and of planes that the assignment does not take from
  // this release, are left out. The whole one is in `envelope`.
  release::v1::Release release;
  // The DSSE envelope, for the UMs and the records.
  std::string envelope;
};

struct AcceptedDesired {
  release::v1::Assignment assignment;
  // SHA-256 of its payload.
  std::string assignment_digest;
  // One per plane named by the assignment, in its order; a release for several planes comes once.
  std::vector<AcceptedRelease> releases;
  // The chain of key sets up to the newest one (envelopes), and its version.
  std::vector<std::string> key_sets;
  uint64_t key_set_version = 0;
  uint64_t release_list_version = 0;
  // The very assignment that was accepted before: report again, start nothing. Expiry, the way back and requirements
  // are not checked then, because they count at acceptance.
  bool repeated = false;
};

// Errors name the document, what is wrong with it, and what mends it:
// PERMISSION_DENIED: signature, threshold, key, namespace, unit, hardware, withdrawn, below a floor, not allowed as
//   rollback. ALREADY_EXISTS-like repeats are not errors (see `repeated`). FAILED_PRECONDITION: expired, older
//   sequence, a requirement that is not met. INVALID_ARGUMENT: not an envelope, not the document it says, too large.
absl::StatusOr<AcceptedDesired> VerifyDesired(const DesiredEnvelopes& documents, const UnitFacts& unit,
                                              const record::v1::TrustRecord& trust);

}  // namespace tandem::cm

#endif  // TANDEM_CM_TRUST_VERIFIER_H_
