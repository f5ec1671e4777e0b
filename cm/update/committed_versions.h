// Whether a UM runs what the unit is committed to.
#ifndef TANDEM_CM_UPDATE_COMMITTED_VERSIONS_H_
#define TANDEM_CM_UPDATE_COMMITTED_VERSIONS_H_

#include "cm/um_registry/um_registry.h"
#include "cm/update/records/desired_store.h"

namespace tandem::cm {

// As far as the committed releases, and what was left over from older ones, name the UM's components; false when they
// name none. Of a UPDATED UM that was left over and does not say what it runs: true.
bool RunsCommitted(const DesiredStore& desired, const UmInfo& um);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_COMMITTED_VERSIONS_H_
