// tandem-um: Update Managers with the built-in plugins, as many as its configuration names.
#include <iostream>
#include <memory>
#include <set>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/crypto/key_set.h"
#include "common/log/log.h"
#include "common/process/shutdown.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tandem/config/v1/um.pb.h"
#include "um-plugins/bootloader/make_bootloader_plugin.h"
#include "um-plugins/exclusive_places.h"
#include "um-plugins/mcu/mcu_plugin.h"
#include "um-plugins/payload/payload_plugin.h"
#include "um-plugins/rootfs/make_rootfs_plugin.h"
#include "um-plugins/slots/boot_stages.h"
#include "um/cm_stream.h"
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
    - node_id: bootloader
      priority: 25
      state_dir: /var/lib/tandem/um/bootloader
      bootloader:
        component_type: bootloader
        copy_a: /dev/mmcblk0boot0
        copy_b: /dev/mmcblk0boot1
        mmc: {device: /dev/mmcblk0, state: /var/lib/tandem/bootloader.rec}
        rom_fallback: SUPERVISOR
    - node_id: models
      priority: 20
      state_dir: /var/lib/tandem/um/models
      payload:
        components:
          - {component_id: detector, component_type: model, folder: /data/models/detector}
    - node_id: motor
      priority: 40
      state_dir: /var/lib/tandem/um/motor
      mcu:
        component_type: motor-mcu
        serial: {path: /dev/ttyACM0, baud: 115200}

Exit codes: 0 ended in order, 1 failed, 2 usage or configuration.)";

struct BuiltInPlugin {
  UmConfig::PluginCase kind;
  absl::Status (*check)(const UmConfig& config);
  absl::StatusOr<std::unique_ptr<um::Plugin>> (*make)(const UmConfig& config, plugins::BootStages& stages);
};

constexpr BuiltInPlugin kPlugins[] = {
    {UmConfig::kRootfs, plugins::CheckRootfsConfig, plugins::MakeRootfsPlugin},
    {UmConfig::kBootloader, plugins::CheckBootloaderConfig, plugins::MakeBootloaderPlugin},
    {UmConfig::kPayload, plugins::CheckPayloadConfig,
     [](const UmConfig& config, plugins::BootStages&) { return plugins::MakePayloadPlugin(config); }},
    {UmConfig::kMcu, plugins::CheckMcuConfig,
     [](const UmConfig& config, plugins::BootStages&) { return plugins::MakeMcuPlugin(config); }},
};

absl::StatusOr<const BuiltInPlugin*> FindPlugin(const UmConfig& config) {
  for (const BuiltInPlugin& plugin : kPlugins) {
    if (plugin.kind == config.plugin_case()) return &plugin;
  }
  return absl::InvalidArgumentError("it has no plugin; add rootfs, bootloader, mcu or payload");
}

absl::StatusOr<um::PrepareTrust> LoadTrust(const UmConfig& config) {
  um::PrepareTrust trust;
  if (config.key_set().empty()) return trust;
  if (config.namespace_().empty() || config.unit_id().empty()) {
    return absl::InvalidArgumentError("it has a key_set, so it needs namespace and unit_id, too");
  }
  trust.name_space = config.namespace_();
  trust.unit_id = config.unit_id();
  ASSIGN_OR_RETURN(trust.key_set, Annotate(FileSystem::Real().ReadFile(config.key_set()), "key_set"));
  RETURN_IF_ERROR(Annotate(TrustedKeys::FromFirst(trust.key_set, trust.name_space).status(),
                           absl::StrCat("key_set ", config.key_set())));
  return trust;
}

absl::Status CheckUm(const UmConfig& config) {
  RETURN_IF_ERROR(Require("ums", config, {"node_id", "state_dir"}));
  ASSIGN_OR_RETURN(const BuiltInPlugin* const plugin, FindPlugin(config));
  return plugin->check(config);
}

// Everything that can be known before the start, the files that the configuration names last.
absl::Status Check(const UmProcessConfig& config) {
  // Without the file: a check leaves none behind.
  RETURN_IF_ERROR(InitLog({.level = config.log().level(), .file = {}, .common_fields = {}}));
  if (!absl::StartsWith(config.cm(), "unix:") && !config.has_tls()) {
    return absl::InvalidArgumentError(absl::StrCat("cm is ", config.cm(), ", which needs tls"));
  }
  std::set<std::string> names;
  std::set<std::string> folders;
  for (const UmConfig& um : config.ums()) {
    RETURN_IF_ERROR(Annotate(CheckUm(um), absl::StrCat("UM ", um.node_id())));
    if (!names.insert(um.node_id()).second) {
      return absl::InvalidArgumentError(absl::StrCat("node_id \"", um.node_id(), "\" stands twice"));
    }
    if (!folders.insert(um.state_dir()).second) {
      return absl::InvalidArgumentError(absl::StrCat("state_dir ", um.state_dir(), " is used by two UMs"));
    }
  }
  RETURN_IF_ERROR(plugins::CheckExclusivePlaces(config));
  RETURN_IF_ERROR(um::OpenChannelToCm(config.cm(), config.tls()).status());
  for (const UmConfig& um : config.ums()) {
    RETURN_IF_ERROR(Annotate(LoadTrust(um).status(), absl::StrCat("UM ", um.node_id())));
  }
  return absl::OkStatus();
}

absl::StatusOr<um::ManagedPlugin> MakeManaged(const UmConfig& config, plugins::BootStages& stages) {
  RETURN_IF_ERROR(FileSystem::Real().MakeFolders(config.state_dir()));
  um::ManagedPlugin managed{
      .options = {.node_id = config.node_id(), .priority = config.priority(), .state_dir = config.state_dir()},
      .plugin = {},
      .trust = {}};
  ASSIGN_OR_RETURN(managed.trust, LoadTrust(config));
  ASSIGN_OR_RETURN(const BuiltInPlugin* const plugin, FindPlugin(config));
  ASSIGN_OR_RETURN(managed.plugin, plugin->make(config, stages));
  return managed;
}

absl::Status Run(const UmProcessConfig& config) {
  plugins::BootStages stages;
  std::vector<um::ManagedPlugin> managed;
  for (const UmConfig& um : config.ums()) {
    absl::StatusOr<um::ManagedPlugin> made = MakeManaged(um, stages);
    if (!made.ok()) return Annotate(made.status(), absl::StrCat("UM ", um.node_id()));
    managed.push_back(*std::move(made));
  }
  return um::RunUpdateManagers({.cm = config.cm(), .tls = config.tls()}, std::move(managed));
}

}  // namespace

int main(int argc, char** argv) {
  NeverEndSilently(argv[0]);
  CLI::App app(
      "Runs the Update Managers of this computer: root file system, bootloader, microcontrollers, model and config "
      "payloads.",
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
  if (status.ok()) status = Require(path, config, {"cm", "ums"});
  if (status.ok()) status = Annotate(Check(config), path);
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
