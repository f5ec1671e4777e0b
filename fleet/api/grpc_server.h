// The fleet's API over gRPC.
//
//   ASSIGN_OR_RETURN(auto server, GrpcServer::Start(operations, authenticator, {.listen = "127.0.0.1:7443"}));
#ifndef TANDEM_FLEET_API_GRPC_SERVER_H_
#define TANDEM_FLEET_API_GRPC_SERVER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "fleet/api/authenticator.h"
#include "fleet/api/operations.h"
#include "tandem/config/v1/tls.pb.h"

namespace tandem::fleet {

// Largest request.
inline constexpr int kMaxRequestBytes = 16 << 20;

struct GrpcServerOptions {
  // host:port, port 0 for a free one; empty: none.
  std::string listen;
  // Its certificate and key, and the CA of client certificates; a client may also come without one, with a token.
  // Without TLS only addresses of this computer are listened on.
  std::optional<config::v1::Tls> tls;
  // Path; empty: none. Made with mode 0660.
  std::string unix_socket;
  // Calls at the same time; more are refused with RESOURCE_EXHAUSTED.
  int max_threads = 64;
};

class GrpcServer {
 public:
  // `operations` and `authenticator` must outlive it. INVALID_ARGUMENT: the address can be reached from elsewhere, and
  // there is no TLS. UNAVAILABLE: it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(Operations& operations, Authenticator& authenticator,
                                                           const GrpcServerOptions& options);
  // Calls that run get two seconds; call Operations::Stop() before.
  ~GrpcServer();

  // The TCP port in use, 0 without one.
  int port() const;

 private:
  struct Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_GRPC_SERVER_H_
