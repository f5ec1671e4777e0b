// tandem-fleet as a whole: store, controller and API, from start to an orderly end.
#ifndef TANDEM_FLEET_SERVICE_H_
#define TANDEM_FLEET_SERVICE_H_

#include "absl/status/status.h"
#include "tandem/config/v1/fleet.pb.h"

namespace tandem::fleet {

// Runs until SIGTERM or SIGINT. At the first start it makes what is missing in the data folder: the assignment key, and
// a token for a release manager in admin.token (mode 0600). An error says what is wrong and how to mend it.
absl::Status RunFleet(const config::v1::FleetConfig& config);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_SERVICE_H_
