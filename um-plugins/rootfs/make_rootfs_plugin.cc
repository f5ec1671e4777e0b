#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bootloader/boot_control/record_boot_control.h"
#include "common/config/yaml_config.h"
#include "common/net/curl_http_fetcher.h"
#include "common/process/run_command.h"
#include "common/status/status.h"
#include "um-plugins/rootfs/rootfs_plugin.h"

namespace tandem::plugins {
namespace {

// Keeps what a RootfsPlugin only refers to.
class MachineRootfsPlugin : public um::Plugin {
 public:
  explicit MachineRootfsPlugin(const config::v1::UmConfig& config)
      : boot_(FileSystem::Real(), config.rootfs().boot_record()),
        plugin_({.fs = FileSystem::Real(),
                 .clock = Clock::Real(),
                 .fetcher = fetcher_,
                 .boot = boot_,
                 .reboot = RebootFunction(config.rootfs()),
                 .check = CheckFunction(config.rootfs())},
                config) {}

  absl::StatusOr<std::vector<um::InstalledComponent>> Inventory() override { return plugin_.Inventory(); }
  absl::Status Prepare(const std::vector<um::Artifact>& artifacts, um::Operation& operation) override {
    return plugin_.Prepare(artifacts, operation);
  }
  absl::StatusOr<um::StartResult> Start(um::Operation& operation) override { return plugin_.Start(operation); }
  absl::StatusOr<um::RebootCheck> CheckAfterReboot(um::Operation& operation) override {
    return plugin_.CheckAfterReboot(operation);
  }
  absl::Status Apply(um::Operation& operation) override { return plugin_.Apply(operation); }
  absl::StatusOr<um::RevertResult> Revert(um::Operation& operation) override { return plugin_.Revert(operation); }
  absl::Status Seal() override { return plugin_.Seal(); }
  absl::Status Reboot() override { return plugin_.Reboot(); }
  bool SwitchesBoot() const override { return plugin_.SwitchesBoot(); }

 private:
  static std::function<absl::Status()> RebootFunction(const config::v1::RootfsPlugin& config) {
    Command command{.argv = {config.reboot_command().begin(), config.reboot_command().end()}};
    if (command.argv.empty()) command.argv = {"systemctl", "reboot"};
    return [command] {
      const absl::Status status = RunCommandOk(command);
      // Ended by a signal: the shutdown it asked for has reached it.
      return absl::IsAborted(status) ? absl::OkStatus() : status;
    };
  }
  static std::function<absl::Status()> CheckFunction(const config::v1::RootfsPlugin& config) {
    if (config.check_command().empty()) return nullptr;
    Command command{.argv = {config.check_command().begin(), config.check_command().end()}};
    command.timeout = DurationOr(config.has_check_timeout(), config.check_timeout(), absl::Seconds(60));
    return [command] { return RunCommandOk(command); };
  }

  CurlHttpFetcher fetcher_;
  boot::RecordBootControl boot_;
  RootfsPlugin plugin_;
};

}  // namespace

absl::Status CheckRootfsConfig(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(Require(
      "ums", config,
      {"node_id", "state_dir", "rootfs.component_type", "rootfs.slot_a", "rootfs.slot_b", "rootfs.boot_record"}));
  if (config.rootfs().slot_a() == config.rootfs().slot_b()) {
    return absl::InvalidArgumentError("rootfs: slot_a and slot_b are the same; give each slot its own device");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<um::Plugin>> MakeRootfsPlugin(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(CheckRootfsConfig(config));
  RETURN_IF_ERROR(FileSystem::Real().MakeFolders(config.state_dir()));
  return std::make_unique<MachineRootfsPlugin>(config);
}

}  // namespace tandem::plugins
