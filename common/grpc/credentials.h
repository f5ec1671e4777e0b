// gRPC credentials from PEM files, reloaded when the files change.
#ifndef TANDEM_COMMON_GRPC_CREDENTIALS_H_
#define TANDEM_COMMON_GRPC_CREDENTIALS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/security/auth_context.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "tandem/config/v1/tls.pb.h"

namespace tandem {

// Whether clients must show a certificate. One that is shown must be of the CA in either case.
enum class ClientCertificates { kRequired, kOptional };

// Mutual TLS: all three files are needed. INVALID_ARGUMENT or NOT_FOUND naming the file that is missing or cannot be
// used. Files that change to something that cannot be used are logged, and the last good ones stay.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const config::v1::Tls& tls, ClientCertificates clients = ClientCertificates::kRequired);
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const config::v1::Tls& tls);

// The names that the peer's certificate carries (common name and subject alternative names); empty without one.
std::vector<std::string> PeerNames(const grpc::AuthContext& context);

}  // namespace tandem

#endif  // TANDEM_COMMON_GRPC_CREDENTIALS_H_
