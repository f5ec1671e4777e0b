#include "cm/cloud/unit_session.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/desired_documents.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/time/random_seed.h"

namespace tandem::cm {
namespace {

constexpr int kSendAtOnce = 50;
// So that the heartbeats of a fleet that was started together spread.
constexpr double kHeartbeatJitter = 0.1;

// A redelivered desired state is answered with the same report again; one that waits already is enough.
std::string OnceKey(const char* type, const unit::v1::Applied& report) {
  return absl::StrCat(type, " ", report.sequence(), " ", report.attempt());
}

}  // namespace

UnitSession::UnitSession(UnitSessionOptions options, Clock& clock, Outbox& outbox, MqttPublisher& publisher)
    : options_(std::move(options)),
      topics_(options_.name_space, options_.unit_id),
      clock_(clock),
      outbox_(outbox),
      publisher_(publisher),
      random_(static_cast<uint32_t>(RandomSeed())) {}

std::vector<std::string> UnitSession::Subscriptions() const {
  return {topics_.desired, topics_.wake, topics_.verdict, topics_.diagnostics_command, topics_.ack, topics_.key_sets};
}

absl::StatusOr<MessageEnvelope> UnitSession::Envelope(const char* type, const google::protobuf::Message& payload,
                                                      uint64_t seq) {
  MessageEnvelope envelope;
  envelope.msg_id = NewMessageId();
  envelope.type = type;
  envelope.ts = clock_.Now();
  envelope.boot_id = options_.boot_id;
  envelope.epoch = options_.epoch;
  envelope.seq = seq;
  ASSIGN_OR_RETURN(envelope.payload, MessageToJson(payload));
  return envelope;
}

absl::StatusOr<MqttMessage> UnitSession::PresenceMessage(bool online, uint64_t seq, absl::Time since) {
  unit::v1::Presence presence;
  presence.set_online(online);
  presence.set_boot_id(options_.boot_id);
  presence.mutable_since()->set_seconds(absl::ToUnixSeconds(since));
  ASSIGN_OR_RETURN(const MessageEnvelope envelope, Envelope(kPresenceMessage, presence, seq));
  ASSIGN_OR_RETURN(std::string json, EncodeMessage(envelope));
  return MqttMessage{.topic = topics_.presence, .payload = std::move(json), .retained = true};
}

std::optional<MqttMessage> UnitSession::NextWill() {
  // Receivers go by (epoch, seq): the will must be newer than the online message of the connection that it ends.
  const uint64_t online = seq_.fetch_add(2) + 1;
  online_seq_ = online;
  absl::StatusOr<MqttMessage> will = PresenceMessage(/*online=*/false, online + 1, clock_.Now());
  return will.ok() ? std::make_optional(*std::move(will)) : std::nullopt;
}

std::optional<MqttMessage> UnitSession::Goodbye() {
  connected_ = false;
  absl::StatusOr<MqttMessage> goodbye = PresenceMessage(/*online=*/false, ++seq_, clock_.Now());
  return goodbye.ok() ? std::make_optional(*std::move(goodbye)) : std::nullopt;
}

void UnitSession::Connected() {
  connected_ = true;
  error_.clear();
  if (absl::StatusOr<MqttMessage> presence = PresenceMessage(/*online=*/true, online_seq_, clock_.Now());
      presence.ok()) {
    publisher_.Publish(*presence).IgnoreError();
  }
  SendReported();
  outbox_.ResetDelays();
  SendDue();
  if (callbacks_.connection) callbacks_.connection(true, "");
}

void UnitSession::Disconnected(const std::string& reason) {
  // Told when it goes, and when the reason changes; not for each attempt.
  const bool changed = connected_ || error_ != reason;
  connected_ = false;
  error_ = reason;
  if (changed && callbacks_.connection) callbacks_.connection(false, reason);
}

void UnitSession::HandleMessage(const MqttMessage& message) {
  // An empty payload is how a retained message is taken back.
  if (message.payload.empty()) return;
  const absl::Status status = Annotate(Dispatch(message), absl::StrCat("topic ", message.topic));
  if (!status.ok() && callbacks_.unreadable) callbacks_.unreadable(status);
}

absl::Status UnitSession::Dispatch(const MqttMessage& message) {
  nlohmann::json payload;
  ASSIGN_OR_RETURN(const MessageEnvelope envelope, DecodeMessage(message.payload, payload));
  const auto is = [&](const std::string& topic, const char* type) {
    return message.topic == topic && envelope.type == type;
  };
  if (is(topics_.desired, kDesiredMessage)) {
    ASSIGN_OR_RETURN(DesiredEnvelopes desired, DesiredFromJson(payload));
    if (callbacks_.desired) callbacks_.desired(std::move(desired));
  } else if (is(topics_.key_sets, kKeySetsMessage)) {
    ASSIGN_OR_RETURN(std::vector<std::string> key_sets, ParseKeySets(payload.dump()));
    if (callbacks_.key_sets) callbacks_.key_sets(std::move(key_sets));
  } else if (is(topics_.wake, kWakeMessage)) {
    unit::v1::Wake wake;
    RETURN_IF_ERROR(MessageFromJson(payload.dump(), wake));
    if (callbacks_.wake) callbacks_.wake(wake.sequence());
  } else if (is(topics_.verdict, kVerdictMessage)) {
    if (callbacks_.verdict) callbacks_.verdict(payload.dump());
  } else if (is(topics_.diagnostics_command, kDiagnosticRunMessage)) {
    if (callbacks_.diagnostic) callbacks_.diagnostic(payload.dump());
  } else if (is(topics_.ack, kAckMessage)) {
    unit::v1::Ack ack;
    RETURN_IF_ERROR(MessageFromJson(payload.dump(), ack));
    RETURN_IF_ERROR(outbox_.Acknowledge({ack.msg_ids().begin(), ack.msg_ids().end()}));
    SendDue();
  } else {
    return absl::InvalidArgumentError(absl::StrCat("a message of type \"", envelope.type, "\" does not belong here"));
  }
  return absl::OkStatus();
}

absl::Status UnitSession::PublishReported(const unit::v1::Reported& reported) {
  reported_ = reported;
  SendReported();
  return absl::OkStatus();
}

void UnitSession::SendReported() {
  if (!connected_ || !reported_.has_value()) return;
  const double part = std::uniform_real_distribution<double>(1 - kHeartbeatJitter, 1 + kHeartbeatJitter)(random_);
  next_heartbeat_ = clock_.Monotonic() + options_.heartbeat * part;
  absl::StatusOr<MessageEnvelope> envelope = Envelope(kReportedMessage, *reported_, ++seq_);
  if (!envelope.ok()) return;
  absl::StatusOr<std::string> json = EncodeMessage(*envelope);
  if (!json.ok()) return;
  // A failure means that the connection is going: it is sent again when it is back.
  publisher_.Publish({.topic = topics_.reported, .payload = *std::move(json), .retained = true}).IgnoreError();
}

absl::Status UnitSession::QueueFeedback(const unit::v1::Feedback& feedback) {
  return Queue(kFeedbackMessage, topics_.feedback, feedback, /*droppable=*/true, "");
}

absl::Status UnitSession::QueueApplied(const unit::v1::Applied& applied) {
  return Queue(kAppliedMessage, topics_.applied, applied, /*droppable=*/false, OnceKey(kAppliedMessage, applied));
}

absl::Status UnitSession::QueueProvisional(const unit::v1::Applied& provisional) {
  return Queue(kProvisionalMessage, topics_.provisional, provisional, /*droppable=*/false,
               OnceKey(kProvisionalMessage, provisional));
}

absl::Status UnitSession::Queue(const char* type, const std::string& topic, const google::protobuf::Message& payload,
                                bool droppable, std::string once_key) {
  ASSIGN_OR_RETURN(const MessageEnvelope envelope, Envelope(type, payload, ++seq_));
  return QueueEnvelope(envelope, topic, droppable, std::move(once_key));
}

absl::Status UnitSession::QueueDiagnosticResult(const unit::v1::DiagnosticResult& result, const std::string& run_id,
                                                const std::string& triggered_by) {
  ASSIGN_OR_RETURN(MessageEnvelope envelope, Envelope(kDiagnosticResultMessage, result, ++seq_));
  envelope.run_id = run_id;
  envelope.triggered_by = triggered_by;
  return QueueEnvelope(envelope, topics_.diagnostics_result, /*droppable=*/false,
                       absl::StrCat(kDiagnosticResultMessage, " ", run_id, " ", result.diagnostic()));
}

absl::Status UnitSession::QueueEnvelope(const MessageEnvelope& envelope, const std::string& topic, bool droppable,
                                        std::string once_key) {
  ASSIGN_OR_RETURN(std::string json, EncodeMessage(envelope));
  RETURN_IF_ERROR(outbox_.Add({.epoch = envelope.epoch,
                               .seq = envelope.seq,
                               .msg_id = envelope.msg_id,
                               .type = envelope.type,
                               .topic = topic,
                               .json = std::move(json),
                               .droppable = droppable,
                               .once_key = std::move(once_key)}));
  SendDue();
  return absl::OkStatus();
}

void UnitSession::SendDue() {
  if (!connected_) return;
  absl::StatusOr<std::vector<OutboxMessage>> due = outbox_.TakeDue(clock_.Monotonic(), kSendAtOnce);
  if (!due.ok()) {
    LogError("outbox cannot be read", {{"reason", ToPersonText(due.status())}});
    return;
  }
  for (OutboxMessage& message : *due) {
    if (!publisher_.Publish({.topic = message.topic, .payload = std::move(message.json)}).ok()) break;
  }
}

absl::Duration UnitSession::NextDue() const {
  if (!connected_) return absl::InfiniteDuration();
  return std::min(outbox_.NextDue(), next_heartbeat_);
}

void UnitSession::Tick() {
  if (connected_ && clock_.Monotonic() >= next_heartbeat_) SendReported();
  SendDue();
}

}  // namespace tandem::cm
