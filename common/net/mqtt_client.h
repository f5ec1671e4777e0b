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
#include "common/net/mqtt_message.h"

namespace tandem {

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
  // Messages that the broker may send before the first of them is acknowledged; zero: the protocol's 65,535.
  int receive_maximum = 0;
  // Messages sent and not yet acknowledged by the broker, which may allow fewer; more wait in the client.
  int max_in_flight = 100;
  // How many may wait there; then Publish() says UNAVAILABLE.
  int max_buffered = 1000;
  // For the broker's acknowledgement.
  absl::Duration publish_timeout = absl::Seconds(20);
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
class MqttClient : public MqttPublisher {
 public:
  // INVALID_ARGUMENT: the options cannot work.
  static absl::StatusOr<std::unique_ptr<MqttClient>> Create(MqttOptions options, MqttHandlers handlers);
  // As Stop() without a goodbye.
  ~MqttClient() override;

  MqttClient(const MqttClient&) = delete;
  MqttClient& operator=(const MqttClient&) = delete;

  // Before Start(): subscribed at every connect, so that retained messages come each time, unless `retained` is false.
  // For a shared subscription, $share/{group}/{filter}, it should be: the protocol wants none there, Mosquitto 2.0
  // sends them all.
  void Subscribe(const std::string& topic_filter, int qos = 1, bool retained = true);

  void Start();

  // Publishes `goodbye` when connected, and disconnects in order, so that the will is not published. Takes at most a
  // few seconds. No handler is called after it.
  void Stop(const std::optional<MqttMessage>& goodbye = std::nullopt);

  // Hands the message over; it may still be lost with the connection. UNAVAILABLE when there is none.
  absl::Status Publish(const MqttMessage& message) override;

  // Does not wait: `done` comes once, on a thread of the client where it may call the client, with OK once the broker
  // has the message (for QoS 0: once it is sent), or with UNAVAILABLE, DEADLINE_EXCEEDED or PERMISSION_DENIED. What
  // waits when Stop() is called gets UNAVAILABLE before that returns.
  void PublishWithAnswer(const MqttMessage& message, std::function<void(const absl::Status& status)> done);

  // Waits for the broker's acknowledgement. DEADLINE_EXCEEDED, UNAVAILABLE, PERMISSION_DENIED. Not from handlers, nor
  // from the answers of PublishWithAnswer().
  absl::Status PublishAndWait(const MqttMessage& message, absl::Duration timeout);

  bool connected() const;

 private:
  struct Impl;
  explicit MqttClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_MQTT_CLIENT_H_
