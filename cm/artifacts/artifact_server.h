// Serves artifacts over HTTP or HTTPS to UMs on other computers: whole or by Range, from the cache or from inside a
// bundle.
//
//   ASSIGN_OR_RETURN(auto server, ArtifactServer::Start(options));
//   const std::string token = server->Allow(update_id, {{sha256, {path, 0, size}}});
//   url = server->UrlOf(token, sha256);       // http://10.0.0.1:8081/a/<token>/<sha256 hex>
//   server->Revoke(update_id);
#ifndef TANDEM_CM_ARTIFACTS_ARTIFACT_SERVER_H_
#define TANDEM_CM_ARTIFACTS_ARTIFACT_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/artifacts/bundle.h"

namespace tandem::cm {

// What tokens are derived from.
inline constexpr size_t kArtifactTokenKeyBytes = 32;

struct ArtifactServerOptions {
  // host:port; port 0: any free one.
  std::string listen = "127.0.0.1:0";
  // PEM files, read again for each connection: renewed ones are used at once, and while they do not fit together those
  // of before. Empty: plain HTTP, which only listens on loopback.
  std::string certificate_file;
  std::string key_file;
  // Clients must show a certificate of this CA; empty: none needed beside the token.
  std::string ca_file;
  // How others reach it; default http(s)://<listen>.
  std::string public_url;
  // With port 0 in `listen`, tried first; 0: none.
  int preferred_port = 0;
  // kArtifactTokenKeyBytes: the same ones give the same tokens after a restart. Empty: random ones.
  std::string token_key;
};

// Lets UMs fetch artifacts. Thread-safe.
class ArtifactHost {
 public:
  // Ends all transfers.
  virtual ~ArtifactHost() = default;

  // Lets whoever has the returned token (the same for one update) fetch these artifacts, keyed by the 32 bytes of their
  // SHA-256. Adds to what the update was allowed before. A range without a path is one that is yet to come: answered
  // with 503, so that the client tries again. Nobody is answered at all before the first call: a client that knows its
  // token from before a restart is not turned away meanwhile.
  virtual std::string Allow(const std::string& update_id, const std::map<std::string, FileRange>& artifacts) = 0;

  // The token is worth nothing from now on.
  virtual void Revoke(const std::string& update_id) = 0;

  // The token is also taken as "Authorization: Bearer <token>" for /a/<sha256 hex>.
  virtual std::string UrlOf(const std::string& token, const std::string& sha256) const = 0;

  virtual int port() const = 0;
};

// Over HTTP or HTTPS. Threads of its own.
class ArtifactServer : public ArtifactHost {
 public:
  // INVALID_ARGUMENT: the options cannot work; without a look at the files they name.
  static absl::Status Check(const ArtifactServerOptions& options);
  // INVALID_ARGUMENT: the options cannot work, as TlsFiles::Open() for the files. UNAVAILABLE: cannot listen there.
  static absl::StatusOr<std::unique_ptr<ArtifactServer>> Start(const ArtifactServerOptions& options);
  ~ArtifactServer() override;

  ArtifactServer(const ArtifactServer&) = delete;
  ArtifactServer& operator=(const ArtifactServer&) = delete;

  std::string Allow(const std::string& update_id, const std::map<std::string, FileRange>& artifacts) override;
  void Revoke(const std::string& update_id) override;
  std::string UrlOf(const std::string& token, const std::string& sha256) const override;
  int port() const override;

 private:
  struct Impl;
  explicit ArtifactServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_ARTIFACTS_ARTIFACT_SERVER_H_
