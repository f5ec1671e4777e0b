// The link to the units over MQTT v5: topics and delivery rules of docs/cloud-messages.md.
//
//   ASSIGN_OR_RETURN(auto link, MqttUnitLink::Create({.name_space = "acme", .mqtt = {.url = url, ...}}));
//   RETURN_IF_ERROR(link->Start({.message = ..., .connection = ..., .unreadable = ...}));
//
// Several controllers share the units' messages by shared subscriptions, each message goes to one of them. The broker
// does not give retained messages to these; so after each (re)connect one pass over what is retained is made by a short
// second connection with plain subscriptions.
//
// Nothing of a session is kept at the broker: what units must not lose they send again until it is acknowledged.
#ifndef TANDEM_FLEET_MESSAGING_MQTT_UNIT_LINK_H_
#define TANDEM_FLEET_MESSAGING_MQTT_UNIT_LINK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/net/mqtt_client.h"
#include "fleet/messaging/intake.h"
#include "fleet/messaging/unit_link.h"

namespace tandem::fleet {

struct MqttUnitLinkOptions {
  std::string name_space;
  // Links of one group share the messages. Also the first part of the client id, whose rest is random.
  std::string group = "tandem-fleet";
  // URL, files, keepalive, backoff, publish_timeout; the rest is the link's.
  MqttOptions mqtt;
  int max_in_flight = 250;
  // The pass over what is retained. With several links one that does it is enough.
  bool read_retained = true;
  // The pass is over when nothing came for so long.
  absl::Duration retained_quiet = absl::Seconds(3);
  // Without name_space.
  IntakeOptions intake;
};

// As UnitLink says. `message` and `unreadable` come on one thread, `connection` on another, Done on a third.
// Thread-safe but for Start() and Stop().
class MqttUnitLink : public UnitLink {
 public:
  // INVALID_ARGUMENT: the options cannot work.
  static absl::StatusOr<std::unique_ptr<MqttUnitLink>> Create(MqttUnitLinkOptions options);
  // As Stop().
  ~MqttUnitLink() override;

  absl::Status Start(UnitLinkCallbacks callbacks) override;
  // What has no answer then gets UNAVAILABLE before it returns.
  void Stop() override;
  void PublishDesired(const std::string& unit_id, const std::string& documents, Done done) override;
  int MaxInFlight() const override;
  void ClearDesired(const std::string& unit_id, Done done) override;
  absl::Status Wake(const std::string& unit_id, uint64_t sequence, absl::Duration expiry) override;
  void PublishDiagnostic(const std::string& unit_id, const std::string& command, absl::Duration expiry,
                         Done done) override;
  absl::Status PublishVerdict(const std::string& unit_id, const std::string& envelope) override;
  absl::Status Acknowledge(const std::string& unit_id, const std::vector<std::string>& msg_ids) override;
  void PublishKeySets(const std::string& key_sets, Done done) override;
  UnitLinkState state() const override;

 private:
  struct Impl;
  explicit MqttUnitLink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_MESSAGING_MQTT_UNIT_LINK_H_
