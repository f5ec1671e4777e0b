// What a unit says to the fleet and hears from it, without a connection of its own: envelopes and their order, the
// outbox with its resending, presence and last will, the heartbeat, and what comes.
//
//   UnitSession session(options, clock, outbox, publisher);
//   session.SetCallbacks({.desired = ...});
//   mqtt.will = [&] { return session.NextWill(); };
//   for (const std::string& topic : session.Subscriptions()) client->Subscribe(topic);
//   on connect:  session.Connected();           on a message:  session.HandleMessage(message);
//   on loss:     session.Disconnected(reason);  at session.NextDue():  session.Tick();
//   at the end:  client->Stop(session.Goodbye());
//
// The bridge of CM has one (mqtt_bridge.h), a fleet simulator thousands over few connections.
#ifndef TANDEM_CM_CLOUD_UNIT_SESSION_H_
#define TANDEM_CM_CLOUD_UNIT_SESSION_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/cloud/cloud_bridge.h"
#include "cm/cloud/outbox.h"
#include "common/net/message_envelope.h"
#include "common/net/mqtt_message.h"
#include "common/time/clock.h"
#include "google/protobuf/message.h"
#include "tandem/unit/v1/unit.pb.h"

namespace tandem::cm {

struct UnitSessionOptions {
  std::string unit_id;
  std::string name_space;
  std::string boot_id;
  // Above that of every session before.
  uint64_t epoch = 0;
  // How long the fleet hears nothing of a unit where nothing changes: its reported state is said again after this,
  // give or take a tenth.
  absl::Duration heartbeat = absl::Minutes(5);
};

// All on one thread, but for NextWill(). `clock`, `outbox` and `publisher` must outlive it. Callbacks are called from
// Connected(), Disconnected() and HandleMessage().
class UnitSession {
 public:
  // unit_id and name_space are topic levels (CheckTopicLevel()).
  UnitSession(UnitSessionOptions options, Clock& clock, Outbox& outbox, MqttPublisher& publisher);

  // Before Connected().
  void SetCallbacks(CloudCallbacks callbacks) { callbacks_ = std::move(callbacks); }

  // What the unit hears.
  std::vector<std::string> Subscriptions() const;

  // Once before each attempt to connect, on any thread: what the broker says when the connection is lost.
  std::optional<MqttMessage> NextWill();
  // Says presence, the reported state, and whatever waits in the outbox.
  void Connected();
  void Disconnected(const std::string& reason);
  // From one of Subscriptions().
  void HandleMessage(const MqttMessage& message);
  // The last word; nothing is said after it.
  std::optional<MqttMessage> Goodbye();

  // As CloudBridge says.
  absl::Status PublishReported(const unit::v1::Reported& reported);
  absl::Status QueueFeedback(const unit::v1::Feedback& feedback);
  absl::Status QueueApplied(const unit::v1::Applied& applied);
  absl::Status QueueProvisional(const unit::v1::Applied& provisional);
  absl::Status QueueDiagnosticResult(const unit::v1::DiagnosticResult& result, const std::string& run_id,
                                     const std::string& triggered_by);

  // When there is something to send, as the clock's Monotonic(); InfiniteDuration(): not before one of the above.
  absl::Duration NextDue() const;
  // Sends what is due.
  void Tick();

  bool connected() const { return connected_; }
  // Why not.
  const std::string& error() const { return error_; }

 private:
  absl::StatusOr<MessageEnvelope> Envelope(const char* type, const google::protobuf::Message& payload, uint64_t seq);
  absl::StatusOr<MqttMessage> PresenceMessage(bool online, uint64_t seq, absl::Time since);
  absl::Status Queue(const char* type, const std::string& topic, const google::protobuf::Message& payload,
                     bool droppable, std::string once_key);
  absl::Status QueueEnvelope(const MessageEnvelope& envelope, const std::string& topic, bool droppable,
                             std::string once_key);
  absl::Status Dispatch(const MqttMessage& message);
  void SendReported();
  void SendDue();

  const UnitSessionOptions options_;
  const UnitTopics topics_;
  Clock& clock_;
  Outbox& outbox_;
  MqttPublisher& publisher_;
  CloudCallbacks callbacks_;
  std::atomic<uint64_t> seq_ = 0;
  // Of the online message of the newest connection attempt; its will has the next number.
  std::atomic<uint64_t> online_seq_ = 0;
  bool connected_ = false;
  std::string error_;
  std::optional<unit::v1::Reported> reported_;
  // When it is said again.
  absl::Duration next_heartbeat_ = absl::InfiniteDuration();
  std::minstd_rand random_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_UNIT_SESSION_H_
