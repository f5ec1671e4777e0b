#include "fleet/config.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/net/message_envelope.h"
#include "common/net/mqtt_client.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::fleet {
namespace {

void Default(std::string* field, const std::string& value) {
  if (field->empty()) *field = value;
}

void DefaultOrNone(std::string* field, const std::string& value) {
  if (*field == "none") {
    field->clear();
  } else if (field->empty()) {
    *field = value;
  }
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 ? name : "controller";
}

absl::Status Between(const ConfigLines& lines, const std::string& field, absl::Duration value, absl::Duration least,
                     absl::Duration most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(lines.Of(field), ": ", field, " is ", absl::FormatDuration(value),
                                                 "; it must be from ", absl::FormatDuration(least), " to ",
                                                 absl::FormatDuration(most)));
}

absl::Status Check(const config::v1::FleetConfig& config, const ConfigLines& lines) {
  const auto at = [&](const std::string& field, const absl::Status& status) {
    return Annotate(status, absl::StrCat(lines.Of(field), ": ", field));
  };
  RETURN_IF_ERROR(at("namespace", CheckTopicLevel(config.namespace_(), "namespace")));
  RETURN_IF_ERROR(at("broker.url", CheckBrokerUrl(config.broker().url())));
  if (!config.postgres().empty() && !config.postgres_file().empty()) {
    return at("postgres", absl::InvalidArgumentError("postgres and postgres_file name the database both; keep one"));
  }
  for (int i = 0; i < config.api().principals_size(); ++i) {
    const config::v1::FleetPrincipal& principal = config.api().principals(i);
    const std::string field = absl::StrCat("api.principals[", i, "]");
    if (principal.certificate_name().empty()) {
      return at(field, absl::InvalidArgumentError("certificate_name is missing"));
    }
    if (principal.role() == v1::ROLE_UNSPECIFIED) {
      return at(field, absl::InvalidArgumentError("role is missing: viewer, operator or release_manager"));
    }
  }
  RETURN_IF_ERROR(
      Between(lines, "heartbeat", absl::Seconds(config.heartbeat().seconds()), absl::Seconds(10), absl::Hours(24)));
  RETURN_IF_ERROR(Between(lines, "keep_events", absl::Seconds(config.keep_events().seconds()), absl::Hours(1),
                          absl::Hours(24 * 3650)));
  if (config.verification().has_offline_grace()) {
    RETURN_IF_ERROR(Between(lines, "verification.offline_grace",
                            absl::Seconds(config.verification().offline_grace().seconds()), absl::ZeroDuration(),
                            absl::Hours(24)));
  }
  return Between(lines, "assignment_lifetime", absl::Seconds(config.assignment_lifetime().seconds()), absl::Minutes(10),
                 absl::Hours(24 * 400));
}

}  // namespace

absl::StatusOr<config::v1::FleetConfig> LoadFleetConfig(const std::string& path, const FleetOverrides& overrides) {
  config::v1::FleetConfig config;
  ConfigLines lines;
  if (!path.empty()) RETURN_IF_ERROR(LoadYamlFile(path, config, &lines));
  if (!overrides.data.empty()) config.set_data(overrides.data);
  if (!overrides.name_space.empty()) config.set_namespace_(overrides.name_space);
  if (!overrides.broker.empty()) config.mutable_broker()->set_url(overrides.broker);
  if (overrides.open_registration) config.set_open_registration(true);
  if (config.data().empty()) {
    return absl::InvalidArgumentError("where to keep the fleet? Give --data DIR, or `data:` in a --config file");
  }
  Default(config.mutable_namespace_(), "fleet");
  Default(config.mutable_broker()->mutable_url(), "mqtt://localhost:1883");
  Default(config.mutable_broker()->mutable_group(), "tandem-fleet");
  if (!config.broker().has_read_retained()) config.mutable_broker()->set_read_retained(true);
  Default(config.mutable_assignment_key(), JoinPath(config.data(), "assignment.pem"));
  DefaultOrNone(config.mutable_api()->mutable_grpc(), "localhost:7443");
  DefaultOrNone(config.mutable_api()->mutable_http(), "localhost:7480");
  DefaultOrNone(config.mutable_api()->mutable_unix_socket(), JoinPath(config.data(), "fleet.sock"));
  if (!config.has_heartbeat()) config.mutable_heartbeat()->set_seconds(300);
  if (!config.has_assignment_lifetime()) config.mutable_assignment_lifetime()->set_seconds(int64_t{7} * 24 * 3600);
  if (!config.has_keep_events()) config.mutable_keep_events()->set_seconds(int64_t{90} * 24 * 3600);
  if (!config.verification().has_auto_rollback_on_verification_failure()) {
    config.mutable_verification()->set_auto_rollback_on_verification_failure(true);
  }
  Default(config.mutable_controller_id(), absl::StrCat(HostName(), "-", NewMessageId().substr(0, 8)));
  RETURN_IF_ERROR(Check(config, lines));
  return config;
}

}  // namespace tandem::fleet
