#include "fleet/service.h"

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/keys.h"
#include "common/log/log.h"
#include "common/process/shutdown.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "fleet/api/authenticator.h"
#include "fleet/api/grpc_server.h"
#include "fleet/api/http_server.h"
#include "fleet/api/operations.h"
#include "fleet/api/tokens.h"
#include "fleet/controller/controller.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/fleet_time.h"
#include "fleet/controller/orders.h"
#include "fleet/controller/registry.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/controller/unit_operations.h"
#include "fleet/controller/verification.h"
#include "fleet/messaging/mqtt_unit_link.h"
#include "fleet/store/access_table.h"
#include "fleet/store/postgres_database.h"
#include "fleet/store/sqlite_database.h"
#include "fleet/store/store.h"

namespace tandem::fleet {
namespace {

constexpr uint64_t kMaxSecretFile = 4096;
constexpr char kAdminTokenFile[] = "admin.token";

absl::StatusOr<std::string> FirstLine(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().ReadFile(path, kMaxSecretFile));
  return std::string(absl::StripAsciiWhitespace(text.substr(0, text.find('\n'))));
}

absl::StatusOr<std::unique_ptr<SqlDatabase>> OpenDatabase(const config::v1::FleetConfig& config) {
  std::string url = config.postgres();
  if (!config.postgres_file().empty()) {
    ASSIGN_OR_RETURN(url, Annotate(FirstLine(config.postgres_file()), "postgres_file"));
  }
  return url.empty() ? OpenSqlite(config.data()) : OpenPostgres(url);
}

// Made at the first start when the configuration names none of its own.
absl::StatusOr<PrivateKey> AssignmentKey(const config::v1::FleetConfig& config) {
  const std::string& path = config.assignment_key();
  absl::StatusOr<PrivateKey> key = LoadSigningKey(path);
  if (!absl::IsNotFound(key.status()) || path != JoinPath(config.data(), "assignment.pem")) {
    return Annotate(std::move(key), "assignment_key");
  }
  ASSIGN_OR_RETURN(PrivateKey made, PrivateKey::Generate(KeyAlgorithm::kEd25519));
  RETURN_IF_ERROR(SavePrivateKey(made, path));
  LogInfo("a new assignment key; units trust it once it is in their key set", {{"path", path}});
  return made;
}

// With an empty store nobody could come in.
absl::Status MakeFirstToken(Store& store, const std::string& data, int64_t now) {
  const std::string path = JoinPath(data, kAdminTokenFile);
  std::string secret;
  const absl::Status made = store.Write("make the first token", [&](StoreTransaction& tx) -> absl::Status {
    secret.clear();
    ASSIGN_OR_RETURN(const std::vector<TokenRow> tokens, TokenTable(tx).List());
    if (!tokens.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(MadeToken token,
                     MakeToken(tx, "admin", v1::RELEASE_MANAGER, kMaxTokenLifetime, "tandem-fleet", now));
    secret = std::move(token.secret);
    // Before the commit: a token whose secret nobody has would keep everybody out.
    RETURN_IF_ERROR(FileSystem::Real().Remove(path));
    return SaveSecret(secret + "\n", path);
  });
  RETURN_IF_ERROR(made);
  if (!secret.empty()) LogInfo("the first token, of a release manager, is in a file", {{"path", path}});
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<MqttUnitLink>> MakeLink(const config::v1::FleetConfig& config) {
  const config::v1::FleetBroker& broker = config.broker();
  MqttUnitLinkOptions options{.name_space = config.namespace_(), .group = broker.group()};
  options.read_retained = broker.read_retained();
  options.mqtt.url = broker.url();
  options.mqtt.ca_file = broker.tls().ca();
  options.mqtt.certificate_file = broker.tls().certificate();
  options.mqtt.key_file = broker.tls().key();
  options.mqtt.username = broker.username();
  if (!broker.password_file().empty()) {
    ASSIGN_OR_RETURN(options.mqtt.password, Annotate(FirstLine(broker.password_file()), "broker.password_file"));
  }
  return Annotate(MqttUnitLink::Create(std::move(options)), "broker");
}

AuthenticatorOptions AuthenticatorOptionsFrom(const config::v1::FleetConfig& config) {
  AuthenticatorOptions options;
  for (const config::v1::FleetPrincipal& principal : config.api().principals()) {
    options.principals.push_back({.certificate_name = principal.certificate_name(), .role = principal.role()});
  }
  return options;
}

std::optional<config::v1::Tls> TlsOf(const config::v1::FleetApi& api) {
  return api.has_tls() ? std::make_optional(api.tls()) : std::nullopt;
}

}  // namespace

absl::Status RunFleet(const config::v1::FleetConfig& config) {
  RETURN_IF_ERROR(FileSystem::Real().MakeFolders(config.data()));
  // Before the first thread: it decides what a signal does to all of them.
  std::promise<void> stop;
  const ShutdownSignals signals([&stop] { stop.set_value(); });

  FleetTime time(Clock::Real());
  ASSIGN_OR_RETURN(std::unique_ptr<SqlDatabase> database, OpenDatabase(config));
  ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, Store::Open(std::move(database)));
  RETURN_IF_ERROR(MakeFirstToken(*store, config.data(), time.Now()));
  ASSIGN_OR_RETURN(PrivateKey key, AssignmentKey(config));
  Documents documents(config.namespace_(), std::move(key));
  Orders orders(documents, {.lifetime = absl::Seconds(config.assignment_lifetime().seconds())});
  Registry registry(orders);
  Verification verification(documents, {.auto_rollback = config.verification().auto_rollback_on_verification_failure(),
                                        .offline_grace = absl::Seconds(config.verification().offline_grace().seconds()),
                                        .keep_runs = absl::Seconds(config.keep_events().seconds())});
  RolloutOperations rollouts(documents, verification);
  UnitOperations units(documents, orders, verification);
  ASSIGN_OR_RETURN(const std::unique_ptr<MqttUnitLink> link, MakeLink(config));

  ControllerOptions options;
  options.controller_id = config.controller_id();
  options.publisher.controller_id = config.controller_id();
  options.intake.open_registration = config.open_registration();
  options.intake.keep_events = absl::Seconds(config.keep_events().seconds());
  options.stale_after = 3 * absl::Seconds(config.heartbeat().seconds());
  Controller controller({.store = *store,
                         .documents = documents,
                         .registry = registry,
                         .orders = orders,
                         .verification = verification,
                         .units = units,
                         .link = *link,
                         .time = time},
                        options);

  Authenticator authenticator(*store, time, AuthenticatorOptionsFrom(config));
  Operations operations({.store = *store,
                         .documents = documents,
                         .registry = registry,
                         .rollouts = rollouts,
                         .units = units,
                         .time = time,
                         .broker = [&link] {
                           const UnitLinkState state = link->state();
                           v1::BrokerState view;
                           view.set_connected(state.connected);
                           view.set_endpoint(state.endpoint);
                           view.set_error(state.error);
                           return view;
                         }});
  ASSIGN_OR_RETURN(std::unique_ptr<GrpcServer> grpc, GrpcServer::Start(operations, authenticator,
                                                                       {.listen = config.api().grpc(),
                                                                        .tls = TlsOf(config.api()),
                                                                        .unix_socket = config.api().unix_socket()}));
  std::unique_ptr<HttpServer> http;
  if (!config.api().http().empty()) {
    ASSIGN_OR_RETURN(http, HttpServer::Start(operations, authenticator,
                                             {.listen = config.api().http(), .tls = TlsOf(config.api())}));
  }
  RETURN_IF_ERROR(controller.Start());
  LogInfo("the fleet is served", {{"namespace", config.namespace_()},
                                  {"store", store->about()},
                                  {"broker", config.broker().url()},
                                  {"grpc_port", absl::StrCat(grpc->port())},
                                  {"http_port", absl::StrCat(http == nullptr ? 0 : http->port())}});
  stop.get_future().wait();
  operations.Stop();
  http = nullptr;
  grpc = nullptr;
  controller.Stop();
  return absl::OkStatus();
}

}  // namespace tandem::fleet
