// One boot of the virtual unit: a process that runs init and the services, and takes everything with it when it ends.
//
// It is a session and a child subreaper, so nothing it started can leave it. SIGTERM: everything is killed at once.
// SIGUSR1: an orderly stop. It dies with its parent.
#ifndef TANDEM_TOOLS_UNIT_SIM_MACHINE_H_
#define TANDEM_TOOLS_UNIT_SIM_MACHINE_H_

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "bootloader/core/boot_record.h"
#include "tools/unit-sim/sim_config.h"

namespace tandem::sim {

// Exit codes of the machine's process.
inline constexpr int kStopped = 0;
inline constexpr int kBootFailed = 3;

// Forks the machine's process. It writes one byte to `running_fd` when init has succeeded and the services are started.
// Must be called from a single-threaded process.
absl::StatusOr<pid_t> StartMachine(const Config& config, boot::Slot slot, int running_fd);

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_MACHINE_H_
