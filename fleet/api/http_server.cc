#include "fleet/api/http_server.h"

#include <openssl/ssl.h>

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/net/host_port.h"
#include "common/net/tls_files.h"
#include "common/net/tls_switch.h"
#include "common/status/status.h"
#include "fleet/api/certificate.h"
#include "fleet/api/event_stream.h"
#include "fleet/api/http_request.h"
#include "fleet/api/methods.h"
#include "fleet/api/openapi.h"
#include "fleet/web/web_files.h"
#include "httplib.h"

namespace tandem::fleet {
namespace {

constexpr size_t kMaxBodyBytes = 16 << 20;
// One request for each connection: whatever a request leaves unread, such as a body where none belongs, is never taken
// for another one, which a proxy in front may have sent for somebody else.
constexpr size_t kRequestsPerConnection = 1;
constexpr time_t kReadSeconds = 10;
constexpr char kJson[] = "application/json";
// Any path, line feeds too.
constexpr char kEverything[] = R"([\s\S]*)";
constexpr int kExportPage = 1000;
constexpr int kTooLarge = 413;
constexpr absl::Duration kKeepAliveEvery = absl::Seconds(15);

void Answer(const absl::Status& status, httplib::Response& response) {
  response.status = HttpStatusOf(status.code());
  if (absl::IsUnauthenticated(status)) response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(ErrorJson(status), kJson);
}

Credentials CredentialsOf(const httplib::Request& request) {
  Credentials credentials{.peer = request.remote_addr};
  const auto [begin, end] = request.headers.equal_range("Authorization");
  for (auto it = begin; it != end; ++it) credentials.authorization.push_back(it->second);
  if (request.ssl != nullptr && SSL_get_verify_result(request.ssl) == X509_V_OK) {
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(request.ssl), X509_free);
    if (certificate != nullptr) credentials.certificate_names = CertificateNames(certificate.get());
  }
  return credentials;
}

// What the library refused on its own, before any handler.
absl::Status OwnRefusal(int status) {
  if (status == kTooLarge) {
    return absl::InvalidArgumentError(absl::StrCat("the body is larger than ", kMaxBodyBytes >> 20, " MiB"));
  }
  return absl::InvalidArgumentError("this is no HTTP request that can be read");
}

// A file of the page, for anybody. False: it is none.
bool AnswerPage(const httplib::Request& request, httplib::Response& response) {
  const WebFile* file = request.method == "GET" || request.method == "HEAD" ? FindWebFile(request.path) : nullptr;
  if (file == nullptr) return false;
  response.set_header("Cache-Control", file->immutable ? "public, max-age=31536000, immutable" : "no-cache");
  response.set_header("ETag", std::string(file->etag));
  response.set_header("Vary", "Accept-Encoding");
  response.set_header("Content-Security-Policy", std::string(kPageSecurityPolicy));
  response.set_header("Cross-Origin-Opener-Policy", "same-origin");
  response.set_header("Referrer-Policy", "no-referrer");
  if (request.get_header_value("If-None-Match") == file->etag) {
    response.status = 304;
    return true;
  }
  if (!absl::StrContains(request.get_header_value("Accept-Encoding"), "gzip")) {
    response.status = 406;
    response.set_content("This is a page for browsers, compressed with gzip: curl --compressed\n", "text/plain");
    return true;
  }
  response.set_header("Content-Encoding", "gzip");
  // Piece by piece: a text as a whole the library would compress once more.
  response.set_content_provider(file->gzip.size(), std::string(file->content_type),
                                [file](size_t offset, size_t length, httplib::DataSink& sink) {
                                  return sink.write(file->gzip.data() + offset, length);
                                });
  return true;
}

}  // namespace

struct HttpServer::Impl {
  Impl(Operations& api_operations, Authenticator& api_authenticator)
      : operations(api_operations), authenticator(api_authenticator) {}

  Operations& operations;
  Authenticator& authenticator;
  // The server's connections use it.
  std::unique_ptr<TlsSwitch> tls_switch;
  std::unique_ptr<httplib::Server> server;
  std::thread listener;
  std::atomic<bool> stopping = false;
  int port = 0;

  // `reader`: of the body; null where there is none.
  void Handle(const httplib::Request& request, httplib::Response& response, const httplib::ContentReader* reader);
  absl::Status Serve(const httplib::Request& request, const Caller& caller, const httplib::ContentReader* reader,
                     httplib::Response& response);
  absl::StatusOr<std::string> ReadBody(const httplib::Request& request, const httplib::ContentReader& reader);
  absl::Status Export(const Caller& caller, httplib::Response& response);
  absl::Status Events(const httplib::Request& request, const Caller& caller, httplib::Response& response);
  void AddHandlers();
};

void HttpServer::Impl::Handle(const httplib::Request& request, httplib::Response& response,
                              const httplib::ContentReader* reader) {
  response.set_header("X-Content-Type-Options", "nosniff");
  if (AnswerPage(request, response)) return;
  if (request.path == "/favicon.ico") {
    // Browsers ask for it by themselves, without a token: that is no failed login.
    response.status = 404;
    response.set_content("the page has its own\n", "text/plain");
    return;
  }
  response.set_header("Cache-Control", "no-store");
  if (request.method == "GET" && request.target == "/healthz") {
    response.set_content("ok\n", "text/plain");
    return;
  }
  const absl::StatusOr<Caller> caller = authenticator.Authenticate(CredentialsOf(request));
  bool body_was_read = false;
  absl::Status status = caller.status();
  if (status.ok()) {
    std::optional<httplib::ContentReader> noting;
    if (reader != nullptr) {
      noting.emplace(
          [&](httplib::ContentReceiver receiver) {
            body_was_read = true;
            return (*reader)(std::move(receiver));
          },
          [](httplib::MultipartContentHeader, httplib::ContentReceiver) { return false; });
    }
    status = Serve(request, *caller, noting.has_value() ? &*noting : nullptr, response);
  }
  // Else the connection is reset, and the answer may be lost with it.
  if (reader != nullptr && !body_was_read && !request.is_multipart_form_data()) {
    (*reader)([](const char*, size_t) { return true; });
  }
  // The library sets it while the body is read.
  const bool too_large = response.status == kTooLarge;
  if (status.ok()) return;
  Answer(too_large ? OwnRefusal(kTooLarge) : status, response);
  if (too_large) response.status = kTooLarge;
}

absl::Status HttpServer::Impl::Serve(const httplib::Request& request, const Caller& caller,
                                     const httplib::ContentReader* reader, httplib::Response& response) {
  if (request.method == "GET" && request.target == "/v1/openapi.json") {
    response.set_content(OpenApiDocument(), kJson);
    return absl::OkStatus();
  }
  if (request.method == "GET" && request.target == "/v1/audit/export") return Export(caller, response);
  if (request.method == "GET" && request.path == "/v1/events") return Events(request, caller, response);
  ASSIGN_OR_RETURN(const RoutedRequest routed, RouteRequest(request.method, request.target));
  // Before a body is read for somebody who may not send it.
  RETURN_IF_ERROR(Authorize(caller, *routed.route));
  std::string body;
  if (reader != nullptr) {
    ASSIGN_OR_RETURN(body, ReadBody(request, *reader));
  }
  const Method& method = *FindMethod(routed.route->method);
  const std::unique_ptr<google::protobuf::Message> message = method.make_request();
  RETURN_IF_ERROR(FillRequest(routed, body, *message));
  ASSIGN_OR_RETURN(const auto answer, method.run(operations, caller, *message));
  response.set_content(ToJson(*answer) + "\n", kJson);
  return absl::OkStatus();
}

absl::StatusOr<std::string> HttpServer::Impl::ReadBody(const httplib::Request& request,
                                                       const httplib::ContentReader& reader) {
  const std::string type = request.get_header_value("Content-Type");
  // Forms of foreign web pages are none; a browser asks before it sends this type.
  if (!absl::StartsWithIgnoreCase(type, kJson)) {
    return absl::InvalidArgumentError("send the body as \"Content-Type: application/json\"");
  }
  std::string body;
  const bool whole = reader([&](const char* data, size_t size) {
    if (body.size() + size > kMaxBodyBytes) return false;
    body.append(data, size);
    return true;
  });
  if (whole) return body;
  return absl::InvalidArgumentError(absl::StrCat("the body is cut off, or larger than ", kMaxBodyBytes >> 20, " MiB"));
}

absl::Status HttpServer::Impl::Export(const Caller& caller, httplib::Response& response) {
  const Route& route = *FindRoute("ListAudit");
  RETURN_IF_ERROR(Authorize(caller, route));
  auto request = std::make_shared<v1::ListAuditRequest>();
  request->set_oldest_first(true);
  request->set_page_size(kExportPage);
  response.set_chunked_content_provider(
      "application/x-ndjson", [this, caller, &route, request](size_t /*offset*/, httplib::DataSink& sink) {
        const absl::StatusOr<v1::ListAuditResponse> page =
            stopping ? absl::UnavailableError("the controller ends")
                     : RunMethod(operations, caller, route, &Operations::ListAudit, *request);
        if (!page.ok()) {
          // Whoever reads sees that it is cut off: the last chunk is missing.
          LogWarning("export of the audit log broke off", {{"error", ToPersonText(page.status())}});
          return false;
        }
        std::string lines;
        for (const v1::AuditEntry& entry : page->entries()) absl::StrAppend(&lines, ToJson(entry), "\n");
        if (!lines.empty() && !sink.write(lines.data(), lines.size())) return false;
        request->set_page_token(page->next_page_token());
        if (page->next_page_token().empty()) sink.done();
        return true;
      });
  return absl::OkStatus();
}

absl::Status HttpServer::Impl::Events(const httplib::Request& request, const Caller& caller,
                                      httplib::Response& response) {
  RETURN_IF_ERROR(Authorize(caller, *FindRoute("GetFleet")));
  ASSIGN_OR_RETURN(const Watched watched, ParseWatch(request.get_param_value("watch")));
  struct Stream {
    std::unique_ptr<EventFeed::Subscription> subscription;
    Credentials credentials;
    bool greeted = false;
    absl::Time checked = absl::Now();
  };
  auto stream = std::make_shared<Stream>();
  stream->credentials = CredentialsOf(request);
  ASSIGN_OR_RETURN(stream->subscription, operations.events().Subscribe(watched));
  // Proxies that collect what they pass on would keep it to themselves.
  response.set_header("X-Accel-Buffering", "no");
  response.set_chunked_content_provider(
      "text/event-stream", [this, stream](size_t /*offset*/, httplib::DataSink& sink) {
        std::string text;
        if (!stream->greeted) {
          text = HelloEvent(absl::Now());
          stream->greeted = true;
        } else {
          const auto changed = stream->subscription->Next(kKeepAliveEvery);
          if (stopping || !changed.has_value()) {
            sink.done();
            return true;
          }
          text = changed->empty() ? KeepAlive() : ChangeEvent(*changed);
        }
        // Who was let in once may be out by now.
        if (absl::Now() - stream->checked >= kKeepAliveEvery) {
          stream->checked = absl::Now();
          const absl::Status still = authenticator.Authenticate(stream->credentials).status();
          if (absl::IsUnauthenticated(still)) {
            text = EndEvent(std::string(still.message()));
            if (sink.write(text.data(), text.size())) sink.done();
            return true;
          }
        }
        return sink.write(text.data(), text.size());
      });
  return absl::OkStatus();
}

void HttpServer::Impl::AddHandlers() {
  const auto without_body = [this](const httplib::Request& request, httplib::Response& response) {
    Handle(request, response, nullptr);
  };
  const auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                                const httplib::ContentReader& reader) { Handle(request, response, &reader); };
  server->Get(kEverything, without_body);
  server->Options(kEverything, without_body);
  server->Post(kEverything, with_body);
  server->Put(kEverything, with_body);
  server->Patch(kEverything, with_body);
  server->Delete(kEverything, with_body);
  server->set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    const int status = response.status;
    Answer(OwnRefusal(status), response);
    response.status = status == 404 ? 400 : status;
  });
  server->set_exception_handler([](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
    Answer(absl::InternalError("the controller failed at this request; its log has more"), response);
  });
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  impl_->stopping = true;
  impl_->server->stop();
  impl_->listener.join();
}

int HttpServer::port() const { return impl_->port; }

namespace {

absl::StatusOr<std::unique_ptr<httplib::Server>> MakeTlsServer(const config::v1::Tls& tls,
                                                               std::unique_ptr<TlsSwitch>& tls_switch) {
  ASSIGN_OR_RETURN(std::unique_ptr<TlsFiles> files, TlsFiles::Open(tls, TlsFiles::Ca::kOptional));
  auto server = std::make_unique<httplib::SSLServer>(tls.certificate().c_str(), tls.key().c_str(),
                                                     tls.ca().empty() ? nullptr : tls.ca().c_str());
  if (!server->is_valid()) {
    return absl::InvalidArgumentError(
        absl::StrCat("certificate ", tls.certificate(), " and key ", tls.key(), " cannot be used together"));
  }
  // A certificate is welcome; without one there must be a token.
  SSL_CTX_set_verify(server->ssl_context(), tls.ca().empty() ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
  // A resumed session would bring the certificate of an earlier connection along.
  SSL_CTX_set_session_cache_mode(server->ssl_context(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(server->ssl_context(), SSL_OP_NO_TICKET);
  tls_switch = std::make_unique<TlsSwitch>(std::move(files));
  SSL_CTX_set_client_hello_cb(server->ssl_context(), TlsSwitch::Choose, tls_switch.get());
  return server;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(Operations& operations, Authenticator& authenticator,
                                                              const HttpServerOptions& options) {
  ASSIGN_OR_RETURN(const HostPort listen, ParseHostPort(options.listen));
  if (!listen.port.has_value()) return absl::InvalidArgumentError(absl::StrCat("\"", options.listen, "\" has no port"));
  if (!options.tls.has_value() && !IsLoopbackHost(listen.host)) {
    return absl::InvalidArgumentError(absl::StrCat(
        options.listen, " can be reached from other computers; add tls, or a reverse proxy: tokens travel on it"));
  }
  auto impl = std::make_unique<Impl>(operations, authenticator);
  if (options.tls.has_value()) {
    ASSIGN_OR_RETURN(impl->server, MakeTlsServer(*options.tls, impl->tls_switch));
  } else {
    impl->server = std::make_unique<httplib::Server>();
  }
  httplib::Server& server = *impl->server;
  // Event streams take theirs for as long as they last.
  const int threads = options.threads + EventFeed::kMaxSubscriptions;
  server.new_task_queue = [threads] { return new httplib::ThreadPool(static_cast<size_t>(threads)); };
  server.set_payload_max_length(kMaxBodyBytes);
  server.set_tcp_nodelay(true);
  server.set_keep_alive_max_count(kRequestsPerConnection);
  server.set_read_timeout(kReadSeconds);
  server.set_write_timeout(kReadSeconds);
  // Without SO_REUSEPORT, the library's default, by which a second server would silently take half of the requests.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  impl->AddHandlers();
  impl->port = *listen.port == 0                                        ? server.bind_to_any_port(listen.host.c_str())
               : server.bind_to_port(listen.host.c_str(), *listen.port) ? *listen.port
                                                                        : -1;
  if (impl->port <= 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen for HTTP on ", options.listen, "; is the port taken?"));
  }
  impl->listener = std::thread([&server] { server.listen_after_bind(); });
  // stop() before the listener runs would be forgotten.
  while (!server.is_running()) std::this_thread::yield();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

}  // namespace tandem::fleet
