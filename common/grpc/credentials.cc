#include "common/grpc/credentials.h"

#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

namespace tandem {
namespace {

constexpr unsigned kReloadSeconds = 1;

absl::Status CheckFile(const std::string& path, const char* what) {
  if (path.empty()) return absl::InvalidArgumentError(absl::StrCat("tls.", what, " is missing; add a PEM file"));
  if (access(path.c_str(), R_OK) != 0) return ErrnoStatus(errno, absl::StrCat("tls.", what, " ", path));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::experimental::CertificateProviderInterface>> MakeProvider(
    const config::v1::Tls& tls) {
  RETURN_IF_ERROR(CheckFile(tls.ca(), "ca"));
  RETURN_IF_ERROR(CheckFile(tls.certificate(), "certificate"));
  RETURN_IF_ERROR(CheckFile(tls.key(), "key"));
  return std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(tls.key(), tls.certificate(), tls.ca(),
                                                                              kReloadSeconds);
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(const config::v1::Tls& tls) {
  ASSIGN_OR_RETURN(const auto provider, MakeProvider(tls));
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
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
