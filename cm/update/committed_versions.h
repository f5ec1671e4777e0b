// Whether a UM runs what the unit is committed to.
#ifndef TANDEM_CM_UPDATE_COMMITTED_VERSIONS_H_
#define TANDEM_CM_UPDATE_COMMITTED_VERSIONS_H_

#include "cm/um_registry/um_registry.h"
#include "cm/update/records/desired_store.h"

namespace tandem::cm {

// As far as the committed releases name the UM's components; false when they name none.
bool RunsCommitted(const DesiredStore& desired, const UmInfo& um);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_COMMITTED_VERSIONS_H_
