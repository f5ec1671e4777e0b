#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/net/curl_http_fetcher.h"
#include "common/status/status.h"
#include "um-plugins/payload/payload_plugin.h"
#include "um-plugins/payload/unpack_archive.h"

namespace tandem::plugins {
namespace {

// Keeps what a PayloadPlugin only refers to.
class MachinePayloadPlugin : public um::Plugin {
 public:
  explicit MachinePayloadPlugin(const config::v1::UmConfig& config)
      : plugin_({.fs = FileSystem::Real(),
                 .clock = Clock::Real(),
                 .fetcher = fetcher_,
                 .run = RunCommandOk,
                 .unpack = UnpackArchive},
                config) {}

  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override { return plugin_.Inventory(); }
  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override {
    return plugin_.Prepare(artifacts, operation);
  }
  absl::StatusOr<um::StartResult> Start(um::Operation& operation) override { return plugin_.Start(operation); }
  absl::Status Apply(um::Operation& operation) override { return plugin_.Apply(operation); }
  absl::StatusOr<um::RevertResult> Revert(um::Operation& operation) override { return plugin_.Revert(operation); }

 private:
  CurlHttpFetcher fetcher_;
  PayloadPlugin plugin_;
};

}  // namespace

absl::Status CheckPayloadConfig(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(Require("ums", config, {"node_id", "state_dir", "payload.components"}));
  std::set<std::string> ids;
  std::set<std::string> folders;
  for (const config::v1::PayloadComponent& component : config.payload().components()) {
    RETURN_IF_ERROR(Require("payload.components", component, {"component_id", "component_type", "folder"}));
    if (absl::StrContains(component.component_id(), '/')) {
      return absl::InvalidArgumentError(absl::StrCat("payload: component_id ", component.component_id(), " has a /"));
    }
    if (!ids.insert(component.component_id()).second || !folders.insert(component.folder()).second) {
      return absl::InvalidArgumentError(absl::StrCat("payload: component ", component.component_id(),
                                                     " or its folder is there twice; give each its own"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<um::Plugin>> MakePayloadPlugin(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(CheckPayloadConfig(config));
  RETURN_IF_ERROR(FileSystem::Real().MakeFolders(config.state_dir()));
  return std::make_unique<MachinePayloadPlugin>(config);
}

}  // namespace tandem::plugins
