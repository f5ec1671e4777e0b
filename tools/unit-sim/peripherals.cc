#include "tools/unit-sim/peripherals.h"

#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tools/unit-sim/spawn_program.h"

namespace tandem::sim {

absl::Status Peripherals::Start(const Peripheral& peripheral) {
  const pid_t child = SpawnProgram(peripheral.argv, {}, JoinPath(log_folder_, peripheral.name + ".log"));
  if (child < 0) return ErrnoStatus(errno, absl::StrCat("start peripheral ", peripheral.name));
  running_[peripheral.name] = child;
  return absl::OkStatus();
}

void Peripherals::Kill(const std::string& name) {
  const auto found = running_.find(name);
  if (found == running_.end()) return;
  kill(found->second, SIGKILL);
  while (waitpid(found->second, nullptr, 0) < 0 && errno == EINTR) {
  }
  running_.erase(found);
}

absl::Status Peripherals::PowerOn() {
  for (const Peripheral& peripheral : peripherals_) {
    const auto found = running_.find(peripheral.name);
    if (found != running_.end() && waitpid(found->second, nullptr, WNOHANG) == 0) continue;
    RETURN_IF_ERROR(Start(peripheral));
  }
  return absl::OkStatus();
}

void Peripherals::PowerOff() {
  for (const Peripheral& peripheral : peripherals_) Kill(peripheral.name);
}

absl::Status Peripherals::PowerCycle(const std::string& name) {
  for (const Peripheral& peripheral : peripherals_) {
    if (peripheral.name != name) continue;
    Kill(name);
    return Start(peripheral);
  }
  return absl::NotFoundError(absl::StrCat("there is no peripheral named ", name));
}

}  // namespace tandem::sim
