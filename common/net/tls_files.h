// A CA, a certificate and its key from PEM files, as gRPC may safely read them.
//
// gRPC reloads the files by itself, but ends the process when it finds one empty, which is what it sees while somebody
// replaces a file in place. So it is given copies in memory (memfd) that change only from one whole, matching set to
// the next.
#ifndef TANDEM_COMMON_GRPC_TLS_FILES_H_
#define TANDEM_COMMON_GRPC_TLS_FILES_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/config/v1/tls.pb.h"

namespace tandem {

// Not thread-safe.
class TlsFiles {
 public:
  // Reads and checks all three. INVALID_ARGUMENT: one is not named, holds no PEM, or the key is of another certificate;
  // NOT_FOUND and PERMISSION_DENIED from the disk. The text names the setting and the file.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(const config::v1::Tls& tls);
  ~TlsFiles();

  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  // Takes the files over when they changed and are whole; after an error the last good ones stay.
  absl::Status Reload();

  // Paths of the copies, good for as long as this lives and in this process only.
  std::string ca_path() const { return Path(ca_fd_); }
  std::string certificate_path() const { return Path(certificate_fd_); }
  std::string key_path() const { return Path(key_fd_); }

 private:
  explicit TlsFiles(config::v1::Tls tls) : tls_(std::move(tls)) {}
  static std::string Path(int fd);

  const config::v1::Tls tls_;
  // Contents of the last look, good or not: the same again is not looked at twice.
  std::string seen_;
  absl::Status last_;
  int ca_fd_ = -1;
  int certificate_fd_ = -1;
  int key_fd_ = -1;
};

// The copies of these files, reloaded once a second. They live as long as the process, one set for each three paths:
// gRPC does not tell when it stops reading.
absl::StatusOr<const TlsFiles*> WatchTlsFiles(const config::v1::Tls& tls);

}  // namespace tandem

#endif  // TANDEM_COMMON_GRPC_TLS_FILES_H_
