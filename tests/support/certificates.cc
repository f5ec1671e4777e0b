#include "tests/support/certificates.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "common/process/run_command.h"
#include "common/status/status.h"

namespace tandem {
namespace {

absl::Status OpenSsl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "openssl");
  return RunCommandOk({.argv = std::move(arguments)});
}

}  // namespace

absl::StatusOr<TestCertificates> TestCertificates::Make() {
  std::string folder = (std::filesystem::temp_directory_path() / "certificates_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return ErrnoStatus(errno, "make a folder for certificates");
  TestCertificates result(folder);
  RETURN_IF_ERROR(OpenSsl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                           "3650", "-subj", "/CN=Tandem test CA", "-keyout", folder + "/ca.key", "-out", result.ca()}));
  RETURN_IF_ERROR(result.Issue("server", "localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n"));
  return result;
}

TestCertificates::TestCertificates(TestCertificates&& other) noexcept : folder_(std::exchange(other.folder_, "")) {}

TestCertificates::~TestCertificates() {
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

absl::Status TestCertificates::Issue(const std::string& file, const std::string& name,
                                     const std::string& extensions) const {
  const std::string base = folder_ + "/" + file;
  std::ofstream(base + ".ext") << extensions;
  RETURN_IF_ERROR(OpenSsl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                           "/CN=" + name, "-keyout", base + ".key", "-out", base + ".csr"}));
  return OpenSsl({"x509", "-req", "-in", base + ".csr", "-CA", ca(), "-CAkey", folder_ + "/ca.key", "-CAcreateserial",
                  "-days", "3650", "-extfile", base + ".ext", "-out", base + ".pem"});
}

absl::StatusOr<CertificateFiles> TestCertificates::Client(const std::string& name) const {
  RETURN_IF_ERROR(Issue("client-" + name, name, "subjectAltName=DNS:" + name + "\n"));
  return CertificateFiles{folder_ + "/client-" + name + ".pem", folder_ + "/client-" + name + ".key"};
}

}  // namespace tandem
