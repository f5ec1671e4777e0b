#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bootloader/core/mcuboot_image.h"
#include "common/config/yaml_config.h"
#include "common/net/curl_http_fetcher.h"
#include "common/net/host_port.h"
#include "common/status/status.h"
#include "um-plugins/mcu/mcu_plugin.h"
#include "um-plugins/mcu/transports.h"

namespace tandem::plugins {
namespace {

using Config = config::v1::McuPlugin;

constexpr uint32_t kDefaultBaud = 115200;

uint32_t Baud(const Config& mcu) { return mcu.serial().baud() == 0 ? kDefaultBaud : mcu.serial().baud(); }

absl::StatusOr<std::unique_ptr<smp::SmpTransport>> Open(const Config& mcu) {
  switch (mcu.device_case()) {
    case Config::kSerial:
      return smp::OpenSerial(mcu.serial().path(), Baud(mcu));
    case Config::kUnixSocket:
      return smp::OpenUnixSocket(mcu.unix_socket());
    case Config::kUdp:
      return smp::OpenUdp(mcu.udp());
    case Config::DEVICE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("mcu: it has no device");
}

// Keeps what a McuPlugin only refers to.
class MachineMcuPlugin : public um::Plugin {
 public:
  explicit MachineMcuPlugin(const config::v1::UmConfig& config)
      : plugin_({.fs = FileSystem::Real(),
                 .clock = Clock::Real(),
                 .fetcher = fetcher_,
                 .connect = [mcu = config.mcu()] { return Open(mcu); },
                 .run = RunCommandOk},
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

 private:
  CurlHttpFetcher fetcher_;
  McuPlugin plugin_;
};

absl::Status CheckDevice(const Config& mcu) {
  switch (mcu.device_case()) {
    case Config::kSerial:
      if (mcu.serial().path().empty())
        return absl::InvalidArgumentError("mcu: serial needs a path, such as /dev/ttyACM0");
      if (smp::IsBaud(Baud(mcu))) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat("mcu: baud ", Baud(mcu), " is no rate of a tty; take one such as 115200 or 1000000"));
    case Config::kUnixSocket:
      if (!mcu.unix_socket().empty()) return absl::OkStatus();
      return absl::InvalidArgumentError("mcu: unix_socket is empty; name the socket's path");
    case Config::kUdp: {
      ASSIGN_OR_RETURN(const HostPort where, Annotate(ParseHostPort(mcu.udp()), "mcu: udp"));
      if (where.port.value_or(0) != 0) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat("mcu: udp \"", mcu.udp(), "\" has no port; SMP's is 1337"));
    }
    case Config::DEVICE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("mcu: it has no device; add serial, unix_socket or udp");
}

absl::Status CheckDuration(bool is_set, const google::protobuf::Duration& value, const char* name) {
  if (!is_set || DurationOr(true, value, {}) > absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("mcu: ", name, " must be longer than 0s"));
}

}  // namespace

absl::Status CheckMcuConfig(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(Require("ums", config, {"node_id", "state_dir", "mcu.component_type"}));
  const Config& mcu = config.mcu();
  RETURN_IF_ERROR(CheckDevice(mcu));
  RETURN_IF_ERROR(CheckDuration(mcu.has_answer_timeout(), mcu.answer_timeout(), "answer_timeout"));
  RETURN_IF_ERROR(CheckDuration(mcu.has_erase_timeout(), mcu.erase_timeout(), "erase_timeout"));
  RETURN_IF_ERROR(CheckDuration(mcu.has_boot_timeout(), mcu.boot_timeout(), "boot_timeout"));
  if (mcu.hardware_id().size() > boot::kMaxHardwareIdSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("mcu: hardware_id is longer than the ", boot::kMaxHardwareIdSize, " bytes of its tag"));
  }
  // More would wear the flash of a device whose new image never comes up.
  if (mcu.test_attempts() > 100) return absl::InvalidArgumentError("mcu: test_attempts must be at most 100");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<um::Plugin>> MakeMcuPlugin(const config::v1::UmConfig& config) {
  RETURN_IF_ERROR(CheckMcuConfig(config));
  RETURN_IF_ERROR(FileSystem::Real().MakeFolders(config.state_dir()));
  return std::make_unique<MachineMcuPlugin>(config);
}

}  // namespace tandem::plugins
