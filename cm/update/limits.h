// The budgets of an update, as configured.
#ifndef TANDEM_CM_UPDATE_LIMITS_H_
#define TANDEM_CM_UPDATE_LIMITS_H_

#include "cm/update/machine/unit_update.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

// What the configuration leaves out is as Limits says.
Limits LimitsOf(const config::v1::Budgets& budgets);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_LIMITS_H_
