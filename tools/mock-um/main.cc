// tandem-mock-um: scriptable Update Managers for integration tests, over the real SDK.
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/net/curl_http_fetcher.h"
#include "common/status/status.h"
#include "tools/mock-um/mock_plugin.h"
#include "um/runner.h"

namespace {

using namespace tandem;

constexpr char kExamples[] = R"(
Example of a configuration: a UM that starts slowly and whose first apply fails

  cm: unix:/run/tandem/um.sock
  ums:
    - node_id: mcu
      priority: 20
      state_dir: /tmp/mock/mcu
      components: [{component_id: mcu0, component_type: mcu-firmware, version: 1.0.0}]
      start: {delay: 2s, reboot: true}      # ends the process; start it again to go on
      apply: {fail: "flash busy", fail_times: 1}
      prepare: {crash_before: 1}            # kills itself once

Exit codes: 0 ended in order or "rebooted", 1 failed, 2 usage or configuration.)";

absl::Status Run(const config::v1::MockUmConfig& config) {
  static CurlHttpFetcher* const fetcher = new CurlHttpFetcher;
  static Stager* const stager = new Stager(*fetcher, Clock::Real());
  std::vector<um::ManagedPlugin> plugins;
  for (const config::v1::MockUm& um : config.ums()) {
    ASSIGN_OR_RETURN(std::unique_ptr<mock::MockPlugin> plugin, mock::MockPlugin::Load(FileSystem::Real(), *stager, um));
    plugins.push_back({.options = {.node_id = um.node_id(), .priority = um.priority(), .state_dir = um.state_dir()},
                       .plugin = std::move(plugin),
                       .trust = {}});
  }
  return um::RunUpdateManagers({.cm = config.cm(), .tls = config.tls()}, std::move(plugins));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Scriptable Update Managers for integration tests.", "tandem-mock-um");
  app.set_version_flag("--version", absl::StrCat("tandem-mock-um ", TANDEM_VERSION));
  app.footer(kExamples);
  std::string path;
  bool check_only = false;
  app.add_option("--config", path, "YAML file")->required();
  app.add_flag("--check-config", check_only, "check the configuration and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  config::v1::MockUmConfig config;
  absl::Status status = LoadYamlFile(path, config);
  if (status.ok()) status = Require(path, config, {"cm", "ums"});
  if (status.ok()) status = InitLog({.level = config.log().level(), .file = config.log().file(), .common_fields = {}});
  if (!status.ok() || check_only) {
    (status.ok() ? std::cout : std::cerr) << (status.ok() ? path + ": good" : ToPersonText(status)) << "\n";
    return status.ok() ? 0 : 2;
  }
  status = Run(config);
  if (status.ok()) return 0;
  std::cerr << "tandem-mock-um: " << ToPersonText(status) << "\n";
  return 1;
}
