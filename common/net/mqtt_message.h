// What is published, whatever the client library.
#ifndef TANDEM_COMMON_NET_MQTT_MESSAGE_H_
#define TANDEM_COMMON_NET_MQTT_MESSAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tandem {

struct MqttMessage {
  std::string topic;
  std::string payload;
  int qos = 1;
  bool retained = false;
  // The broker drops it when it could not be delivered for so long; zero: never.
  absl::Duration expiry;
};

// Where messages go: a connection, or a test.
class MqttPublisher {
 public:
  virtual ~MqttPublisher() = default;

  // Hands the message over; it may still be lost with the connection. UNAVAILABLE when there is none.
  virtual absl::Status Publish(const MqttMessage& message) = 0;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_MQTT_MESSAGE_H_
