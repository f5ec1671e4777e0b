// A CA, a certificate and its key from PEM files, as a server or client that goes on for long may safely read them.
//
// Whoever replaces the files in place leaves them empty, or without their match, for a moment; gRPC, which reloads
// files by itself, even ends the process when it finds one empty. So these are copies in memory (memfd) that change
// only from one whole, matching set to the next.
#ifndef TANDEM_COMMON_NET_TLS_FILES_H_
#define TANDEM_COMMON_NET_TLS_FILES_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/config/v1/tls.pb.h"

namespace tandem {

// Not thread-safe.
class TlsFiles {
 public:
  enum class Ca { kNeeded, kOptional };

  // Reads and checks all three; a `ca` that is optional and not named stays empty. INVALID_ARGUMENT: one is not named,
  // holds no PEM, or the key is of another certificate; NOT_FOUND and PERMISSION_DENIED from the disk. The text names
  // the setting and the file.
  static absl::StatusOr<std::unique_ptr<TlsFiles>> Open(const config::v1::Tls& tls, Ca ca = Ca::kNeeded);
  ~TlsFiles();

  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  // Takes the files over when they changed and are whole; after an error the last good ones stay.
  absl::Status Reload();

  // Rises when files are taken over.
  int generation() const { return generation_; }

  // Paths of the copies (the CA's is empty without one), good for as long as this lives and in this process only.
  std::string ca_path() const { return Path(ca_fd_); }
  std::string certificate_path() const { return Path(certificate_fd_); }
  std::string key_path() const { return Path(key_fd_); }

 private:
  TlsFiles(config::v1::Tls tls, Ca ca) : tls_(std::move(tls)), has_ca_(ca == Ca::kNeeded || !tls_.ca().empty()) {}
  static std::string Path(int fd);

  const config::v1::Tls tls_;
  const bool has_ca_;
  int generation_ = 0;
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

#endif  // TANDEM_COMMON_NET_TLS_FILES_H_
