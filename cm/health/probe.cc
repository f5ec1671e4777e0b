#include "cm/health/probe.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cm/health/command_probes.h"
#include "cm/health/local_probes.h"
#include "cm/health/network_probes.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

absl::Status Missing(const char* field) { return absl::InvalidArgumentError(absl::StrCat(field, " is missing")); }

absl::Status CheckDurations(const release::v1::Probe& probe) {
  const std::pair<const char*, const google::protobuf::Duration*> fields[] = {
      {"grace", probe.has_grace() ? &probe.grace() : nullptr},
      {"interval", probe.has_interval() ? &probe.interval() : nullptr},
      {"timeout", probe.has_timeout() ? &probe.timeout() : nullptr},
  };
  for (const auto& [name, value] : fields) {
    if (value == nullptr) continue;
    if (value->seconds() < 0 || value->nanos() < 0) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is negative"));
    }
  }
  if (probe.has_timeout() && probe.timeout().seconds() == 0 && probe.timeout().nanos() == 0) {
    return absl::InvalidArgumentError("timeout is 0: the probe could never pass");
  }
  return absl::OkStatus();
}

// They become parts of environment variables.
absl::Status CheckParameters(const google::protobuf::Map<std::string, std::string>& parameters) {
  for (const auto& [name, value] : parameters) {
    const bool good =
        !name.empty() && std::ranges::all_of(name, [](unsigned char c) { return absl::ascii_isalnum(c) || c == '_'; });
    if (!good) {
      return absl::InvalidArgumentError(absl::StrCat("parameter \"", name, "\": a name is of a-z A-Z 0-9 _"));
    }
    if (value.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("parameter \"", name, "\" holds a zero byte"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckThresholdOrder(const release::v1::Threshold& threshold, const char* field) {
  if (!threshold.has_min() || !threshold.has_max() || threshold.min() <= threshold.max()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": min ", threshold.min(), " is above max ", threshold.max(), "; nothing could pass"));
}

absl::Status CheckExec(const release::v1::ExecProbe& exec) {
  if (exec.command().empty()) return Missing("exec.command");
  if (!exec.measurement().empty() && !exec.has_threshold()) return Missing("exec.threshold, for the measurement,");
  RETURN_IF_ERROR(CheckThresholdOrder(exec.threshold(), "exec.threshold"));
  return CheckParameters(exec.parameters());
}

absl::Status CheckReplay(const release::v1::ReplayProbe& replay) {
  if (replay.command().empty()) return Missing("replay.command");
  if (replay.sample().empty()) return Missing("replay.sample");
  if (replay.golden_file().empty() == replay.golden_text().empty()) {
    return absl::InvalidArgumentError("replay needs either golden_file or golden_text");
  }
  if (!(replay.tolerance() >= 0)) return absl::InvalidArgumentError("replay.tolerance is negative");
  RETURN_IF_ERROR(CheckThresholdOrder(replay.latency_ms(), "replay.latency_ms"));
  return CheckParameters(replay.parameters());
}

absl::Status CheckKind(const release::v1::Probe& probe) {
  switch (probe.kind_case()) {
    case release::v1::Probe::kExec:
      return CheckExec(probe.exec());
    case release::v1::Probe::kReplay:
      return CheckReplay(probe.replay());
    case release::v1::Probe::kService:
      if (probe.service().unit().empty()) return Missing("service.unit");
      if (probe.service().unit()[0] == '-') return absl::InvalidArgumentError("service.unit begins with -");
      return absl::OkStatus();
    case release::v1::Probe::kDevice:
      return probe.device().path().empty() ? Missing("device.path") : absl::OkStatus();
    case release::v1::Probe::kHttp:
      if (!absl::StartsWith(probe.http().url(), "http://") && !absl::StartsWith(probe.http().url(), "https://")) {
        return absl::InvalidArgumentError("http.url must begin with http:// or https://");
      }
      return absl::OkStatus();
    case release::v1::Probe::kTcp:
      if (probe.tcp().host().empty()) return Missing("tcp.host");
      if (probe.tcp().port() < 1 || probe.tcp().port() > 65535) {
        return absl::InvalidArgumentError("tcp.port must be 1 to 65535");
      }
      return absl::OkStatus();
    case release::v1::Probe::kWatchdog:
    case release::v1::Probe::kVersion:
      if (probe.has_version() && probe.version().component_type().empty()) return Missing("version.component_type");
      return absl::OkStatus();
    case release::v1::Probe::kFileAge:
      if (probe.file_age().path().empty()) return Missing("file_age.path");
      return probe.file_age().has_max_age() ? absl::OkStatus() : Missing("file_age.max_age");
    case release::v1::Probe::kFreeDisk:
      if (probe.free_disk().path().empty()) return Missing("free_disk.path");
      if (probe.free_disk().min_bytes() == 0 && probe.free_disk().min_percent() <= 0) {
        return Missing("free_disk.min_bytes or min_percent");
      }
      return absl::OkStatus();
    case release::v1::Probe::kMemory:
      return probe.memory().min_available_bytes() == 0 ? Missing("memory.min_available_bytes") : absl::OkStatus();
    case release::v1::Probe::kTemperature:
      return probe.temperature().path().empty() ? Missing("temperature.path") : absl::OkStatus();
    case release::v1::Probe::KIND_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "it says not what to check; give one of exec, http, tcp, watchdog, file_age, free_disk, memory, temperature, "
      "version, service, device, replay");
}

absl::Status CheckProbe(const release::v1::Probe& probe) {
  if (probe.name().empty()) return absl::InvalidArgumentError("a probe without a name");
  const std::string where = absl::StrCat("probe \"", probe.name(), "\"");
  RETURN_IF_ERROR(Annotate(CheckDurations(probe), where));
  return Annotate(CheckKind(probe), where);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Probe>> MakeProbe(const release::v1::Probe& config, const ProbeContext& context) {
  RETURN_IF_ERROR(CheckProbe(config));
  switch (config.kind_case()) {
    case release::v1::Probe::kExec:
      return MakeExecProbe(config.exec(), context.run_command);
    case release::v1::Probe::kReplay:
      return MakeReplayProbe(config.replay(), context.run_command, *context.clock);
    case release::v1::Probe::kService:
      return MakeServiceProbe(config.service(), context.systemctl);
    case release::v1::Probe::kDevice:
      return MakeDeviceProbe(config.device());
    case release::v1::Probe::kHttp:
      return MakeHttpProbe(config.http());
    case release::v1::Probe::kTcp:
      return MakeTcpProbe(config.tcp());
    case release::v1::Probe::kWatchdog:
      if (!context.watchdog) {
        return absl::InvalidArgumentError(
            absl::StrCat("probe \"", config.name(), "\": this unit has no watchdog configured"));
      }
      return MakeWatchdogProbe(context.watchdog);
    case release::v1::Probe::kFileAge:
      return MakeFileAgeProbe(config.file_age(), *context.clock);
    case release::v1::Probe::kFreeDisk:
      return MakeFreeDiskProbe(config.free_disk());
    case release::v1::Probe::kMemory:
      return MakeMemoryProbe(config.memory(), context.meminfo_file);
    case release::v1::Probe::kTemperature:
      return MakeTemperatureProbe(config.temperature());
    case release::v1::Probe::kVersion:
      if (!context.components) {
        return absl::InvalidArgumentError(absl::StrCat("probe \"", config.name(), "\": versions are not known here"));
      }
      return MakeVersionProbe(config.version(), context.components);
    case release::v1::Probe::KIND_NOT_SET:
      break;
  }
  return absl::InternalError(absl::StrCat("probe \"", config.name(), "\" has a kind that was not checked"));
}

absl::Status CheckProbes(const std::vector<release::v1::Probe>& probes) {
  std::set<std::string> names;
  for (const release::v1::Probe& probe : probes) {
    RETURN_IF_ERROR(CheckProbe(probe));
    if (!names.insert(probe.name()).second) {
      return absl::InvalidArgumentError(absl::StrCat("two probes are named \"", probe.name(), "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::cm
