#include "cm/config.h"

#include <cctype>
#include <set>

#include "absl/strings/str_cat.h"
#include "cm/health/gate_runner.h"
#include "cm/health/probe.h"
#include "cm/update/coordinator.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::cm {
namespace {

absl::Status CheckName(const std::string& file, const char* field, const std::string& name) {
  bool good = !name.empty() && name.size() <= 64;
  for (const unsigned char c : name) good = good && (std::isalnum(c) || c == '-' || c == '_' || c == '.');
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(file, ": \"", field, "\" is \"", name,
                                                 "\"; use 1 to 64 letters, digits, - _ . (it is part of MQTT topics)"));
}

absl::Status CheckTimes(const std::string& file, const config::v1::CmConfig& config) {
  const Limits limits = LimitsOf(config.budgets());
  const auto& health = config.health();
  const absl::Duration grace = LongestGrace({health.probes().begin(), health.probes().end()},
                                            DurationOr(health.has_grace(), health.grace(), absl::ZeroDuration()));
  if (grace >= limits.trial_deadline) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": the health gate needs ", absl::FormatDuration(grace),
                                                   " before it can pass, budgets.trial_deadline is ",
                                                   absl::FormatDuration(limits.trial_deadline),
                                                   "; raise the deadline or lower the grace"));
  }
  if (!config.watchdog().device().empty()) {
    const absl::Duration timeout =
        DurationOr(config.watchdog().has_timeout(), config.watchdog().timeout(), absl::Seconds(30));
    if (timeout < absl::Seconds(1)) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": watchdog.timeout is below 1s"));
    }
  }
  return absl::OkStatus();
}

absl::Status Check(const std::string& file, const config::v1::CmConfig& config) {
  RETURN_IF_ERROR(Require(file, config, {"unit_id", "namespace", "state_dir", "trust.key_set", "um_server", "nodes"}));
  RETURN_IF_ERROR(CheckName(file, "unit_id", config.unit_id()));
  RETURN_IF_ERROR(CheckName(file, "namespace", config.namespace_()));
  if (config.um_server().unix_socket().empty() && config.um_server().listen().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": um_server needs unix_socket, listen, or both"));
  }
  std::set<std::string> names;
  bool others = false;
  for (const config::v1::Node& node : config.nodes()) {
    if (node.node_id().empty()) return absl::InvalidArgumentError(absl::StrCat(file, ": a node has no node_id"));
    if (!names.insert(node.node_id()).second) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": node_id \"", node.node_id(), "\" stands twice in nodes"));
    }
    others = others || (!node.computer().empty() && node.computer() != kMainComputer);
  }
  if (others && config.um_server().listen().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": a node is on another computer, but um_server.listen is not set"));
  }
  if (others && config.artifacts().listen().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": a node is on another computer, but artifacts.listen is not set"));
  }
  RETURN_IF_ERROR(Annotate(CheckProbes({config.health().probes().begin(), config.health().probes().end()}),
                           absl::StrCat(file, ": health")));
  RETURN_IF_ERROR(Annotate(CheckProbes({config.preconditions().begin(), config.preconditions().end()}),
                           absl::StrCat(file, ": preconditions")));
  if (config.has_cloud()) RETURN_IF_ERROR(Require(file, config, {"cloud.mqtt.url"}));
  return CheckTimes(file, config);
}

}  // namespace

absl::StatusOr<config::v1::CmConfig> LoadCmConfig(const std::string& path) {
  config::v1::CmConfig config;
  RETURN_IF_ERROR(LoadYamlFile(path, config));
  RETURN_IF_ERROR(Check(path, config));
  if (config.local_api().unix_socket().empty()) {
    config.mutable_local_api()->set_unix_socket("/run/tandem/cm.sock");
  }
  if (config.boot_id_file().empty()) config.set_boot_id_file("/proc/sys/kernel/random/boot_id");
  return config;
}

}  // namespace tandem::cm
