// How the commands of tandem-unit-sim reach the simulator of a unit, and learn what it does.
//
// {unit}/control is a FIFO of lines: "reboot", "power-on", "off", "power-cut" or "power-cut MILLISECONDS" (power comes
// back after them), "power-cycle PERIPHERAL". {unit}/status.json is replaced as a whole at every change.
#ifndef TANDEM_TOOLS_UNIT_SIM_CONTROL_H_
#define TANDEM_TOOLS_UNIT_SIM_CONTROL_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem::sim {

struct Status {
  // off, booting, running, stopping or recovery.
  std::string state = "off";
  // A, B or none.
  std::string slot = "none";
  std::string reason;
  std::string boot_id;
  uint64_t boots = 0;
  uint64_t power_cuts = 0;
  uint64_t watchdog_resets = 0;
  uint32_t attempts_left = 0;
  pid_t simulator = 0;
  // The process that holds all of the unit's processes; 0 when there is none.
  pid_t machine = 0;
};

std::string ToJson(const Status& status);
// For a person, one line.
std::string ToText(const Status& status);

absl::Status WriteStatus(const std::string& unit, const Status& status);
// Of a unit whose simulator does not run: off. NOT_FOUND when it never ran.
absl::StatusOr<Status> ReadStatus(const std::string& unit);

// UNAVAILABLE when no simulator runs for the unit.
absl::Status SendRequest(const std::string& unit, const std::string& line);

// Until `good` holds. DEADLINE_EXCEEDED with the last status.
absl::StatusOr<Status> WaitForStatus(const std::string& unit, absl::Duration timeout,
                                     const std::function<bool(const Status&)>& good);

std::string ControlPath(const std::string& unit);

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_CONTROL_H_
