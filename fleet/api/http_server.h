// The fleet's API as JSON over HTTP: what docs/fleet-api.md lists, `GET /v1/openapi.json`, `GET /v1/audit/export` (the
// whole audit log, oldest first, one JSON object a line), `GET /v1/events` (what has changed, as server-sent events),
// and for whoever asks `GET /healthz` and the page, `GET /`.
//
//   ASSIGN_OR_RETURN(auto server, HttpServer::Start(operations, authenticator, {.listen = "127.0.0.1:7080"}));
//
//   curl -H "Authorization: Bearer $(cat token)" http://127.0.0.1:7080/v1/units?filter=region%20%3D%3D%20%22eu%22
//
// Errors are {"error":{"code":"NOT_FOUND","message":"…"}}, with the HTTP status that fits.
#ifndef TANDEM_FLEET_API_HTTP_SERVER_H_
#define TANDEM_FLEET_API_HTTP_SERVER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "fleet/api/authenticator.h"
#include "fleet/api/operations.h"
#include "tandem/config/v1/tls.pb.h"

namespace tandem::fleet {

struct HttpServerOptions {
  // host:port, port 0 for a free one.
  std::string listen;
  // Its certificate and key, reloaded when they change; with a CA clients may come with a certificate instead of a
  // token. Without TLS only addresses of this computer are listened on: put a reverse proxy in front.
  std::optional<config::v1::Tls> tls;
  // Connections that are served at the same time beside event streams; others wait.
  int threads = 32;
};

class HttpServer {
 public:
  // `operations` and `authenticator` must outlive it. INVALID_ARGUMENT: the address can be reached from elsewhere, and
  // there is no TLS; or the files of TLS. UNAVAILABLE: it cannot be listened on.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(Operations& operations, Authenticator& authenticator,
                                                           const HttpServerOptions& options);
  // Waits for the calls that run; call Operations::Stop() before.
  ~HttpServer();

  int port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_API_HTTP_SERVER_H_
