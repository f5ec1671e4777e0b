// What the fleet reads from X.509 certificates.
#ifndef TANDEM_FLEET_API_CERTIFICATE_H_
#define TANDEM_FLEET_API_CERTIFICATE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct x509_st;

namespace tandem::fleet {

// SHA-256 of the certificate's DER, lower-case hex. INVALID_ARGUMENT: no PEM certificate, more than one, or one of
// another common name than `unit_id`. Neither its signature nor its dates are looked at: the broker does that.
absl::StatusOr<std::string> FingerprintOfUnit(std::string_view pem, std::string_view unit_id);

// Common name, and the DNS names, URIs and e-mail addresses of the subject's alternative names. A name that holds a
// NUL is left out.
std::vector<std::string> CertificateNames(const x509_st* certificate);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_CERTIFICATE_H_
