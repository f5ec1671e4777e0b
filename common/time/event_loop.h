// One event thread with timers: the owner of a state machine runs everything that touches its state here.
//
//   EventLoop loop(Clock::Real());
//   loop.Post([&] { coordinator.Handle(event); });      // from any thread
//   auto timer = loop.PostAfter(absl::Seconds(5), [&] { coordinator.Tick(); });
//   loop.Run();                                          // until Stop()
#ifndef TANDEM_COMMON_TIME_EVENT_LOOP_H_
#define TANDEM_COMMON_TIME_EVENT_LOOP_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

#include "absl/time/time.h"
#include "common/time/clock.h"

namespace tandem {

class EventLoop {
 public:
  using Task = std::function<void()>;
  using TimerId = uint64_t;

  // `clock` must outlive the loop; only its Monotonic() is used.
  explicit EventLoop(Clock& clock) : clock_(clock) {}

  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Queues `task`, from any thread. Tasks run in the order posted.
  void Post(Task task);

  // Runs `task` no earlier than `delay` from now, from any thread.
  TimerId PostAfter(absl::Duration delay, Task task);

  // A timer that has run or was cancelled is ignored. After Cancel() on the event thread the task does not run.
  void Cancel(TimerId id);

  // Runs tasks on the calling thread until Stop(); what is still queued then is dropped.
  void Run();
  void Stop();

  // For tests with a FakeClock: runs everything that is due now, without waiting; returns how many tasks ran.
  int RunReady();
  // When the next timer is due, as Monotonic(); InfiniteDuration() when there is none.
  absl::Duration NextTimer();

 private:
  // Moves due timers to the queue; the caller holds the lock.
  void CollectDue(absl::Duration now);

  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  std::map<std::pair<absl::Duration, TimerId>, Task> timers_;
  std::map<TimerId, absl::Duration> due_;
  TimerId next_id_ = 1;
  bool stopped_ = false;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_TIME_EVENT_LOOP_H_
