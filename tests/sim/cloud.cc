#include "tests/sim/cloud.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace tandem::sim {
namespace {

uint64_t NumberOf(const nlohmann::json& payload, const char* key) {
  const auto found = payload.find(key);
  if (found == payload.end()) return 0;
  // proto3's JSON writes 64-bit numbers as text.
  return found->is_string() ? std::stoull(found->get<std::string>()) : found->get<uint64_t>();
}

}  // namespace

void Cloud::SetClient(CloudClient* client) {
  client_ = client;
  ++connection_;
  connected_ = false;
  if (client_ != nullptr && reachable_) SetReachable(true);
}

void Cloud::SetReachable(bool reachable) {
  if (reachable != reachable_) world_.Tell("the broker is ", reachable ? "back" : "away");
  reachable_ = reachable;
  if (client_ == nullptr || reachable == connected_) return;
  ++connection_;
  if (!reachable) {
    connected_ = false;
    return client_->Disconnected();
  }
  world_.After(world_.Between(absl::Milliseconds(50), absl::Milliseconds(600)), [this, connection = connection_] {
    if (connection != connection_ || client_ == nullptr) return;
    connected_ = true;
    client_->Connected();
    DeliverDesired();
  });
}

void Cloud::Send(const std::string& topic, const std::string& payload) {
  if (!connected_ || Lost()) return;
  world_.After(world_.Between(absl::Milliseconds(10), absl::Milliseconds(200)),
               [this, topic, payload, connection = connection_] {
                 if (connection == connection_ && client_ != nullptr) {
                   client_->Receive({.topic = topic, .payload = payload});
                 }
               });
}

void Cloud::DeliverDesired() {
  if (!assigned_.has_value() || !connected_) return;
  // What is retained is not lost for long: the broker sends it until the unit has it.
  world_.After(world_.Between(absl::Milliseconds(10), absl::Milliseconds(200)), [this, connection = connection_] {
    if (connection != connection_ || client_ == nullptr) return;
    client_->Receive({.topic = topics_.desired, .payload = DesiredMessage(*assigned_)});
  });
}

void Cloud::Assign(const SimAssignment& assignment) {
  world_.Tell("the fleet assigns ", assignment.Name());
  assigned_ = assignment;
  DeliverDesired();
}

absl::Status Cloud::Publish(const MqttMessage& message) {
  if (!connected_) return absl::UnavailableError("not connected");
  if (message.topic == topics_.presence || message.topic == topics_.reported || Lost()) return absl::OkStatus();
  world_.After(world_.Between(absl::Milliseconds(10), absl::Milliseconds(200)), [this, message] { Take(message); });
  return absl::OkStatus();
}

void Cloud::Take(const MqttMessage& message) {
  nlohmann::json payload;
  const absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(message.payload, payload);
  if (!envelope.ok()) return;
  const uint64_t sequence = NumberOf(payload, "sequence");
  const uint32_t attempt = static_cast<uint32_t>(NumberOf(payload, "attempt"));
  if (heard_.insert(envelope->msg_id).second) {
    const std::string state = envelope->type == kFeedbackMessage ? payload.value("state", "") : envelope->type;
    if (envelope->type == kFeedbackMessage) {
      told_.push_back({.sequence = sequence,
                       .attempt = attempt,
                       .state = state,
                       .reason = payload.value("reason", ""),
                       .epoch = envelope->epoch,
                       .number = envelope->seq});
      world_.Tell("the cloud hears ", absl::StrCat(sequence, ".", attempt, " "), state, " ", told_.back().reason);
    }
    if (envelope->type == kProvisionalMessage && verdict_.has_value()) {
      Send(topics_.verdict, VerdictMessage(sequence, attempt, *verdict_));
    }
  }
  const nlohmann::json ack = {{"msg_ids", {envelope->msg_id}}};
  const absl::StatusOr<std::string> answer =
      EncodeMessage({.msg_id = NewMessageId(), .type = kAckMessage, .ts = absl::UnixEpoch(), .payload = ack.dump()});
  if (answer.ok()) Send(topics_.ack, *answer);
}

std::string Cloud::LastWord(uint64_t sequence, uint32_t attempt, std::string* reason) const {
  const Told* last = nullptr;
  for (const Told& told : told_) {
    if (told.sequence != sequence || told.attempt != attempt) continue;
    if (last == nullptr || std::pair(told.epoch, told.number) > std::pair(last->epoch, last->number)) last = &told;
  }
  if (last == nullptr) return "";
  if (reason != nullptr) *reason = last->reason;
  return last->state;
}

}  // namespace tandem::sim
