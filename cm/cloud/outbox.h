// Messages to the cloud that must arrive: on disk until the cloud's application acknowledges them.
//
// An MQTT acknowledgement only says that a broker has the message; so a message is sent again, with growing delays,
// until its msg_id comes in an `ack`. Receivers de-duplicate by (epoch, seq).
#ifndef TANDEM_CM_CLOUD_OUTBOX_H_
#define TANDEM_CM_CLOUD_OUTBOX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/net/backoff.h"
#include "common/storage/sqlite.h"

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
  // A damaged database is kept aside and logged; its messages are lost, and a fresh one is started.
  static absl::StatusOr<std::unique_ptr<Outbox>> Open(const std::string& path, OutboxOptions options = {});

  // After OK the message survives a power cut, or one with its `once_key` was waiting and goes on waiting unchanged.
  // With the outbox full, the oldest droppable message goes for it.
  absl::Status Add(const OutboxMessage& message);

  // At most `limit` messages to send at `now` (a monotonic clock), oldest first, each of which then is due again after
  // its delay.
  absl::StatusOr<std::vector<OutboxMessage>> TakeDue(absl::Duration now, int limit);

  // When the next message is due; InfiniteDuration() when there is none.
  absl::Duration NextDue() const;

  // After a reconnect: everything is due at once, with its first delay.
  void ResetDelays();

  // Removes what the cloud has. Unknown ids are ignored.
  absl::Status Acknowledge(const std::vector<std::string>& msg_ids);

  uint64_t size() const { return schedule_.size(); }
  // Since the database was made.
  uint64_t dropped() const { return dropped_; }
  // Highest epoch among the messages: this program's must be above it.
  uint64_t newest_epoch() const { return newest_epoch_; }

 private:
  // When a message is sent next. By row: rows ascend as messages are added.
  struct Delay {
    absl::Duration due;
    Backoff backoff;
  };

  Outbox(std::unique_ptr<Database> db, OutboxOptions options) : db_(std::move(db)), options_(options) {}
  absl::Status Load();
  absl::Status DropOverLimit(std::vector<int64_t>& dropped_rows);

  std::unique_ptr<Database> db_;
  const OutboxOptions options_;
  std::map<int64_t, Delay> schedule_;
  uint64_t dropped_ = 0;
  uint64_t newest_epoch_ = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_OUTBOX_H_
