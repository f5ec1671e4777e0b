// tandem-um: Update Managers with the built-in plugins, as many as its configuration names.
#include <iostream>
#include <memory>
#include <set>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tandem/config/v1/um.pb.h"
#include "um-plugins/payload/payload_plugin.h"
#include "um-plugins/rootfs/rootfs_plugin.h"
#include "um/runner.h"

namespace {

using namespace tandem;
using config::v1::UmConfig;
using config::v1::UmProcessConfig;

constexpr char kExamples[] = R"(
Example of a configuration:

  cm: unix:/run/tandem/um.sock
  ums:
    - node_id: rootfs
      priority: 30
      state_dir: /var/lib/tandem/um/rootfs
      rootfs:
        component_type: rootfs
        slot_a: /dev/disk/by-partlabel/root-a
        slot_b: /dev/disk/by-partlabel/root-b
        boot_record: /dev/disk/by-partlabel/boot-record
    - node_id: models
      priority: 20
      state_dir: /var/lib/tandem/um/models
      payload:
        components:
          - {component_id: detector, component_type: model, folder: /data/models/detector}

Exit codes: 0 ended in order, 1 failed, 2 usage or configuration.)";

struct BuiltInPlugin {
  UmConfig::PluginCase kind;
  absl::StatusOr<std::unique_ptr<um::Plugin>> (*make)(const UmConfig& config);
};

constexpr BuiltInPlugin kPlugins[] = {
    {UmConfig::kRootfs, plugins::MakeRootfsPlugin},
    {UmConfig::kPayload, plugins::MakePayloadPlugin},
};

absl::StatusOr<std::unique_ptr<um::Plugin>> MakePlugin(const UmConfig& config) {
  for (const BuiltInPlugin& plugin : kPlugins) {
    if (plugin.kind == config.plugin_case()) return plugin.make(config);
  }
  return absl::InvalidArgumentError(absl::StrCat("UM ", config.node_id(), " has no plugin; add rootfs or payload"));
}

absl::Status Check(const std::string& path, const UmProcessConfig& config) {
  RETURN_IF_ERROR(Require(path, config, {"cm", "ums"}));
  if (!absl::StartsWith(config.cm(), "unix:") && !config.has_tls()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cm is ", config.cm(), ", which needs tls"));
  }
  std::set<std::string> names;
  std::set<std::string> folders;
  for (const UmConfig& um : config.ums()) {
    RETURN_IF_ERROR(Annotate(Require(path, um, {"node_id", "state_dir"}), "a UM"));
    if (!names.insert(um.node_id()).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": node_id \"", um.node_id(), "\" stands twice"));
    }
    if (!folders.insert(um.state_dir()).second) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": state_dir ", um.state_dir(), " is used by two UMs"));
    }
    if (um.plugin_case() == UmConfig::PLUGIN_NOT_SET) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": UM ", um.node_id(), " has no plugin; add rootfs or payload"));
    }
    if (!um.key_set().empty() && (um.namespace_().empty() || um.unit_id().empty())) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": UM ", um.node_id(), " has a key_set, so it needs namespace and unit_id, too"));
    }
  }
  return absl::OkStatus();
}

absl::Status Run(const UmProcessConfig& config) {
  std::vector<um::ManagedPlugin> managed;
  for (const UmConfig& um : config.ums()) {
    RETURN_IF_ERROR(FileSystem::Real().MakeFolders(um.state_dir()));
    um::PrepareTrust trust;
    if (!um.key_set().empty()) {
      ASSIGN_OR_RETURN(trust.key_set, FileSystem::Real().ReadFile(um.key_set()));
      trust.name_space = um.namespace_();
      trust.unit_id = um.unit_id();
    }
    absl::StatusOr<std::unique_ptr<um::Plugin>> plugin = MakePlugin(um);
    if (!plugin.ok()) return Annotate(plugin.status(), absl::StrCat("UM ", um.node_id()));
    managed.push_back({.options = {.node_id = um.node_id(), .priority = um.priority(), .state_dir = um.state_dir()},
                       .plugin = *std::move(plugin),
                       .trust = std::move(trust)});
  }
  return um::RunUpdateManagers({.cm = config.cm(), .tls = config.tls()}, std::move(managed));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs the Update Managers of this computer: root file system slots, model and config payloads.",
               "tandem-um");
  app.set_version_flag("--version", absl::StrCat("tandem-um ", TANDEM_VERSION));
  app.footer(kExamples);
  std::string path = "/etc/tandem/um.yaml";
  bool check_only = false;
  app.add_option("--config", path, "YAML file; docs/config-um.md explains every key")->capture_default_str();
  app.add_flag("--check-config", check_only, "check the configuration and end");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  UmProcessConfig config;
  absl::Status status = LoadYamlFile(path, config);
  if (status.ok()) status = Check(path, config);
  if (!status.ok()) {
    std::cerr << "tandem-um: " << ToPersonText(status) << "\n";
    return 2;
  }
  if (check_only) {
    std::cout << path << ": good\n";
    return 0;
  }
  status = InitLog({.level = config.log().level(), .file = config.log().file(), .common_fields = {}});
  if (status.ok()) status = Run(config);
  if (status.ok()) return 0;
  std::cerr << "tandem-um: " << ToPersonText(status) << "\n";
  return 1;
}
