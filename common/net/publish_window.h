// What is published with an acknowledgement: so many at a time as the broker allows, the rest waits here.
//
// The library (Paho) would hold back what is over the broker's receive maximum, too, but looks at it again only once a
// second: with Mosquitto's 20 that is 20 messages a second.
#ifndef TANDEM_COMMON_NET_PUBLISH_WINDOW_H_
#define TANDEM_COMMON_NET_PUBLISH_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/net/mqtt_message.h"
#include "common/net/pending_publishes.h"

namespace tandem {

// Thread-safe. Closed until Open().
class PublishWindow {
 public:
  using Done = PendingPublishes::Done;
  // Hands one message to the library, which answers with Answer(id, ...) later and never before it returns.
  using Send = std::function<absl::Status(uint64_t id, const MqttMessage& message)>;

  // `timeout`: for each answer. `max_waiting`: over it Publish() says UNAVAILABLE.
  PublishWindow(Send send, absl::Duration timeout, size_t max_waiting);

  // There is a connection, whose broker takes `window` messages at a time.
  void Open(size_t window);
  // It was lost: everything gets `status` as its answer.
  void Close(const absl::Status& status);
  // Everything gets UNAVAILABLE before it returns; no answer comes after it. Not from a `done`.
  void Stop();

  // In the order of the calls. `done`, unless empty, comes once, on a thread of its own. UNAVAILABLE: there is no
  // connection, or too many wait; `done` does not come then.
  absl::Status Publish(const MqttMessage& message, Done done);

  // An answer on the thread of the others, to what could not even be published.
  void Refuse(absl::Status status, Done done);

  // From the library. Never calls Send.
  void Answer(uint64_t id, absl::Status status) { pending_.Complete(id, std::move(status)); }

 private:
  void HandleAnswer(const std::shared_ptr<uint64_t>& id, const absl::Status& status, const Done& done);
  // The caller holds the lock.
  void SendWaiting();

  const Send send_;
  const absl::Duration timeout_;
  const size_t max_waiting_;
  std::mutex mutex_;
  size_t window_ = 0;
  // By their ids, which ascend.
  std::map<uint64_t, MqttMessage> waiting_;
  std::set<uint64_t> in_flight_;
  // Last, so that its thread ends first.
  PendingPublishes pending_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_PUBLISH_WINDOW_H_
