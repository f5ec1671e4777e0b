// An MQTT v5 connection that stays up: connects, subscribes, and does both again whenever it was lost.
//
//   ASSIGN_OR_RETURN(auto client, MqttClient::Create(options, handlers));
//   client->Subscribe("acme/gw-17/desired");
//   client->Start();
//   client->Publish({.topic = "acme/gw-17/presence", .payload = json, .retained = true}).IgnoreError();
//
// The library (Paho) acknowledges a message when its callback returns: handlers must be quick and must not call back.
#ifndef TANDEM_COMMON_NET_MQTT_CLIENT_H_
#define TANDEM_COMMON_NET_MQTT_CLIENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/net/backoff.h"

namespace tandem {

struct MqttMessage {
  std::string topic;
  std::string payload;
  int qos = 1;
  bool retained = false;
  // The broker drops it when it could not be delivered for so long; zero: never.
  absl::Duration expiry;
};

struct MqttOptions {
  // mqtts://host:8883, or mqtt://host:1883 on loopback only.
  std::string url;
  std::string client_id;
  // PEM files; without `ca_file` the system's CAs count.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string username;
  std::string password;
  absl::Duration keepalive = absl::Seconds(30);
  // How long the broker keeps the session while we are away; zero: a fresh one each time.
  absl::Duration session_expiry;
  absl::Duration connect_timeout = absl::Seconds(10);
  // Makes what the broker publishes when the connection is lost; asked before each attempt, on a thread of the client.
  // Empty: nothing is published.
  std::function<std::optional<MqttMessage>()> will;
  BackoffOptions backoff;
};

// Called from threads of the client.
struct MqttHandlers {
  // Subscriptions are in place. Messages may have come before.
  std::function<void()> connected;
  // Also after each attempt that failed; says why.
  std::function<void(const std::string& reason)> disconnected;
  std::function<void(MqttMessage message)> message;
};

// INVALID_ARGUMENT: a client could not use it, or it is without TLS and not on loopback.
absl::Status CheckBrokerUrl(const std::string& url);

// Thread-safe.
class MqttClient {
 public:
  // INVALID_ARGUMENT: the options cannot work.
  static absl::StatusOr<std::unique_ptr<MqttClient>> Create(MqttOptions options, MqttHandlers handlers);
  // As Stop() without a goodbye.
  ~MqttClient();

  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  // Before Start(): subscribed with QoS 1 at every connect, so that retained messages come each time.
  void Subscribe(const std::string& topic_filter);

  void Start();

  // Publishes `goodbye` when connected, and disconnects in order, so that the will is not published. Takes at most a
  // few seconds. No handler is called after it.
  void Stop(const std::optional<MqttMessage>& goodbye = std::nullopt);

  // Hands the message over; it may still be lost with the connection. UNAVAILABLE when there is none.
  absl::Status Publish(const MqttMessage& message);

  // Waits for the broker's acknowledgement. DEADLINE_EXCEEDED, UNAVAILABLE. Not from handlers.
  absl::Status PublishAndWait(const MqttMessage& message, absl::Duration timeout);

  bool connected() const;

 private:
  struct Impl;
  explicit MqttClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_MQTT_CLIENT_H_
