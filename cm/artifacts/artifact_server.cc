#include "cm/artifacts/artifact_server.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/net/host_port.h"
#include "common/net/tls_files.h"
#include "common/net/tls_switch.h"
#include "common/status/status.h"
#include "httplib.h"

namespace tandem::cm {
namespace {

constexpr size_t kTokenBytes = 24;
constexpr size_t kPieceBytes = 256 << 10;
// An idle connection holds up the server's end for so long.
constexpr time_t kKeepAliveSeconds = 1;

std::string TokenOf(const std::string& key, const std::string& update_id) {
  std::string mac(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(update_id.data()),
       update_id.size(), reinterpret_cast<unsigned char*>(mac.data()), &size);
  return HexEncode(mac.substr(0, kTokenBytes));
}

bool IsEveryAddress(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

// host:port for a URL.
std::string Authority(const std::string& host, int port) {
  return absl::StrContains(host, ':') ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

// An open file for as long as a transfer runs.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool ok() const { return fd_ >= 0; }
  // One piece into `sink`.
  bool SendPiece(uint64_t offset, size_t size, httplib::DataSink& sink) const {
    std::string piece(std::min(size, kPieceBytes), '\0');
    const ssize_t got = pread(fd_, piece.data(), piece.size(), static_cast<off_t>(offset));
    return got > 0 && sink.write(piece.data(), static_cast<size_t>(got));
  }

 private:
  int fd_;
};

}  // namespace

struct ArtifactServer::Impl {
  // The server's connections use it.
  std::unique_ptr<TlsSwitch> tls_switch;
  std::unique_ptr<httplib::Server> server;
  std::thread listener;
  std::string base_url;
  std::string token_key;
  int port = 0;

  struct Allowed {
    std::string token;
    std::map<std::string, FileRange> artifacts;
  };
  std::mutex mutex;
  // By update.
  std::map<std::string, Allowed> updates;
  // Ends the transfers that run.
  std::atomic<bool> stopping = false;

  // nullopt when the token does not allow it.
  std::optional<FileRange> Find(const std::string& token, const std::string& digest) {
    std::lock_guard lock(mutex);
    for (const auto& [update, allowed] : updates) {
      if (allowed.token != token) continue;
      const auto found = allowed.artifacts.find(digest);
      if (found != allowed.artifacts.end()) return found->second;
    }
    return std::nullopt;
  }

  // The caller holds the lock.
  void Listen() {
    if (listener.joinable()) return;
    listener = std::thread([this] { server->listen_after_bind(); });
    // stop() before the listener runs would be forgotten.
    while (!server->is_running()) std::this_thread::yield();
  }

  void Answer(const std::string& token, const std::string& hex, httplib::Response& response) {
    const std::optional<FileRange> range = Find(token, absl::HexStringToBytes(hex));
    // One answer for a wrong token and an unknown artifact: neither is worth telling apart to a stranger.
    if (!range.has_value()) {
      response.status = 404;
      return;
    }
    if (range->path.empty()) {
      response.status = 503;
      return;
    }
    auto file = std::make_shared<OpenFile>(range->path);
    if (!file->ok()) {
      LogWarning("artifact cannot be read", {{"path", range->path}});
      response.status = 503;
      return;
    }
    response.set_content_provider(
        range->size, "application/octet-stream",
        [this, file, start = range->offset](size_t offset, size_t length, httplib::DataSink& sink) {
          return !stopping && file->SendPiece(start + offset, length, sink);
        });
  }
};

ArtifactServer::ArtifactServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ArtifactServer::~ArtifactServer() {
  impl_->stopping = true;
  // The library lets go of the port only when it listens.
  impl_->Listen();
  impl_->server->stop();
  impl_->listener.join();
}

absl::Status ArtifactServer::Check(const ArtifactServerOptions& options) {
  ASSIGN_OR_RETURN(const HostPort listen, ParseHostPort(options.listen));
  if (!listen.port.has_value()) return absl::InvalidArgumentError(absl::StrCat("\"", options.listen, "\" has no port"));
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("a TLS certificate and its key belong together; one of them is not set");
  }
  if (options.certificate_file.empty() && !IsLoopbackHost(listen.host)) {
    return absl::InvalidArgumentError(absl::StrCat(options.listen, " can be reached from other computers; add tls"));
  }
  if (options.public_url.empty() && IsEveryAddress(listen.host)) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.listen, " is no address that others can be told; add public_url"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ArtifactServer>> ArtifactServer::Start(const ArtifactServerOptions& options) {
  RETURN_IF_ERROR(Check(options));
  auto impl = std::make_unique<Impl>();
  const HostPort listen = *ParseHostPort(options.listen);
  const std::string& host = listen.host;
  const int port = *listen.port;
  const bool tls = !options.certificate_file.empty();
  if (tls) {
    config::v1::Tls files;
    files.set_certificate(options.certificate_file);
    files.set_key(options.key_file);
    files.set_ca(options.ca_file);
    ASSIGN_OR_RETURN(std::unique_ptr<TlsFiles> opened, TlsFiles::Open(files, TlsFiles::Ca::kOptional));
    auto server = std::make_unique<httplib::SSLServer>(options.certificate_file.c_str(), options.key_file.c_str(),
                                                       options.ca_file.empty() ? nullptr : options.ca_file.c_str());
    if (!server->is_valid()) {
      return absl::InvalidArgumentError(absl::StrCat("certificate ", options.certificate_file, " and key ",
                                                     options.key_file, " cannot be used together"));
    }
    impl->tls_switch = std::make_unique<TlsSwitch>(std::move(opened));
    SSL_CTX_set_client_hello_cb(server->ssl_context(), TlsSwitch::Choose, impl->tls_switch.get());
    impl->server = std::move(server);
  } else {
    impl->server = std::make_unique<httplib::Server>();
  }
  Impl* const state = impl.get();
  impl->server->set_tcp_nodelay(true);
  impl->server->set_keep_alive_timeout(kKeepAliveSeconds);
  // Without SO_REUSEPORT, the library's default, by which a second server would silently take half of the requests.
  impl->server->set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  impl->server->Get(R"(/a/([0-9a-f]{48})/([0-9a-f]{64}))",
                    [state](const httplib::Request& request, httplib::Response& response) {
                      state->Answer(request.matches[1], request.matches[2], response);
                    });
  impl->server->Get(R"(/a/([0-9a-f]{64}))", [state](const httplib::Request& request, httplib::Response& response) {
    const std::string header = request.get_header_value("Authorization");
    state->Answer(std::string(absl::StripPrefix(header, "Bearer ")), request.matches[1], response);
  });
  impl->token_key = options.token_key;
  if (impl->token_key.empty()) {
    impl->token_key.resize(kArtifactTokenKeyBytes);
    if (RAND_bytes(reinterpret_cast<unsigned char*>(impl->token_key.data()), kArtifactTokenKeyBytes) != 1) {
      return absl::InternalError("no random numbers");
    }
  }
  const auto bind_to = [&](int wanted) { return impl->server->bind_to_port(host.c_str(), wanted) ? wanted : -1; };
  impl->port = port != 0 ? bind_to(port) : options.preferred_port != 0 ? bind_to(options.preferred_port) : -1;
  if (port == 0 && impl->port <= 0) impl->port = impl->server->bind_to_any_port(host.c_str());
  if (impl->port <= 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen, "; is the port taken?"));
  }
  impl->base_url = options.public_url.empty() ? absl::StrCat(tls ? "https://" : "http://", Authority(host, impl->port))
                                              : std::string(absl::StripSuffix(options.public_url, "/"));
  return std::unique_ptr<ArtifactServer>(new ArtifactServer(std::move(impl)));
}

std::string ArtifactServer::Allow(const std::string& update_id, const std::map<std::string, FileRange>& artifacts) {
  std::lock_guard lock(impl_->mutex);
  Impl::Allowed& allowed = impl_->updates[update_id];
  allowed.token = TokenOf(impl_->token_key, update_id);
  for (const auto& [digest, range] : artifacts) allowed.artifacts[digest] = range;
  impl_->Listen();
  return allowed.token;
}

void ArtifactServer::Revoke(const std::string& update_id) {
  std::lock_guard lock(impl_->mutex);
  impl_->updates.erase(update_id);
}

std::string ArtifactServer::UrlOf(const std::string& token, const std::string& sha256) const {
  return absl::StrCat(impl_->base_url, "/a/", token, "/", HexEncode(sha256));
}

int ArtifactServer::port() const { return impl_->port; }

}  // namespace tandem::cm
