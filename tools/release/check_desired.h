// The checks of a desired state as a whole that can be done away from the unit.
#ifndef TANDEM_TOOLS_RELEASE_CHECK_DESIRED_H_
#define TANDEM_TOOLS_RELEASE_CHECK_DESIRED_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/key_set.h"

namespace tandem::release_tool {

// The assignment and the list are in force at `now`, every release that is named is there, and every one that is there
// is listed. With `keys`, also the signatures, by the end of the chain of key sets; nullptr: nobody's word is checked.
// Errors name the document.
absl::Status CheckDesired(const DesiredEnvelopes& documents, const TrustedKeys* keys, absl::Time now);

}  // namespace tandem::release_tool

#endif  // TANDEM_TOOLS_RELEASE_CHECK_DESIRED_H_
