// Messages to the cloud that must arrive, as an interface: kept until the cloud's application acknowledges them. On
// disk (sqlite_outbox.h), and in memory for simulated units (memory_outbox.h).
//
// An MQTT acknowledgement only says that a broker has the message; so a message is sent again, with growing delays,
// until its msg_id comes in an `ack`. Receivers de-duplicate by (epoch, seq).
#ifndef TANDEM_CM_CLOUD_OUTBOX_H_
#define TANDEM_CM_CLOUD_OUTBOX_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/net/backoff.h"

namespace tandem::cm {

struct OutboxMessage {
  uint64_t epoch = 0;
  uint64_t seq = 0;
  std::string msg_id;
  std::string type;
  std::string topic;
  // The whole message envelope.
  std::string json;
  // May go when the outbox is full.
  bool droppable = false;
  // Of messages with one key only the first waits; empty: all do.
  std::string once_key;
};

struct OutboxOptions {
  uint64_t limit = 10000;
  // Between two sendings of one message.
  BackoffOptions backoff{.first = absl::Seconds(10), .max = absl::Minutes(10)};
};

// Not thread-safe.
class Outbox {
 public:
  virtual ~Outbox() = default;

  // After OK the message is kept, or one with its `once_key` was waiting and goes on waiting unchanged. With the outbox
  // full, the oldest droppable message goes for it.
  virtual absl::Status Add(const OutboxMessage& message) = 0;

  // At most `limit` messages to send at `now` (a monotonic clock), oldest first, each of which then is due again after
  // its delay.
  virtual absl::StatusOr<std::vector<OutboxMessage>> TakeDue(absl::Duration now, int limit) = 0;

  // When the next message is due; InfiniteDuration() when there is none.
  virtual absl::Duration NextDue() const = 0;

  // After a reconnect: everything is due at once, with its first delay.
  virtual void ResetDelays() = 0;

  // Removes what the cloud has. Unknown ids are ignored.
  virtual absl::Status Acknowledge(const std::vector<std::string>& msg_ids) = 0;

  virtual uint64_t size() const = 0;
  // Since the outbox was made.
  virtual uint64_t dropped() const = 0;
  // Highest epoch among the messages: this program's must be above it.
  virtual uint64_t newest_epoch() const = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_OUTBOX_H_
