#include "tools/fleet-sim/mqtt_line.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/net/mqtt_client.h"
#include "common/status/status.h"

namespace tandem::fleetsim {
namespace {

constexpr int kEvents = 512;
constexpr char kUnit[] = "{unit}";
// Between two looks at keepalives.
constexpr absl::Duration kMisc = absl::Seconds(1);

std::string For(const std::string& text, const std::string& name) { return absl::StrReplaceAll(text, {{kUnit, name}}); }

absl::Status Failed(const std::string& what, int code) {
  return absl::UnavailableError(absl::StrCat(what, ": ", mosquitto_strerror(code)));
}

// libmosquitto makes two more files for each client, to wake a thread that we do not have; without them it works as
// well, and writes one byte less with each message. Other threads of this process can open no file meanwhile: only for
// fleets so large that it matters, which have a process of their own.
mosquitto* NewClient(const std::string& client_id, void* user, size_t number) {
  if (number < kLinesWithSocketPair) return mosquitto_new(client_id.c_str(), /*clean_session=*/true, user);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  mosquitto* client = mosquitto_new(client_id.c_str(), /*clean_session=*/true, user);
  setrlimit(RLIMIT_NOFILE, &before);
  return client;
}

}  // namespace

absl::Status AllowOpenFiles(uint64_t count) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= count) return absl::OkStatus();
  rlimit raised{.rlim_cur = count, .rlim_max = std::max<rlim_t>(limit.rlim_max, count)};
  if (limit.rlim_max >= count) raised.rlim_max = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("it needs ", count, " open files and may have ", limit.rlim_max,
                                                   "; allow more with 'ulimit -Hn ", count,
                                                   "' as root, simulate fewer units, or use --multiplex"));
}

MqttLines::MqttLines(LineOptions options, LineListener& listener)
    : options_(std::move(options)), listener_(listener), next_misc_(absl::Now() + kMisc) {}

absl::StatusOr<std::unique_ptr<MqttLines>> MqttLines::Create(LineOptions options, LineListener& listener) {
  RETURN_IF_ERROR(CheckBrokerUrl(options.url));
  static std::once_flag once;
  std::call_once(once, [] { mosquitto_lib_init(); });
  auto lines = std::unique_ptr<MqttLines>(new MqttLines(std::move(options), listener));
  std::string rest = lines->options_.url;
  lines->tls_ = absl::StartsWith(rest, "mqtts://");
  rest = rest.substr(rest.find("://") + 3);
  const size_t colon = rest.rfind(':');
  lines->host_ = rest.substr(0, colon);
  lines->port_ = lines->tls_ ? 8883 : 1883;
  if (colon != std::string::npos && !absl::SimpleAtoi(rest.substr(colon + 1), &lines->port_)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", lines->options_.url, "\" has no port"));
  }
  lines->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (lines->epoll_ < 0) return ErrnoStatus(errno, "epoll");
  return lines;
}

MqttLines::~MqttLines() {
  for (Line& line : lines_) mosquitto_destroy(line.client);
  for (SSL_CTX* context : contexts_) SSL_CTX_free(context);
  if (epoll_ >= 0) close(epoll_);
}

absl::StatusOr<SSL_CTX*> MqttLines::ContextOf(const std::string& name) {
  if (shared_context_ != nullptr) return shared_context_;
  SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  contexts_.push_back(context);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(context), host_.c_str(), 0);
  // A connection that says nothing keeps no buffers.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  const std::string ca = For(options_.ca_file, name);
  const int trusted = ca.empty() ? SSL_CTX_set_default_verify_paths(context)
                                 : SSL_CTX_load_verify_locations(context, ca.c_str(), nullptr);
  if (trusted != 1) return absl::InvalidArgumentError(absl::StrCat("no certificates can be read from ", ca));
  if (!options_.certificate_file.empty()) {
    const std::string certificate = For(options_.certificate_file, name);
    const std::string key = For(options_.key_file, name);
    if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("no certificate with its key can be read from ", certificate, " and ", key));
    }
  }
  const std::string all = absl::StrCat(options_.ca_file, options_.certificate_file, options_.key_file);
  if (!absl::StrContains(all, kUnit)) shared_context_ = context;
  return context;
}

absl::Status MqttLines::Add(const std::string& client_id, const std::string& name,
                            std::vector<std::string> subscriptions) {
  Line& line = lines_.emplace_back();
  line.owner = this;
  line.number = static_cast<uint32_t>(lines_.size() - 1);
  line.subscriptions = std::move(subscriptions);
  line.client = NewClient(client_id, &line, lines_.size());
  if (line.client == nullptr) return absl::ResourceExhaustedError("no memory for one more connection");
  mosquitto_int_option(line.client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  mosquitto_int_option(line.client, MOSQ_OPT_TCP_NODELAY, 1);
  mosquitto_int_option(line.client, MOSQ_OPT_RECEIVE_MAXIMUM, options_.in_flight);
  mosquitto_int_option(line.client, MOSQ_OPT_SEND_MAXIMUM, options_.in_flight);
  if (!options_.username.empty()) {
    mosquitto_username_pw_set(line.client, For(options_.username, name).c_str(),
                              options_.password.empty() ? nullptr : options_.password.c_str());
  }
  if (tls_) {
    ASSIGN_OR_RETURN(SSL_CTX* const context, ContextOf(name));
    mosquitto_void_option(line.client, MOSQ_OPT_SSL_CTX, context);
  }
  SetCallbacks(line);
  return absl::OkStatus();
}

void MqttLines::SetCallbacks(Line& line) {
  mosquitto_connect_callback_set(line.client, [](mosquitto*, void* user, int code) {
    Line& self = *static_cast<Line*>(user);
    self.owner->Subscribe(self, code);
  });
  mosquitto_subscribe_callback_set(line.client, [](mosquitto*, void* user, int, int, const int*) {
    Line& self = *static_cast<Line*>(user);
    if (--self.subscriptions_missing != 0) return;
    self.connected = true;
    self.owner->listener_.LineConnected(self.number);
  });
  mosquitto_publish_callback_set(line.client, [](mosquitto*, void* user, int) {
    Line& self = *static_cast<Line*>(user);
    if (self.in_flight == 0) return;
    --self.in_flight;
    --self.owner->in_flight_;
  });
  mosquitto_message_callback_set(line.client, [](mosquitto*, void* user, const mosquitto_message* message) {
    Line& self = *static_cast<Line*>(user);
    MqttMessage received{
        .topic = message->topic,
        .payload = std::string(static_cast<const char*>(message->payload), static_cast<size_t>(message->payloadlen))};
    received.retained = message->retain;
    self.owner->listener_.LineMessage(self.number, std::move(received));
  });
}

void MqttLines::Subscribe(Line& line, int code) {
  if (code != 0) return Lose(line, absl::StrCat("the broker refuses: ", mosquitto_reason_string(code)));
  if (line.subscriptions.empty()) {
    line.connected = true;
    listener_.LineConnected(line.number);
    return;
  }
  std::vector<char*> filters;
  for (std::string& filter : line.subscriptions) filters.push_back(filter.data());
  line.subscriptions_missing = 1;
  const int sent = mosquitto_subscribe_multiple(line.client, nullptr, static_cast<int>(filters.size()), filters.data(),
                                                /*qos=*/1, /*options=*/0, nullptr);
  if (sent != MOSQ_ERR_SUCCESS) Lose(line, absl::StrCat("subscribe: ", mosquitto_strerror(sent)));
}

void MqttLines::Connect(uint32_t number) {
  Line& line = lines_[number];
  if (line.up) return;
  line.up = true;
  mosquitto_will_clear(line.client);
  if (const std::optional<MqttMessage> will = listener_.LineWill(number); will.has_value()) {
    mosquitto_will_set(line.client, will->topic.c_str(), static_cast<int>(will->payload.size()), will->payload.data(),
                       will->qos, will->retained);
  }
  const int code = mosquitto_connect_async(line.client, host_.c_str(), port_,
                                           static_cast<int>(absl::ToInt64Seconds(options_.keepalive)));
  if (code != MOSQ_ERR_SUCCESS) {
    const std::string why = code == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(code);
    return Lose(line, absl::StrCat("connect to ", options_.url, ": ", why));
  }
  line.socket = mosquitto_socket(line.client);
  line.watches_write = mosquitto_want_write(line.client);
  epoll_event event{.events = EPOLLIN | (line.watches_write ? EPOLLOUT : 0U), .data = {.u32 = number}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, line.socket, &event);
}

absl::Status MqttLines::Publish(uint32_t number, const MqttMessage& message) {
  Line& line = lines_[number];
  if (!line.connected) return absl::UnavailableError("not connected");
  const int code =
      mosquitto_publish(line.client, nullptr, message.topic.c_str(), static_cast<int>(message.payload.size()),
                        message.payload.data(), message.qos, message.retained);
  if (code != MOSQ_ERR_SUCCESS) return Failed(absl::StrCat("publish to ", message.topic), code);
  ++line.in_flight;
  ++in_flight_;
  Watch(line);
  return absl::OkStatus();
}

void MqttLines::Watch(Line& line) {
  const bool wants = mosquitto_want_write(line.client);
  if (line.socket < 0 || wants == line.watches_write) return;
  line.watches_write = wants;
  epoll_event event{.events = EPOLLIN | (wants ? EPOLLOUT : 0U), .data = {.u32 = line.number}};
  epoll_ctl(epoll_, EPOLL_CTL_MOD, line.socket, &event);
}

void MqttLines::Disconnect(uint32_t number) {
  Line& line = lines_[number];
  if (!line.up) return;
  line.up = line.connected = false;
  in_flight_ -= std::exchange(line.in_flight, 0);
  if (line.socket >= 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, std::exchange(line.socket, -1), nullptr);
  mosquitto_disconnect(line.client);
}

void MqttLines::Cut(uint32_t number) { Lose(lines_[number], "cut"); }

void MqttLines::Lose(Line& line, const std::string& reason) {
  if (!line.up) return;
  line.up = line.connected = false;
  in_flight_ -= std::exchange(line.in_flight, 0);
  if (line.socket >= 0) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, line.socket, nullptr);
    // Ours to shut: the library closes it at the next connect.
    shutdown(std::exchange(line.socket, -1), SHUT_RDWR);
  }
  listener_.LineLost(line.number, reason);
}

void MqttLines::Serve(Line& line, uint32_t events) {
  int code = MOSQ_ERR_SUCCESS;
  if ((events & EPOLLOUT) != 0) code = mosquitto_loop_write(line.client, 1);
  if (code == MOSQ_ERR_SUCCESS && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    const auto* ssl = static_cast<const SSL*>(mosquitto_ssl_get(line.client));
    do {
      code = mosquitto_loop_read(line.client, 1);
    } while (code == MOSQ_ERR_SUCCESS && line.up && ssl != nullptr && SSL_pending(ssl) > 0);
  }
  if (!line.up) return;
  if (code != MOSQ_ERR_SUCCESS) {
    return Lose(line, line.connected ? mosquitto_strerror(code)
                                     : absl::StrCat("connect to ", options_.url, ": ", mosquitto_strerror(code)));
  }
  Watch(line);
}

void MqttLines::Misc() {
  for (Line& line : lines_) {
    if (!line.up) continue;
    const int code = mosquitto_loop_misc(line.client);
    if (code != MOSQ_ERR_SUCCESS) {
      Lose(line, mosquitto_strerror(code));
    } else {
      Watch(line);
    }
  }
}

void MqttLines::Run(absl::Duration wait) {
  std::array<epoll_event, kEvents> events{};
  const auto milliseconds = static_cast<int>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1))), 0, 1000));
  const int count = epoll_wait(epoll_, events.data(), kEvents, milliseconds);
  for (int i = 0; i < count; ++i) {
    if (Line& line = lines_[events[i].data.u32]; line.up) Serve(line, events[i].events);
  }
  if (const absl::Time now = absl::Now(); now >= next_misc_) {
    next_misc_ = now + kMisc;
    Misc();
  }
}

}  // namespace tandem::fleetsim
