#include "um-plugins/slots/machine_slot_plugin.h"

#include <utility>

#include "common/net/curl_http_fetcher.h"
#include "common/process/run_command.h"
#include "common/status/status.h"

namespace tandem::plugins {
namespace {

std::function<absl::Status()> RebootFunction(std::vector<std::string> argv) {
  if (argv.empty()) argv = {"systemctl", "reboot"};
  return [command = Command{.argv = std::move(argv)}] {
    const absl::Status status = RunCommandOk(command);
    // Ended by a signal: the shutdown it asked for has reached it.
    return absl::IsAborted(status) ? absl::OkStatus() : status;
  };
}

std::function<absl::Status()> CheckFunction(std::vector<std::string> argv, absl::Duration timeout) {
  if (argv.empty()) return nullptr;
  return [command = Command{.argv = std::move(argv), .timeout = timeout}] { return RunCommandOk(command); };
}

// Made before the SlotPlugin that refers to them, and destroyed after it.
struct MachineParts {
  CurlHttpFetcher fetcher;
  std::unique_ptr<boot::BootControl> boot;
};

class MachineSlotPlugin : private MachineParts, public SlotPlugin {
 public:
  MachineSlotPlugin(MachineSlotSettings settings, std::unique_ptr<boot::BootControl> control, BootStages& stages)
      : MachineParts{.fetcher = {}, .boot = std::move(control)},
        SlotPlugin({.fs = FileSystem::Real(),
                    .clock = Clock::Real(),
                    .fetcher = MachineParts::fetcher,
                    .boot = *MachineParts::boot,
                    .reboot = RebootFunction(std::move(settings.reboot_command)),
                    .check = CheckFunction(std::move(settings.check_command), settings.check_timeout),
                    .stages = &stages,
                    .set_writable = std::move(settings.set_writable)},
                   std::move(settings.slots)) {}
};

}  // namespace

absl::StatusOr<std::unique_ptr<um::Plugin>> MakeMachineSlotPlugin(MachineSlotSettings settings,
                                                                  std::unique_ptr<boot::BootControl> boot,
                                                                  BootStages& stages) {
  RETURN_IF_ERROR(FileSystem::Real().MakeFolders(settings.slots.state_dir));
  return std::make_unique<MachineSlotPlugin>(std::move(settings), std::move(boot), stages);
}

}  // namespace tandem::plugins
