#include "common/grpc/credentials.h"

#include "common/net/tls_files.h"
#include "common/status/status.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace tandem {
namespace {

constexpr unsigned kReloadSeconds = 1;

absl::StatusOr<std::shared_ptr<grpc::experimental::CertificateProviderInterface>> MakeProvider(
    const config::v1::Tls& tls) {
  ASSIGN_OR_RETURN(const TlsFiles* files, WatchTlsFiles(tls));
  return std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      files->key_path(), files->certificate_path(), files->ca_path(), kReloadSeconds);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const config::v1::Tls& tls,
                                                                               ClientCertificates clients) {
  ASSIGN_OR_RETURN(const auto provider, MakeProvider(tls));
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(clients == ClientCertificates::kRequired
                                    ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                    : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(const config::v1::Tls& tls) {
  ASSIGN_OR_RETURN(const auto provider, MakeProvider(tls));
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(provider);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

std::vector<std::string> PeerNames(const grpc::AuthContext& context) {
  std::vector<std::string> names;
  for (const char* property : {"x509_common_name", "x509_subject_alternative_name"}) {
    for (const grpc::string_ref& value : context.FindPropertyValues(property)) {
      names.emplace_back(value.data(), value.size());
    }
  }
  return names;
}

}  // namespace tandem
