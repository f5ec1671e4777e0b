// tandem-fleet: a controller of a fleet, with its API.
#include <sys/stat.h>

#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/process/shutdown.h"
#include "common/status/status.h"
#include "fleet/config.h"
#include "fleet/service.h"

namespace {

constexpr char kExamples[] = R"(
Examples:
  tandem-fleet --data /var/lib/tandem/fleet --namespace acme
                                       SQLite there, a broker on this computer; makes what is missing
  tandem-fleet --config /etc/tandem/fleet.yaml
  tandem-fleet --config /etc/tandem/fleet.yaml --check-config

Operate it with tandem-fleetctl; the first token is in admin.token of the data folder. docs/operate-a-fleet.md shows the
way from an empty machine to the first rollout. Exit codes: 0 ended in order, 1 failed, 2 usage or configuration.)";

}  // namespace

int main(int argc, char** argv) {
  tandem::NeverEndSilently(argv[0]);
  CLI::App app("Rolls releases out to a fleet of units in rings, and takes bad ones back by itself.", "tandem-fleet");
  app.set_version_flag("--version", absl::StrCat("tandem-fleet ", TANDEM_VERSION));
  app.footer(kExamples);
  std::string path;
  tandem::fleet::FleetOverrides overrides;
  bool check_only = false;
  app.add_option("--config", path, "YAML file; docs/config-fleet.md explains every key");
  app.add_option("--data", overrides.data, "folder of the store, the assignment key and the first token");
  app.add_option("--namespace", overrides.name_space, "of topics and signed documents; default: fleet");
  app.add_option("--broker", overrides.broker, "MQTT v5 broker; default: mqtt://localhost:1883");
  app.add_flag("--open-registration", overrides.open_registration,
               "register units by their first report; the broker must know who they are");
  app.add_flag("--check-config", check_only, "check the configuration and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const auto config = tandem::fleet::LoadFleetConfig(path, overrides);
  if (!config.ok()) {
    std::cerr << "tandem-fleet: " << tandem::ToPersonText(config.status()) << "\n";
    return 2;
  }
  if (check_only) {
    std::cout << (path.empty() ? "the command line" : path) << ": good\n";
    return 0;
  }
  // The store holds hashes of tokens, the folder the key that orders units: they are this user's alone.
  umask(0077);
  absl::Status status = tandem::InitLog({.level = config->log().level(),
                                         .file = config->log().file(),
                                         .common_fields = {{"controller", config->controller_id()}}});
  if (status.ok()) status = tandem::fleet::RunFleet(*config);
  if (status.ok()) return 0;
  std::cerr << "tandem-fleet: " << tandem::ToPersonText(status) << "\n";
  return 1;
}
