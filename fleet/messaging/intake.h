// Between the threads of an MQTT client, which must never wait, and who takes the units' messages: reads them, and
// offers each until it is taken or its patience ends.
#ifndef TANDEM_FLEET_MESSAGING_INTAKE_H_
#define TANDEM_FLEET_MESSAGING_INTAKE_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "common/net/mqtt_message.h"
#include "fleet/messaging/unit_link.h"

namespace tandem::fleet {

struct IntakeOptions {
  std::string name_space;
  // A larger message is unreadable.
  size_t max_message_bytes = 256 << 10;
  // Messages that wait to be read; what comes when it is full is dropped.
  size_t queue_bytes = 64 << 20;
  size_t retained_bytes = 512 << 20;
  // How long in all `message` may say that it has no room; from then on each message is offered once, until one is
  // taken.
  absl::Duration stall = absl::Milliseconds(200);
};

// Thread-safe. Callbacks are called on one thread of its own.
class Intake {
 public:
  // A message that comes now is lost if nobody takes it, until its unit says it again; one that was read from the
  // broker's store waits as long as it takes.
  enum class Lane { kLive, kRetained };

  Intake(IntakeOptions options, UnitLinkCallbacks callbacks);
  // As Stop().
  ~Intake();

  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  // Never waits.
  void Take(MqttMessage message, Lane lane);

  // What waits is let go. No callback comes after it. Not from a callback.
  void Stop();

  uint64_t received() const { return received_; }
  uint64_t unreadable() const { return unreadable_; }
  uint64_t dropped() const { return dropped_; }

 private:
  struct Queue {
    std::deque<MqttMessage> messages;
    size_t bytes = 0;
  };

  void Run();
  // nullopt: there was nothing to read, or `unreadable` was told.
  std::optional<UnitMessage> Read(const MqttMessage& message);
  void OfferLive(UnitMessage message);
  // False after Stop().
  bool Wait(absl::Duration time);
  static MqttMessage Pop(Queue& queue);

  const IntakeOptions options_;
  const UnitLinkCallbacks callbacks_;
  std::atomic<uint64_t> received_ = 0;
  std::atomic<uint64_t> unreadable_ = 0;
  std::atomic<uint64_t> dropped_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  Queue live_;
  Queue retained_;
  bool stopping_ = false;

  // Of the thread: since when nothing was taken, as a monotonic time.
  std::optional<absl::Duration> stalled_since_;
  // Offered again and again between live ones.
  std::optional<UnitMessage> held_;
  std::thread thread_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_MESSAGING_INTAKE_H_
