// What waits for a broker's acknowledgement: each gets exactly one answer, whatever the connection does.
//
//   PendingPublishes pending;
//   const uint64_t id = pending.Add(absl::Seconds(20), done);
//   pending.Complete(id, absl::OkStatus());    // from any thread, the client library's included
#ifndef TANDEM_COMMON_NET_PENDING_PUBLISHES_H_
#define TANDEM_COMMON_NET_PENDING_PUBLISHES_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tandem {

// Thread-safe. Answers are given on a thread of its own, which the first Add() starts, in the order they became known.
class PendingPublishes {
 public:
  using Done = std::function<void(const absl::Status& status)>;

  PendingPublishes() = default;
  // As Stop().
  ~PendingPublishes();

  PendingPublishes(const PendingPublishes&) = delete;
  PendingPublishes& operator=(const PendingPublishes&) = delete;

  // `done` comes with DEADLINE_EXCEEDED unless there is an answer within `timeout`. After Stop() it does not come.
  uint64_t Add(absl::Duration timeout, Done done);

  // The answer to `id`. One that has its answer is ignored.
  void Complete(uint64_t id, absl::Status status);

  // The answer to everything that waits.
  void CompleteAll(const absl::Status& status);

  // Answers what waits with UNAVAILABLE. No answer comes after it. Not from a `done`.
  void Stop();

 private:
  struct Waiting {
    absl::Time deadline;
    Done done;
  };

  void Run();
  // The caller holds the lock.
  void Answer(std::map<uint64_t, Waiting>::iterator waiting, absl::Status status);

  std::mutex mutex_;
  std::condition_variable wake_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Waiting> waiting_;
  std::multimap<absl::Time, uint64_t> deadlines_;
  std::deque<std::pair<Done, absl::Status>> answers_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_PENDING_PUBLISHES_H_
