// Chips beside the virtual computer, each a process: they have power when the unit has, whatever the computer does.
#ifndef TANDEM_TOOLS_UNIT_SIM_PERIPHERALS_H_
#define TANDEM_TOOLS_UNIT_SIM_PERIPHERALS_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "tools/unit-sim/sim_config.h"

namespace tandem::sim {

// Single-threaded, in a single-threaded process.
class Peripherals {
 public:
  // Their output goes to {log_folder}/NAME.log.
  Peripherals(std::vector<Peripheral> peripherals, std::string log_folder)
      : peripherals_(std::move(peripherals)), log_folder_(std::move(log_folder)) {}
  ~Peripherals() { PowerOff(); }
  Peripherals(const Peripherals&) = delete;
  Peripherals& operator=(const Peripherals&) = delete;

  // Starts those that do not run.
  absl::Status PowerOn();
  // Kills them all, at once.
  void PowerOff();
  // Power of one of them goes and comes back. NOT_FOUND.
  absl::Status PowerCycle(const std::string& name);

 private:
  absl::Status Start(const Peripheral& peripheral);
  void Kill(const std::string& name);

  const std::vector<Peripheral> peripherals_;
  const std::string log_folder_;
  std::map<std::string, pid_t> running_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_PERIPHERALS_H_
