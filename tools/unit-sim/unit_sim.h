// The virtual unit: power, bootloader, watchdog. What it boots runs in a machine process (machine.h).
//
//   off --power on--> [policy decides, record written, image unpacked] --> booting --init, services--> running
//
// The boot decision is the real one: bootloader/core over the boot record, or a real U-Boot (boot_chain.h). A failed
// boot (bad init, watchdog) is a reset; an image that cannot be unpacked is marked unbootable, as a bootloader that
// verifies images does.
#ifndef TANDEM_TOOLS_UNIT_SIM_UNIT_SIM_H_
#define TANDEM_TOOLS_UNIT_SIM_UNIT_SIM_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tools/unit-sim/boot_chain.h"
#include "tools/unit-sim/control.h"
#include "tools/unit-sim/peripherals.h"
#include "tools/unit-sim/sim_config.h"

namespace tandem::sim {

// Single-threaded, in a single-threaded process.
class UnitSim {
 public:
  explicit UnitSim(Config config);
  ~UnitSim();
  UnitSim(const UnitSim&) = delete;
  UnitSim& operator=(const UnitSim&) = delete;

  // Switches the unit on and runs it until SIGTERM or SIGINT; then the power goes. With `exit_after_idle` also ends
  // when the unit is off or in recovery and nothing will change that. Leaves no process behind, however it ends.
  absl::Status Run(bool exit_after_idle);

 private:
  absl::Status Open();
  // From reset to a started machine, or to recovery.
  absl::Status Boot();
  absl::Status Unpack(boot::Slot slot);
  void Recover(const std::string& why);
  absl::Status StartMachine(const BootChoice& choice);

  // Waits for whatever comes first and handles it. False when the simulator should end.
  absl::StatusOr<bool> HandleNext();
  absl::Status HandleRequests();
  absl::Status HandleRequest(const std::string& line);
  void HandleWatchdog();
  absl::Status HandleMachineEnd(int wait_status);
  absl::Status HandleDue();

  void KillMachine();
  // SIGUSR1; what comes then is in `after_stop_`.
  void StopMachine();
  void SetState(const std::string& state);
  // A line in {unit}/console.log.
  void Console(const std::string& line);

  enum class AfterStop { kBoot, kOff };

  const Config config_;
  const std::unique_ptr<BootChain> boot_chain_;
  Peripherals peripherals_;
  Status shown_;
  int signals_ = -1;
  int control_ = -1;
  int watchdog_ = -1;
  // The machine's word that it runs.
  int running_ = -1;
  int machine_fd_ = -1;
  pid_t machine_ = 0;
  AfterStop after_stop_ = AfterStop::kBoot;
  int failed_boots_ = 0;
  bool stopping_ = false;
  // Monotonic; InfiniteDuration: not armed.
  absl::Duration watchdog_end_ = absl::InfiniteDuration();
  absl::Duration power_on_at_ = absl::InfiniteDuration();
  absl::Duration stop_end_ = absl::InfiniteDuration();
  std::string requests_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_UNIT_SIM_H_
