#include "common/net/tls_files.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem {
namespace {

constexpr std::chrono::seconds kReload(1);

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio Reader(const std::string& text) { return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free}; }

absl::StatusOr<std::string> ReadSetting(const std::string& path, const char* what) {
  if (path.empty()) return absl::InvalidArgumentError(absl::StrCat("tls.", what, " is missing; add a PEM file"));
  return Annotate(FileSystem::Real().ReadFile(path), absl::StrCat("tls.", what));
}

// The first of the file.
absl::StatusOr<Certificate> FirstCertificate(const std::string& text, const std::string& path, const char* what) {
  Certificate certificate(PEM_read_bio_X509(Reader(text).get(), nullptr, nullptr, nullptr), X509_free);
  if (certificate != nullptr) return certificate;
  return absl::InvalidArgumentError(absl::StrCat("tls.", what, ": ", path, " holds no certificate (PEM)"));
}

absl::Status CheckPair(const config::v1::Tls& tls, const std::string& certificate, const std::string& key) {
  ASSIGN_OR_RETURN(const Certificate own, FirstCertificate(certificate, tls.certificate(), "certificate"));
  const Key private_key(PEM_read_bio_PrivateKey(Reader(key).get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  if (private_key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("tls.key: ", tls.key(), " holds no private key (PEM)"));
  }
  if (X509_check_private_key(own.get(), private_key.get()) != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("tls.key: ", tls.key(), " is not the key of the certificate in ", tls.certificate()));
  }
  if (X509_cmp_current_time(X509_get0_notAfter(own.get())) < 0) {
    LogWarning("the certificate has expired; peers will refuse it", {{"file", tls.certificate()}});
  }
  return absl::OkStatus();
}

// A file in memory takes the place of what `fd` was; a reader sees the one or the other.
absl::Status Publish(const std::string& text, int& fd) {
  const int fresh = memfd_create("tls", MFD_CLOEXEC);
  if (fresh < 0) return ErrnoStatus(errno, "make a file in memory");
  const ssize_t written = write(fresh, text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) {
    close(fresh);
    return absl::ResourceExhaustedError("write a file in memory");
  }
  if (fd < 0) {
    fd = fresh;
    return absl::OkStatus();
  }
  const int replaced = dup3(fresh, fd, O_CLOEXEC);
  close(fresh);
  return replaced < 0 ? ErrnoStatus(errno, "replace a file in memory") : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<TlsFiles>> TlsFiles::Open(const config::v1::Tls& tls, Ca ca) {
  std::unique_ptr<TlsFiles> files(new TlsFiles(tls, ca));
  RETURN_IF_ERROR(files->Reload());
  return files;
}

TlsFiles::~TlsFiles() {
  for (const int fd : {ca_fd_, certificate_fd_, key_fd_}) {
    if (fd >= 0) close(fd);
  }
}

absl::Status TlsFiles::Reload() {
  std::string ca;
  if (has_ca_) {
    ASSIGN_OR_RETURN(ca, ReadSetting(tls_.ca(), "ca"));
  }
  ASSIGN_OR_RETURN(const std::string certificate, ReadSetting(tls_.certificate(), "certificate"));
  ASSIGN_OR_RETURN(const std::string key, ReadSetting(tls_.key(), "key"));
  const std::string seen = Sha256(ca) + Sha256(certificate) + Sha256(key);
  if (seen == seen_) return last_;
  last_ = has_ca_ ? FirstCertificate(ca, tls_.ca(), "ca").status() : absl::OkStatus();
  if (last_.ok()) last_ = CheckPair(tls_, certificate, key);
  if (last_.ok()) {
    if (has_ca_) RETURN_IF_ERROR(Publish(ca, ca_fd_));
    RETURN_IF_ERROR(Publish(key, key_fd_));
    RETURN_IF_ERROR(Publish(certificate, certificate_fd_));
    ++generation_;
  }
  seen_ = seen;
  return last_;
}

std::string TlsFiles::Path(int fd) { return fd < 0 ? "" : absl::StrCat("/proc/self/fd/", fd); }

absl::StatusOr<const TlsFiles*> WatchTlsFiles(const config::v1::Tls& tls) {
  static auto* mutex = new std::mutex;
  static auto* watched = new std::map<std::vector<std::string>, std::unique_ptr<TlsFiles>>;
  std::lock_guard lock(*mutex);
  std::unique_ptr<TlsFiles>& files = (*watched)[{tls.ca(), tls.certificate(), tls.key()}];
  if (files != nullptr) return files.get();
  absl::StatusOr<std::unique_ptr<TlsFiles>> opened = TlsFiles::Open(tls);
  if (!opened.ok()) return opened.status();
  files = *std::move(opened);
  std::thread([files = files.get()] {
    for (std::string said;;) {
      std::this_thread::sleep_for(kReload);
      const absl::Status status = files->Reload();
      const std::string error = status.ok() ? "" : ToPersonText(status);
      if (error != said && !error.empty()) {
        LogWarning("TLS files changed, but cannot be used; the last good ones stay", {{"error", error}});
      }
      said = error;
    }
  }).detach();
  return files.get();
}

}  // namespace tandem
