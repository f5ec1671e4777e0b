#include "cm/config.h"

#include <google/protobuf/descriptor.h>

#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cm/health/gate_runner.h"
#include "cm/health/probe.h"
#include "cm/update/coordinator.h"
#include "cm/update/delivery.h"
#include "common/config/yaml_config.h"
#include "common/crypto/key_set.h"
#include "common/net/host_port.h"
#include "common/net/mqtt_client.h"
#include "common/net/tls_files.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::cm {
namespace {

absl::Status Wrong(const ConfigLines& lines, const std::string& key, const std::string& text) {
  return absl::InvalidArgumentError(absl::StrCat(lines.Of(key), ": ", text));
}

bool IsName(const std::string& name) {
  bool good = !name.empty() && name.size() <= 64;
  for (const unsigned char c : name) good = good && (std::isalnum(c) || c == '-' || c == '_' || c == '.');
  return good;
}

absl::Status CheckName(const ConfigLines& lines, const char* field, const std::string& name) {
  if (IsName(name)) return absl::OkStatus();
  return Wrong(lines, field,
               absl::StrCat("\"", field, "\" is \"", name,
                            "\"; use 1 to 64 letters, digits, - _ . (it is part of MQTT topics)"));
}

absl::Status CheckAttributes(const ConfigLines& lines, const config::v1::CmConfig& config) {
  constexpr int kMaxAttributes = 32;
  constexpr size_t kMaxValue = 256;
  if (config.attributes_size() > kMaxAttributes) {
    return Wrong(lines, "attributes", absl::StrCat("attributes has more than ", kMaxAttributes, " entries"));
  }
  for (const auto& [name, value] : config.attributes()) {
    const std::string key = absl::StrCat("attributes.", name);
    if (!IsName(name)) {
      return Wrong(lines, key, absl::StrCat("attribute \"", name, "\": use 1 to 64 letters, digits, - _ ."));
    }
    if (value.size() > kMaxValue) {
      return Wrong(lines, key, absl::StrCat(key, " has more than ", kMaxValue, " bytes"));
    }
  }
  return absl::OkStatus();
}

// A budget of nothing would be no limit, or none that anybody can keep.
absl::Status CheckBudgets(const ConfigLines& lines, const config::v1::Budgets& budgets) {
  const google::protobuf::Descriptor& type = *budgets.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const google::protobuf::FieldDescriptor* const field = type.field(i);
    if (field->message_type() != google::protobuf::Duration::descriptor()) continue;
    const google::protobuf::Reflection& reflection = *budgets.GetReflection();
    if (!reflection.HasField(budgets, field)) continue;
    const auto& value = static_cast<const google::protobuf::Duration&>(reflection.GetMessage(budgets, field));
    if (DurationOr(true, value, {}) > absl::ZeroDuration()) continue;
    const std::string key = absl::StrCat("budgets.", field->name());
    return Wrong(lines, key, absl::StrCat(key, " must be more than 0s; leave it out for the default"));
  }
  return absl::OkStatus();
}

absl::Status CheckTimes(const ConfigLines& lines, const config::v1::CmConfig& config) {
  RETURN_IF_ERROR(CheckBudgets(lines, config.budgets()));
  if (config.um_server().has_keepalive() &&
      DurationOr(true, config.um_server().keepalive(), {}) <= absl::ZeroDuration()) {
    return Wrong(lines, "um_server.keepalive", "um_server.keepalive must be more than 0s");
  }
  const Limits limits = LimitsOf(config.budgets());
  const auto& health = config.health();
  const std::vector<release::v1::Probe> probes(health.probes().begin(), health.probes().end());
  const absl::Duration of_unit = DurationOr(health.has_grace(), health.grace(), absl::ZeroDuration());
  const absl::Duration needed = TimeToPass(probes, of_unit);
  if (needed >= limits.trial_deadline) {
    return Wrong(
        lines, "health",
        absl::StrCat("the health gate needs ", absl::FormatDuration(needed),
                     " before it can pass, budgets.trial_deadline is ", absl::FormatDuration(limits.trial_deadline),
                     "; raise the deadline, or lower grace, interval, successes_needed or timeout"));
  }
  if (config.watchdog().device().empty()) return absl::OkStatus();
  const absl::Duration timeout =
      DurationOr(config.watchdog().has_timeout(), config.watchdog().timeout(), absl::Seconds(30));
  if (timeout < absl::Seconds(1)) return Wrong(lines, "watchdog.timeout", "watchdog.timeout is below 1s");
  const absl::Duration grace = LongestGrace(probes, of_unit);
  if (timeout < grace) {
    return Wrong(lines, "watchdog",
                 absl::StrCat("watchdog.timeout is ", absl::FormatDuration(timeout),
                              ", shorter than the health gate's grace of ", absl::FormatDuration(grace),
                              "; raise the timeout or lower the grace"));
  }
  return absl::OkStatus();
}

absl::Status CheckNodes(const ConfigLines& lines, const config::v1::CmConfig& config) {
  std::set<std::string> names;
  bool others = false;
  for (int i = 0; i < config.nodes_size(); ++i) {
    const config::v1::Node& node = config.nodes(i);
    const std::string key = absl::StrCat("nodes[", i, "]");
    if (node.node_id().empty()) return Wrong(lines, key, "a node has no node_id");
    if (!names.insert(node.node_id()).second) {
      return Wrong(lines, key, absl::StrCat("node_id \"", node.node_id(), "\" stands twice in nodes"));
    }
    for (int j = 0; j < node.components_size(); ++j) {
      if (!node.components(j).component_type().empty()) continue;
      return Wrong(lines, absl::StrCat(key, ".components[", j, "]"), "a component has no component_type");
    }
    others = others || (!node.computer().empty() && node.computer() != kMainComputer);
  }
  if (others && config.um_server().listen().empty()) {
    return Wrong(lines, "nodes", "a node is on another computer, but um_server.listen is not set");
  }
  if (others && config.artifacts().listen().empty()) {
    return Wrong(lines, "nodes", "a node is on another computer, but artifacts.listen is not set");
  }
  return absl::OkStatus();
}

absl::Status CheckUmServer(const ConfigLines& lines, const config::v1::UmServer& server) {
  if (server.unix_socket().empty() && server.listen().empty()) {
    return Wrong(lines, "um_server", "um_server needs unix_socket, listen, or both");
  }
  if (server.listen().empty()) return absl::OkStatus();
  const absl::StatusOr<HostPort> listen = ParseHostPort(server.listen());
  if (!listen.ok() || !listen->port.has_value()) {
    return Wrong(lines, "um_server.listen",
                 absl::StrCat("um_server.listen is \"", server.listen(), "\", not host:port"));
  }
  const config::v1::Tls& tls = server.tls();
  if (tls.ca().empty() || tls.certificate().empty() || tls.key().empty()) {
    return Wrong(lines, "um_server.listen",
                 "um_server.listen needs um_server.tls with ca, certificate and key: UMs of other computers prove who "
                 "they are");
  }
  return absl::OkStatus();
}

absl::Status CheckArtifacts(const ConfigLines& lines, const config::v1::Artifacts& artifacts) {
  const std::string& url = artifacts.public_url();
  if (!url.empty() && !absl::StartsWith(url, "http://") && !absl::StartsWith(url, "https://")) {
    return Wrong(lines, "artifacts.public_url", "artifacts.public_url must begin with http:// or https://");
  }
  return Annotate(ArtifactServer::Check(ArtifactServerOptionsFrom(artifacts)),
                  absl::StrCat(lines.Of("artifacts.listen"), ": artifacts.listen"));
}

absl::Status CheckCloud(const ConfigLines& lines, const config::v1::Mqtt& mqtt) {
  RETURN_IF_ERROR(Annotate(CheckBrokerUrl(mqtt.url()), absl::StrCat(lines.Of("cloud.mqtt.url"), ": cloud.mqtt.url")));
  if (mqtt.tls().certificate().empty() != mqtt.tls().key().empty()) {
    return Wrong(lines, "cloud.mqtt.tls", "cloud.mqtt.tls needs certificate and key, or none of both");
  }
  if (mqtt.has_keepalive() && DurationOr(true, mqtt.keepalive(), {}) < absl::Seconds(1)) {
    return Wrong(lines, "cloud.mqtt.keepalive", "cloud.mqtt.keepalive is below 1s");
  }
  if (mqtt.has_heartbeat() && DurationOr(true, mqtt.heartbeat(), {}) < absl::Seconds(10)) {
    return Wrong(lines, "cloud.mqtt.heartbeat", "cloud.mqtt.heartbeat is below 10s");
  }
  return absl::OkStatus();
}

// What is so small, or so large, that no diagnostic could run, or that the limit were none.
absl::Status CheckDiagnostics(const ConfigLines& lines, const config::v1::Diagnostics& diagnostics) {
  struct Bounds {
    const char* name;
    uint64_t value;
    uint64_t least;
    uint64_t most;
  };
  for (const Bounds& it : {Bounds{"memory_limit_bytes", diagnostics.memory_limit_bytes(), 1 << 20, uint64_t{1} << 50},
                           Bounds{"process_limit", diagnostics.process_limit(), 2, 4'194'304},
                           Bounds{"disk_limit_bytes", diagnostics.disk_limit_bytes(), 4096, uint64_t{1} << 50},
                           Bounds{"output_limit_bytes", diagnostics.output_limit_bytes(), 1024, 64 << 20},
                           Bounds{"concurrent", diagnostics.concurrent(), 1, 64}}) {
    if (it.value == 0 || (it.value >= it.least && it.value <= it.most)) continue;
    const std::string key = absl::StrCat("diagnostics.", it.name);
    return Wrong(lines, key,
                 absl::StrCat(key, " is ", it.value, "; it must be from ", it.least, " to ", it.most,
                              ", or left out for the default"));
  }
  return absl::OkStatus();
}

absl::Status CheckStability(const ConfigLines& lines, const config::v1::CmConfig& config) {
  const config::v1::Stability& stability = config.stability();
  const absl::Duration interval = DurationOr(stability.has_interval(), stability.interval(), absl::Minutes(1));
  if (interval != absl::ZeroDuration() && interval < absl::Seconds(1)) {
    return Wrong(lines, "stability.interval", "stability.interval is below 1s; 0s switches the probes off");
  }
  const config::v1::SafeMode& safe = config.safe_mode();
  if (DurationOr(safe.has_lasting(), safe.lasting(), absl::Minutes(5)) < absl::Seconds(1)) {
    return Wrong(lines, "safe_mode.lasting", "safe_mode.lasting is below 1s");
  }
  if (safe.failed_starts() == 1) {
    return Wrong(lines, "safe_mode.failed_starts",
                 "safe_mode.failed_starts is 1: a single power cut would do; use 2 or more");
  }
  if (!safe.flag_file().empty() && safe.flag_file()[0] != '/') {
    return Wrong(lines, "safe_mode.flag_file", "safe_mode.flag_file must be an absolute path");
  }
  return absl::OkStatus();
}

absl::Status CheckLog(const ConfigLines& lines, const config::v1::Log& log) {
  // As InitLog() takes them.
  static const auto& levels = *new std::set<std::string>{"", "debug", "info", "warning", "error"};
  if (levels.contains(log.level())) return absl::OkStatus();
  return Wrong(lines, "log.level",
               absl::StrCat("log.level is \"", log.level(), "\"; use debug, info, warning or error"));
}

absl::Status Check(const std::string& file, const ConfigLines& lines, const config::v1::CmConfig& config) {
  RETURN_IF_ERROR(Require(file, config, {"unit_id", "namespace", "state_dir", "trust.key_set", "um_server", "nodes"}));
  RETURN_IF_ERROR(CheckName(lines, "unit_id", config.unit_id()));
  RETURN_IF_ERROR(CheckName(lines, "namespace", config.namespace_()));
  RETURN_IF_ERROR(CheckAttributes(lines, config));
  RETURN_IF_ERROR(CheckUmServer(lines, config.um_server()));
  RETURN_IF_ERROR(CheckNodes(lines, config));
  RETURN_IF_ERROR(CheckArtifacts(lines, config.artifacts()));
  RETURN_IF_ERROR(Annotate(CheckProbes({config.health().probes().begin(), config.health().probes().end()}),
                           absl::StrCat(lines.Of("health.probes"), ": health")));
  RETURN_IF_ERROR(Annotate(CheckProbes({config.preconditions().begin(), config.preconditions().end()}),
                           absl::StrCat(lines.Of("preconditions"), ": preconditions")));
  RETURN_IF_ERROR(Annotate(CheckProbes({config.conditions().begin(), config.conditions().end()}),
                           absl::StrCat(lines.Of("conditions"), ": conditions")));
  if (config.has_cloud()) {
    RETURN_IF_ERROR(Require(file, config, {"cloud.mqtt.url"}));
    RETURN_IF_ERROR(CheckCloud(lines, config.cloud().mqtt()));
  }
  RETURN_IF_ERROR(CheckLog(lines, config.log()));
  RETURN_IF_ERROR(CheckDiagnostics(lines, config.diagnostics()));
  RETURN_IF_ERROR(CheckStability(lines, config));
  return CheckTimes(lines, config);
}

// Whatever of them is named.
absl::Status CheckTlsFiles(const config::v1::Tls& tls) {
  if (!tls.certificate().empty() && !tls.key().empty()) return TlsFiles::Open(tls, TlsFiles::Ca::kOptional).status();
  for (const std::string& file : {tls.ca(), tls.certificate(), tls.key()}) {
    if (file.empty()) continue;
    ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().ReadFile(file));
    if (!absl::StrContains(text, "-----BEGIN ")) return absl::InvalidArgumentError(absl::StrCat(file, " holds no PEM"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFiles(const config::v1::CmConfig& config, const ConfigLines& lines) {
  const auto at = [&](const std::string& key) { return absl::StrCat(lines.Of(key), ": ", key); };
  ASSIGN_OR_RETURN(const std::string key_set,
                   Annotate(FileSystem::Real().ReadFile(config.trust().key_set()), at("trust.key_set")));
  RETURN_IF_ERROR(Annotate(TrustedKeys::FromFirst(key_set, config.namespace_()).status(), at("trust.key_set")));
  RETURN_IF_ERROR(Annotate(CheckTlsFiles(config.um_server().tls()), at("um_server.tls")));
  RETURN_IF_ERROR(Annotate(CheckTlsFiles(config.cloud().mqtt().tls()), at("cloud.mqtt.tls")));
  RETURN_IF_ERROR(Annotate(CheckTlsFiles(config.artifacts().tls()), at("artifacts.tls")));
  RETURN_IF_ERROR(Annotate(CheckTlsFiles(config.artifacts().client_tls()), at("artifacts.client_tls")));
  if (!config.cloud().mqtt().password_file().empty()) {
    RETURN_IF_ERROR(Annotate(FileSystem::Real().ReadFile(config.cloud().mqtt().password_file()).status(),
                             at("cloud.mqtt.password_file")));
  }
  return absl::OkStatus();
}

absl::StatusOr<config::v1::CmConfig> LoadCmConfig(const std::string& path, ConfigLines* lines) {
  config::v1::CmConfig config;
  ConfigLines own;
  if (lines == nullptr) lines = &own;
  RETURN_IF_ERROR(LoadYamlFile(path, config, lines));
  RETURN_IF_ERROR(Check(path, *lines, config));
  if (config.local_api().unix_socket().empty()) {
    config.mutable_local_api()->set_unix_socket("/run/tandem/cm.sock");
  }
  if (config.safe_mode().flag_file().empty()) config.mutable_safe_mode()->set_flag_file("/run/tandem/safe-mode");
  if (config.boot_id_file().empty()) config.set_boot_id_file("/proc/sys/kernel/random/boot_id");
  return config;
}

}  // namespace tandem::cm
