// Runs update managers until the process is told to end: what an OEM's main() calls.
//
//   int main(int argc, char** argv) {
//     tandem::um::RunnerOptions options{.cm = "unix:/run/tandem/um.sock"};
//     std::vector<tandem::um::ManagedPlugin> plugins;
//     plugins.push_back({.options = {.node_id = "seat", .priority = 5, .state_dir = "/var/lib/tandem/seat"},
//                        .plugin = std::make_unique<SeatHeater>()});
//     return tandem::um::RunUpdateManagers(options, std::move(plugins)).ok() ? 0 : 1;
//   }
#ifndef TANDEM_UM_RUNNER_H_
#define TANDEM_UM_RUNNER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tandem/config/v1/tls.pb.h"
#include "um/plugin.h"
#include "um/prepare_request.h"
#include "um/update_manager.h"

namespace tandem::um {

struct RunnerOptions {
  // unix:/path, or host:port with tls.
  std::string cm;
  config::v1::Tls tls;
};

struct ManagedPlugin {
  UpdateManagerOptions options;
  std::unique_ptr<Plugin> plugin;
  PrepareTrust trust;
};

// Blocks until SIGTERM or SIGINT; OK then. An error when the UMs cannot run at all. A UM whose record lock is held by
// another process is refused: two processes must not own the same components.
absl::Status RunUpdateManagers(const RunnerOptions& options, std::vector<ManagedPlugin> plugins);

}  // namespace tandem::um

#endif  // TANDEM_UM_RUNNER_H_
