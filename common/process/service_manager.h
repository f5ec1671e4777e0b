// Tells systemd how the service does, where it is one with Type=notify.
#ifndef TANDEM_COMMON_PROCESS_SERVICE_MANAGER_H_
#define TANDEM_COMMON_PROCESS_SERVICE_MANAGER_H_

#include "absl/status/status.h"

namespace tandem {

// What waits for this service may start. OK without a service manager, too; UNAVAILABLE when it cannot be told.
absl::Status NotifyReady();

}  // namespace tandem

#endif  // TANDEM_COMMON_PROCESS_SERVICE_MANAGER_H_
