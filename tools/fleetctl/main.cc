// tandem-fleetctl: what an operator of a fleet sees and does.
#include <cstdlib>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "tools/fleetctl/client.h"

namespace {

constexpr char kExamples[] = R"(
Examples:
  tandem-fleetctl fleet                                        the fleet at a glance
  tandem-fleetctl rollout plan --release gw-2 --rings 5%,10%,100%
  tandem-fleetctl rollout create --release gw-2 --name "gw 2" --watch
  tandem-fleetctl rollout watch 7                              live tree; exit code 0 when complete, 1 when aborted
  tandem-fleetctl rollout abort 7 --reason "reboots"           take it back
  tandem-fleetctl verification --rollout 7                     units by diagnostics
  tandem-fleetctl units rollback gw-17 --reason "rattles"      back to its last verified release
  tandem-fleetctl stops add --target 'region == "eu"' --reason "holidays"
  tandem-fleetctl units list --presence offline --json | jq .

Exit codes: 0 done, 1 failed, 2 usage or configuration.
The controller is --server or TANDEM_FLEET_SERVER, host:port or unix:PATH. Without --ca a connection to this computer is
plain, any other is TLS with the system's CAs. The token is the first line of --token-file, TANDEM_FLEET_TOKEN_FILE or
~/.config/tandem/token.)";

}  // namespace

int main(int argc, char** argv) {
  using namespace tandem::fleetctl;  // NOLINT(google-build-using-namespace): this file only joins its commands
  CLI::App app("Shows and operates a fleet, through tandem-fleet.", "tandem-fleetctl");
  app.set_version_flag("--version", absl::StrCat("tandem-fleetctl ", TANDEM_VERSION));
  app.footer(kExamples);
  app.require_subcommand(1);
  app.fallthrough();
  GlobalOptions& options = Globals();
  if (const char* server = std::getenv("TANDEM_FLEET_SERVER"); server != nullptr) options.server = server;
  if (const char* file = std::getenv("TANDEM_FLEET_TOKEN_FILE"); file != nullptr) options.token_file = file;
  app.add_option("--server", options.server, "the controller, host:port or unix:PATH")->capture_default_str();
  app.add_option("--token-file", options.token_file, "file that holds the token");
  app.add_option("--ca", options.ca, "PEM file: the CA of the controller's certificate");
  app.add_option("--certificate", options.certificate, "PEM file: client certificate instead of a token");
  app.add_option("--key", options.key, "PEM file: its key");
  app.add_flag("--json", options.json, "print one JSON document");
  AddFleetCommands(app);
  CLI::App& units = AddUnitCommands(app);
  AddReleaseCommands(app);
  AddRolloutCommands(app);
  AddVerificationCommands(app, units);
  AddAccessCommands(app);
  AddCompletionCommand(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return ExitCode();
}
