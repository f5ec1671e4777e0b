// TLS certificates for tests: a CA, a server for localhost and 127.0.0.1, and clients.
#ifndef TANDEM_TESTS_SUPPORT_CERTIFICATES_H_
#define TANDEM_TESTS_SUPPORT_CERTIFICATES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

// Removes its folder at the end.
class TestCertificates {
 public:
  static absl::StatusOr<TestCertificates> Make();
  ~TestCertificates();
  TestCertificates(TestCertificates&& other) noexcept;
  TestCertificates& operator=(TestCertificates&&) = delete;

  std::string ca() const { return folder_ + "/ca.pem"; }
  CertificateFiles server() const { return {folder_ + "/server.pem", folder_ + "/server.key"}; }
  // A client certificate with this common name.
  absl::StatusOr<CertificateFiles> Client(const std::string& name) const;

 private:
  explicit TestCertificates(std::string folder) : folder_(std::move(folder)) {}
  absl::Status Issue(const std::string& file, const std::string& name, const std::string& extensions) const;

  std::string folder_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_CERTIFICATES_H_
