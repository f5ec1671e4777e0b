// All of CM put together: what main() runs.
#ifndef TANDEM_CM_SERVICE_H_
#define TANDEM_CM_SERVICE_H_

#include "absl/status/status.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

// Runs until SIGTERM or SIGINT; OK then. FAILED_PRECONDITION when another CM owns the state folder. Any other error
// says what of the surroundings does not work.
absl::Status RunCm(const config::v1::CmConfig& config);

}  // namespace tandem::cm

#endif  // TANDEM_CM_SERVICE_H_
