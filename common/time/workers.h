// Where work that blocks runs, so that the event thread does not: threads, or whatever a simulation puts in their
// place.
//
//   std::unique_ptr<Worker> worker = workers.Start([&] { SlowThing(); });
//   ...
//   worker->Join();
#ifndef TANDEM_COMMON_TIME_WORKERS_H_
#define TANDEM_COMMON_TIME_WORKERS_H_

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "absl/time/time.h"

namespace tandem {

// A piece of work under way. Not thread-safe; it may be joined by another piece of work.
class Worker {
 public:
  // Joins.
  virtual ~Worker() = default;

  // Blocks until the work has ended; at once when that was seen before.
  virtual void Join() = 0;
};

// Thread-safe.
class Workers {
 public:
  virtual ~Workers() = default;

  // Never runs `work` on the calling thread.
  virtual std::unique_ptr<Worker> Start(std::function<void()> work) = 0;

  // For the work itself: lets go of `lock` until `changed` is told, for no longer than `at_most`. It may come back
  // earlier, so the caller looks again.
  virtual void Wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, absl::Duration at_most) = 0;

  // A thread for each piece of work, made when it starts; lives for ever.
  static Workers& Threads();
};

}  // namespace tandem

#endif  // TANDEM_COMMON_TIME_WORKERS_H_
