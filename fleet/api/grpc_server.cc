#include "fleet/api/grpc_server.h"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/grpc/credentials.h"
#include "common/net/grpc_status.h"
#include "common/net/host_port.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "fleet/api/methods.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "tandem/fleet/v1/fleet.grpc.pb.h"

namespace tandem::fleet {
namespace {

using grpc::ServerContext;

// "ipv4:10.0.0.7:4711" -> "10.0.0.7"; percent-encoded brackets of IPv6 are left as they are.
std::string AddressOf(const std::string& peer) {
  const size_t begin = peer.find(':') + 1;
  const size_t end = peer.rfind(':');
  return end > begin ? peer.substr(begin, end - begin) : peer;
}

Credentials CredentialsOf(const ServerContext& context) {
  Credentials credentials{.certificate_names = PeerNames(*context.auth_context())};
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto it = begin; it != end; ++it) credentials.authorization.emplace_back(it->second.data(), it->second.size());
  const std::string peer = context.peer();
  credentials.is_unix_socket = absl::StartsWith(peer, "unix:");
  credentials.peer = credentials.is_unix_socket ? "unix" : AddressOf(peer);
  return credentials;
}

class Service : public v1::Fleet::Service {
 public:
  Service(Operations& operations, Authenticator& authenticator)
      : operations_(operations), authenticator_(authenticator) {}

#define TANDEM_FLEET_METHOD(Name, Request, Response)                                                       \
  grpc::Status Name(ServerContext* context, const v1::Request* request, v1::Response* response) override { \
    return Answer<v1::Request, v1::Response>(#Name, &Operations::Name, *context, *request, *response);     \
  }
  TANDEM_FLEET_METHOD(GetFleet, GetFleetRequest, FleetOverview)
  TANDEM_FLEET_METHOD(RegisterUnits, RegisterUnitsRequest, RegisterUnitsResponse)
  TANDEM_FLEET_METHOD(ListUnits, ListUnitsRequest, ListUnitsResponse)
  TANDEM_FLEET_METHOD(GetUnit, GetUnitRequest, UnitDetail)
  TANDEM_FLEET_METHOD(RevokeUnit, RevokeUnitRequest, Unit)
  TANDEM_FLEET_METHOD(HoldUnit, HoldUnitRequest, Unit)
  TANDEM_FLEET_METHOD(RollBackUnit, RollBackUnitRequest, Unit)
  TANDEM_FLEET_METHOD(ImportRelease, ImportReleaseRequest, Release)
  TANDEM_FLEET_METHOD(ListReleases, ListReleasesRequest, ListReleasesResponse)
  TANDEM_FLEET_METHOD(GetRelease, GetReleaseRequest, Release)
  TANDEM_FLEET_METHOD(FreezeRelease, FreezeReleaseRequest, Release)
  TANDEM_FLEET_METHOD(ImportReleaseList, ImportDocumentRequest, Keys)
  TANDEM_FLEET_METHOD(ImportKeySets, ImportDocumentRequest, Keys)
  TANDEM_FLEET_METHOD(GetKeys, GetKeysRequest, Keys)
  TANDEM_FLEET_METHOD(PlanRollout, PlanRolloutRequest, RolloutPlan)
  TANDEM_FLEET_METHOD(CreateRollout, CreateRolloutRequest, Rollout)
  TANDEM_FLEET_METHOD(ListRollouts, ListRolloutsRequest, ListRolloutsResponse)
  TANDEM_FLEET_METHOD(GetRollout, GetRolloutRequest, Rollout)
  TANDEM_FLEET_METHOD(WatchRollout, WatchRolloutRequest, Rollout)
  TANDEM_FLEET_METHOD(ChangeRollout, ChangeRolloutRequest, Rollout)
  TANDEM_FLEET_METHOD(ListAttempts, ListAttemptsRequest, ListAttemptsResponse)
  TANDEM_FLEET_METHOD(GetVerification, GetVerificationRequest, Verification)
  TANDEM_FLEET_METHOD(RunDiagnostics, RunDiagnosticsRequest, RunDiagnosticsResponse)
  TANDEM_FLEET_METHOD(GetGuards, GetGuardsRequest, Guards)
  TANDEM_FLEET_METHOD(SetAutoRollback, SetAutoRollbackRequest, Guards)
  TANDEM_FLEET_METHOD(CreateStop, CreateStopRequest, Stop)
  TANDEM_FLEET_METHOD(ListStops, ListStopsRequest, ListStopsResponse)
  TANDEM_FLEET_METHOD(LiftStop, LiftStopRequest, Stop)
  TANDEM_FLEET_METHOD(ListAudit, ListAuditRequest, ListAuditResponse)
  TANDEM_FLEET_METHOD(WhoAmI, WhoAmIRequest, Principal)
  TANDEM_FLEET_METHOD(CreateToken, CreateTokenRequest, CreateTokenResponse)
  TANDEM_FLEET_METHOD(ListTokens, ListTokensRequest, ListTokensResponse)
  TANDEM_FLEET_METHOD(RevokeToken, RevokeTokenRequest, Token)
#undef TANDEM_FLEET_METHOD

 private:
  template <typename Request, typename Response>
  grpc::Status Answer(const char* name, Operation<Request, Response> operation, const ServerContext& context,
                      const Request& request, Response& response) {
    const absl::StatusOr<Caller> caller = authenticator_.Authenticate(CredentialsOf(context));
    if (!caller.ok()) return ToGrpc(caller.status());
    absl::StatusOr<Response> result = RunMethod(operations_, *caller, *FindRoute(name), operation, request);
    if (!result.ok()) return ToGrpc(result.status());
    response = *std::move(result);
    return grpc::Status::OK;
  }

  Operations& operations_;
  Authenticator& authenticator_;
};

absl::Status CheckListen(const GrpcServerOptions& options) {
  ASSIGN_OR_RETURN(const HostPort listen, ParseHostPort(options.listen));
  if (!listen.port.has_value()) return absl::InvalidArgumentError(absl::StrCat("\"", options.listen, "\" has no port"));
  if (options.tls.has_value() || IsLoopbackHost(listen.host)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(options.listen, " can be reached from other computers; add tls, for tokens travel on it"));
}

}  // namespace

struct GrpcServer::Impl {
  std::unique_ptr<Service> service;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcServer::~GrpcServer() { impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2)); }

int GrpcServer::port() const { return impl_->port; }

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(Operations& operations, Authenticator& authenticator,
                                                              const GrpcServerOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->service = std::make_unique<Service>(operations, authenticator);
  grpc::ServerBuilder builder;
  if (!options.unix_socket.empty()) {
    RETURN_IF_ERROR(FileSystem::Real().MakeSharedFolders(ParentFolder(options.unix_socket)));
    builder.AddListeningPort(absl::StrCat("unix:", options.unix_socket), grpc::InsecureServerCredentials());
  }
  if (!options.listen.empty()) {
    RETURN_IF_ERROR(CheckListen(options));
    std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
    if (options.tls.has_value()) {
      ASSIGN_OR_RETURN(credentials, MakeServerCredentials(*options.tls, ClientCertificates::kOptional));
    }
    builder.AddListeningPort(options.listen, credentials, &impl->port);
  }
  grpc::ResourceQuota quota("fleet api");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterService(impl->service.get());
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || (!options.listen.empty() && impl->port == 0)) {
    return absl::UnavailableError(absl::StrCat("cannot listen for gRPC on ", options.listen, " ", options.unix_socket,
                                               "; is another controller running, or the port taken?"));
  }
  if (!options.unix_socket.empty() && chmod(options.unix_socket.c_str(), 0660) != 0) {
    return ErrnoStatus(errno, options.unix_socket);
  }
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

}  // namespace tandem::fleet
