#include "common/net/mqtt_client.h"

#include <mqtt/async_client.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "common/net/host_port.h"
#include "common/net/publish_window.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace tandem {
namespace {

constexpr absl::Duration kGoodbyeTimeout = absl::Seconds(2);
constexpr absl::Duration kSubscribeTimeout = absl::Seconds(10);
// The library's own limits are never reached: publish_window.h says why.
constexpr int kAside = 100;

struct Subscription {
  std::string filter;
  int qos = 1;
  bool retained = true;
};

struct Endpoint {
  bool tls = false;
  // As Paho writes it.
  std::string uri;
};

absl::StatusOr<Endpoint> ParseUrl(const std::string& url) {
  absl::string_view rest = url;
  Endpoint endpoint;
  if (absl::ConsumePrefix(&rest, "mqtts://")) {
    endpoint.tls = true;
  } else if (!absl::ConsumePrefix(&rest, "mqtt://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("broker URL \"", url, "\" must be mqtts://host:8883, or mqtt://localhost:1883 on loopback"));
  }
  const absl::StatusOr<HostPort> host_port = ParseHostPort(std::string_view(rest.data(), rest.size()));
  if (!host_port.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("broker URL \"", url, "\" must be scheme://host:port"));
  }
  if (!endpoint.tls && !IsLoopbackHost(host_port->host)) {
    return absl::InvalidArgumentError(
        absl::StrCat("broker URL \"", url, "\" is without TLS, which is allowed on loopback only; use mqtts://"));
  }
  endpoint.uri = absl::StrCat(endpoint.tls ? "ssl://" : "tcp://", rest);
  return endpoint;
}

// What Paho knows of the reason; its texts may be empty.
std::string ReasonText(const mqtt::exception& error) {
  std::string text = error.get_error_str();
  if (text.empty()) text = error.what();
  return text;
}

mqtt::const_message_ptr ToPaho(const MqttMessage& message) {
  mqtt::properties properties;
  if (message.expiry > absl::ZeroDuration()) {
    const absl::Duration whole = absl::Ceil(message.expiry, absl::Seconds(1));
    properties.add({mqtt::property::MESSAGE_EXPIRY_INTERVAL, static_cast<int32_t>(absl::ToInt64Seconds(whole))});
  }
  return mqtt::message::create(message.topic, message.payload, message.qos, message.retained, properties);
}

absl::Status RefusedBy(int reason, const std::string& what) {
  return absl::PermissionDeniedError(absl::StrCat(what, ": the broker refuses, reason ", reason));
}

// Hands the library's answers on; what was published is known by its number.
class Answers : public mqtt::iaction_listener {
 public:
  explicit Answers(PublishWindow& window) : window_(window) {}

  void on_success(const mqtt::token& token) override {
    const int reason = token.get_reason_code();
    window_.Answer(Id(token), reason >= 0x80 ? RefusedBy(reason, "publish") : absl::OkStatus());
  }
  void on_failure(const mqtt::token& token) override {
    const int reason = token.get_reason_code();
    window_.Answer(Id(token), reason >= 0x80
                                  ? RefusedBy(reason, "publish")
                                  : absl::UnavailableError("the connection was lost before the broker answered"));
  }
  static void* Context(uint64_t id) { return reinterpret_cast<void*>(static_cast<uintptr_t>(id)); }

 private:
  static uint64_t Id(const mqtt::token& token) { return reinterpret_cast<uintptr_t>(token.get_user_context()); }
  PublishWindow& window_;
};

}  // namespace

absl::Status CheckBrokerUrl(const std::string& url) { return ParseUrl(url).status(); }

struct MqttClient::Impl {
  Impl(MqttOptions impl_options, MqttHandlers impl_handlers, Endpoint impl_endpoint)
      : options(std::move(impl_options)),
        handlers(std::move(impl_handlers)),
        endpoint(std::move(impl_endpoint)),
        client(endpoint.uri, options.client_id, mqtt::create_options(MQTTVERSION_5, options.max_in_flight + kAside)) {
    FillConnectOptions();
    client.set_message_callback([this](const mqtt::const_message_ptr& message) {
      if (message == nullptr || silent) return;
      handlers.message({.topic = message->get_topic(),
                        .payload = message->to_string(),
                        .qos = message->get_qos(),
                        .retained = message->is_retained(),
                        .expiry = absl::ZeroDuration()});
    });
    client.set_connection_lost_handler([this](const std::string& cause) { NoteLost(cause); });
    client.set_disconnected_handler([this](const mqtt::properties&, mqtt::ReasonCode code) {
      NoteLost(absl::StrCat("the broker disconnected, reason ", static_cast<int>(code)));
    });
  }

  void NoteLost(const std::string& cause) {
    std::lock_guard lock(mutex);
    lost = true;
    lost_reason = cause.empty() ? "connection lost" : cause;
    wake.notify_all();
  }

  // Everything but the will, which is asked for at each connection.
  void FillConnectOptions() {
    connect.set_mqtt_version(MQTTVERSION_5);
    connect.set_clean_start(options.session_expiry == absl::ZeroDuration());
    connect.set_keep_alive_interval(std::chrono::seconds(absl::ToInt64Seconds(options.keepalive)));
    connect.set_connect_timeout(
        std::chrono::seconds(std::max<int64_t>(1, absl::ToInt64Seconds(options.connect_timeout))));
    connect.set_max_inflight(options.max_in_flight + kAside);
    connect.set_automatic_reconnect(false);
    mqtt::properties properties;
    properties.add(
        {mqtt::property::SESSION_EXPIRY_INTERVAL, static_cast<int32_t>(absl::ToInt64Seconds(options.session_expiry))});
    if (options.receive_maximum > 0) properties.add({mqtt::property::RECEIVE_MAXIMUM, options.receive_maximum});
    connect.set_properties(properties);
    if (!options.username.empty()) connect.set_user_name(options.username);
    if (!options.password.empty()) connect.set_password(options.password);
    if (endpoint.tls) connect.set_ssl(TlsOptions());
  }

  mqtt::ssl_options TlsOptions() {
    mqtt::ssl_options tls;
    tls.set_ssl_version(MQTT_SSL_VERSION_TLS_1_2);
    tls.set_verify(true);
    tls.set_enable_server_cert_auth(true);
    if (options.ca_file.empty()) {
      tls.ca_path("/etc/ssl/certs");
    } else {
      tls.set_trust_store(options.ca_file);
    }
    if (!options.certificate_file.empty()) tls.set_key_store(options.certificate_file);
    if (!options.key_file.empty()) tls.set_private_key(options.key_file);
    // No error handler: this version of Paho calls it, from its own thread, in a copy of these options that is gone by
    // then.
    return tls;
  }

  // What to look at when a connection over TLS fails; the library does not say which it was.
  std::string TlsHint() const {
    if (!endpoint.tls) return "";
    return absl::StrCat(" (if the broker is there: its certificate must be valid for this host and signed by ",
                        options.ca_file.empty() ? "a CA of /etc/ssl/certs" : options.ca_file,
                        options.certificate_file.empty() ? "" : ", and ours by a CA that it trusts", ")");
  }

  static absl::Status WaitFor(const mqtt::token_ptr& token, absl::Duration timeout, const std::string& what) {
    if (!token->wait_for(absl::ToChronoMilliseconds(timeout))) {
      return absl::DeadlineExceededError(absl::StrCat(what, ": no answer within ", absl::FormatDuration(timeout)));
    }
    return absl::OkStatus();
  }

  // One attempt. Paho throws; nothing of it leaves here.
  absl::Status Connect() {
    const std::string what = absl::StrCat("connect to ", WithoutUrlSecrets(options.url));
    try {
      const std::optional<MqttMessage> will = options.will ? options.will() : std::nullopt;
      if (will.has_value()) connect.set_will(mqtt::will_options(will->topic, will->payload, will->qos, will->retained));
      const mqtt::token_ptr token = client.connect(connect);
      RETURN_IF_ERROR(WaitFor(token, options.connect_timeout + absl::Seconds(2), what));
      const mqtt::properties properties = token->get_connect_response().get_properties();
      allowed_in_flight = options.max_in_flight;
      if (properties.contains(mqtt::property::RECEIVE_MAXIMUM)) {
        allowed_in_flight =
            std::min<int>(allowed_in_flight, mqtt::get<uint16_t>(properties, mqtt::property::RECEIVE_MAXIMUM));
      }
    } catch (const mqtt::exception& error) {
      return absl::UnavailableError(absl::StrCat(what, ": ", ReasonText(error), TlsHint()));
    } catch (const std::exception& error) {
      return absl::UnavailableError(absl::StrCat(what, ": ", error.what()));
    }
    return SubscribeAll();
  }

  absl::Status SubscribeAll() {
    for (const auto& [filter, qos, retained] : filters) {
      const std::string what = absl::StrCat("subscribe to ", filter);
      try {
        const mqtt::token_ptr token =
            client.subscribe(filter, qos,
                             mqtt::subscribe_options(mqtt::subscribe_options::SUBSCRIBE_LOCAL,
                                                     mqtt::subscribe_options::NO_RETAIN_AS_PUBLISHED,
                                                     retained ? mqtt::subscribe_options::SEND_RETAINED_ON_SUBSCRIBE
                                                              : mqtt::subscribe_options::DONT_SEND_RETAINED));
        RETURN_IF_ERROR(WaitFor(token, kSubscribeTimeout, what));
        // Refusals come as a reason code, not as an exception.
        const mqtt::subscribe_response response = token->get_subscribe_response();
        for (const auto code : response.get_reason_codes()) {
          if (static_cast<int>(code) >= 0x80) {
            return RefusedBy(static_cast<int>(code), what);
          }
        }
      } catch (const std::exception& error) {
        return absl::UnavailableError(absl::StrCat(what, ": ", error.what()));
      }
    }
    return absl::OkStatus();
  }

  // The window's way to the library.
  absl::Status Send(uint64_t id, const MqttMessage& message) {
    try {
      client.publish(ToPaho(message), Answers::Context(id), answers);
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return absl::UnavailableError(absl::StrCat("publish to ", message.topic, ": ", error.what()));
    }
  }

  void Disconnect() {
    try {
      client.disconnect(static_cast<int>(absl::ToInt64Milliseconds(kGoodbyeTimeout)))
          ->wait_for(absl::ToChronoMilliseconds(kGoodbyeTimeout));
    } catch (const std::exception&) {
      // Not connected any more: just as well.
    }
  }

  // The connection's life: attempt, hold, tell, wait, again.
  void Run() {
    Backoff backoff(options.backoff);
    std::unique_lock lock(mutex);
    while (!stopping) {
      lost = false;
      lost_reason.clear();
      lock.unlock();
      const absl::Status status = Connect();
      lock.lock();
      if (stopping) return;
      std::string reason;
      if (status.ok()) {
        is_connected = true;
        window.Open(static_cast<size_t>(std::max(1, allowed_in_flight)));
        backoff.Reset();
        lock.unlock();
        handlers.connected();
        lock.lock();
        wake.wait(lock, [this] { return stopping || lost; });
        if (stopping) return;
        is_connected = false;
        reason = lost_reason;
        // The library may keep them for the next connection; their sender decides anew.
        window.Close(absl::UnavailableError(absl::StrCat("the connection was lost: ", reason)));
      } else {
        reason = std::string(status.message());
      }
      lock.unlock();
      if (!status.ok()) Disconnect();
      handlers.disconnected(reason);
      lock.lock();
      wake.wait_for(lock, absl::ToChronoNanoseconds(backoff.Next()), [this] { return stopping; });
    }
  }

  const MqttOptions options;
  const MqttHandlers handlers;
  const Endpoint endpoint;
  PublishWindow window{[this](uint64_t id, const MqttMessage& message) { return Send(id, message); },
                       options.publish_timeout, static_cast<size_t>(options.max_buffered)};
  Answers answers{window};
  // Filled in place: this version of Paho keeps a pointer to the properties of the object they were set on, which a
  // move or a copy does not correct.
  mqtt::connect_options connect;

  mutable std::mutex mutex;
  std::condition_variable wake;
  std::vector<Subscription> filters;
  bool stopping = false;
  bool lost = false;
  bool is_connected = false;
  // By the broker of this connection; of the thread.
  int allowed_in_flight = 0;
  std::string lost_reason;
  // Handlers are not called any more.
  std::atomic<bool> silent = false;
  // After all that its threads call.
  mqtt::async_client client;
  std::thread thread;
};

MqttClient::MqttClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<MqttClient>> MqttClient::Create(MqttOptions options, MqttHandlers handlers) {
  ASSIGN_OR_RETURN(Endpoint endpoint, ParseUrl(options.url));
  if (options.client_id.empty()) return absl::InvalidArgumentError("an MQTT client without a client id");
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("a TLS certificate and its key belong together; one of them is not set");
  }
  try {
    return std::unique_ptr<MqttClient>(
        new MqttClient(std::make_unique<Impl>(std::move(options), std::move(handlers), std::move(endpoint))));
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("make an MQTT client: ", error.what()));
  }
}

MqttClient::~MqttClient() { Stop(); }

void MqttClient::Subscribe(const std::string& topic_filter, int qos, bool retained) {
  std::lock_guard lock(impl_->mutex);
  impl_->filters.push_back({topic_filter, qos, retained});
}

void MqttClient::Start() {
  impl_->thread = std::thread([this] { impl_->Run(); });
}

void MqttClient::Stop(const std::optional<MqttMessage>& goodbye) {
  if (!impl_->thread.joinable()) return impl_->window.Stop();
  impl_->silent = true;
  if (goodbye.has_value()) PublishAndWait(*goodbye, kGoodbyeTimeout).IgnoreError();
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    impl_->is_connected = false;
    impl_->wake.notify_all();
  }
  impl_->thread.join();
  impl_->Disconnect();
  impl_->window.Stop();
}

absl::Status MqttClient::Publish(const MqttMessage& message) { return impl_->window.Publish(message, nullptr); }

void MqttClient::PublishWithAnswer(const MqttMessage& message, std::function<void(const absl::Status&)> done) {
  const absl::Status published = impl_->window.Publish(message, done);
  if (!published.ok()) impl_->window.Refuse(published, std::move(done));
}

absl::Status MqttClient::PublishAndWait(const MqttMessage& message, absl::Duration timeout) {
  const std::string what = absl::StrCat("publish to ", message.topic);
  auto answer = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> future = answer->get_future();
  RETURN_IF_ERROR(Annotate(
      impl_->window.Publish(message, [answer](const absl::Status& status) { answer->set_value(status); }), what));
  if (future.wait_for(absl::ToChronoMilliseconds(timeout)) == std::future_status::timeout) {
    return absl::DeadlineExceededError(absl::StrCat(what, ": no answer within ", absl::FormatDuration(timeout)));
  }
  return Annotate(future.get(), what);
}

bool MqttClient::connected() const {
  std::lock_guard lock(impl_->mutex);
  return impl_->is_connected;
}

}  // namespace tandem
