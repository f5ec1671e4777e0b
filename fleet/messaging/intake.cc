#include "fleet/messaging/intake.h"

#include <utility>

#include "common/status/status.h"
#include "common/time/clock.h"
#include "fleet/messaging/unit_message_reader.h"

namespace tandem::fleet {
namespace {

// Between two offers of one message.
constexpr absl::Duration kOfferAgain = absl::Milliseconds(2);

size_t SizeOf(const MqttMessage& message) { return message.topic.size() + message.payload.size() + 128; }

}  // namespace

Intake::Intake(IntakeOptions options, UnitLinkCallbacks callbacks)
    : options_(std::move(options)), callbacks_(std::move(callbacks)), thread_([this] { Run(); }) {}

Intake::~Intake() { Stop(); }

void Intake::Take(MqttMessage message, Lane lane) {
  // An empty payload is how a retained message is taken back.
  if (message.payload.empty()) return;
  ++received_;
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  Queue& queue = lane == Lane::kLive ? live_ : retained_;
  const size_t size = SizeOf(message);
  if (queue.bytes + size > (lane == Lane::kLive ? options_.queue_bytes : options_.retained_bytes)) {
    ++dropped_;
    return;
  }
  queue.bytes += size;
  queue.messages.push_back(std::move(message));
  wake_.notify_one();
}

MqttMessage Intake::Pop(Queue& queue) {
  MqttMessage message = std::move(queue.messages.front());
  queue.messages.pop_front();
  queue.bytes -= SizeOf(message);
  return message;
}

std::optional<UnitMessage> Intake::Read(const MqttMessage& mqtt) {
  const absl::StatusOr<UnitTopic> topic = ParseUnitTopic(options_.name_space, mqtt.topic);
  UnitMessage message;
  absl::Status status = topic.status();
  if (topic.ok()) status = ReadUnitMessage(*topic, mqtt.payload, options_.max_message_bytes, message);
  if (status.ok()) return message;
  ++unreadable_;
  if (callbacks_.unreadable) callbacks_.unreadable(topic.ok() ? topic->unit_id : "", message.msg_id, status);
  return std::nullopt;
}

bool Intake::Wait(absl::Duration time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, absl::ToChronoNanoseconds(time), [this] { return stopping_; });
  return !stopping_;
}

void Intake::OfferLive(UnitMessage message) {
  // What is not taken was not moved from.
  while (!callbacks_.message(std::move(message))) {  // NOLINT(bugprone-use-after-move)
    if (!stalled_since_.has_value()) stalled_since_ = Clock::Real().Monotonic();
    if (Clock::Real().Monotonic() - *stalled_since_ >= options_.stall || !Wait(kOfferAgain)) {
      ++dropped_;
      return;
    }
  }
  stalled_since_.reset();
}

void Intake::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (held_.has_value() && live_.messages.empty()) {
      wake_.wait_for(lock, absl::ToChronoNanoseconds(kOfferAgain),
                     [this] { return stopping_ || !live_.messages.empty(); });
    } else {
      wake_.wait(lock, [this] { return stopping_ || !live_.messages.empty() || !retained_.messages.empty(); });
    }
    if (stopping_) return;
    if (!live_.messages.empty()) {
      const MqttMessage mqtt = Pop(live_);
      lock.unlock();
      if (std::optional<UnitMessage> message = Read(mqtt); message.has_value()) OfferLive(*std::move(message));
    } else {
      std::optional<MqttMessage> mqtt;
      if (!held_.has_value()) mqtt = Pop(retained_);
      lock.unlock();
      if (mqtt.has_value()) held_ = Read(*mqtt);
      if (held_.has_value() && callbacks_.message(*std::move(held_))) held_.reset();
    }
    lock.lock();
  }
}

void Intake::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace tandem::fleet
