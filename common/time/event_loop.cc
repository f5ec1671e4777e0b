#include "common/time/event_loop.h"

#include "absl/time/clock.h"

namespace tandem {

void EventLoop::Post(Task task) {
  std::lock_guard lock(mutex_);
  queue_.push_back(std::move(task));
  wake_.notify_one();
}

EventLoop::TimerId EventLoop::PostAfter(absl::Duration delay, Task task) {
  std::lock_guard lock(mutex_);
  const TimerId id = next_id_++;
  const absl::Duration due = clock_.Monotonic() + delay;
  timers_.emplace(std::pair(due, id), std::move(task));
  due_.emplace(id, due);
  wake_.notify_one();
  return id;
}

void EventLoop::Cancel(TimerId id) {
  std::lock_guard lock(mutex_);
  auto found = due_.find(id);
  if (found == due_.end()) return;
  timers_.erase({found->second, id});
  due_.erase(found);
}

void EventLoop::CollectDue(absl::Duration now) {
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto timer = timers_.extract(timers_.begin());
    const TimerId id = timer.key().second;
    // Still cancellable until it runs.
    queue_.push_back([this, id, task = std::move(timer.mapped())] {
      {
        std::lock_guard lock(mutex_);
        if (due_.erase(id) == 0) return;
      }
      task();
    });
  }
}

void EventLoop::Run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    CollectDue(clock_.Monotonic());
    if (!queue_.empty()) {
      Task task = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      task();
      task = nullptr;
      lock.lock();
      continue;
    }
    if (timers_.empty()) {
      wake_.wait(lock, [this] { return stopped_ || !queue_.empty() || !timers_.empty(); });
    } else {
      const absl::Duration wait = timers_.begin()->first.first - clock_.Monotonic();
      wake_.wait_for(lock, absl::ToChronoNanoseconds(wait));
    }
  }
}

void EventLoop::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  wake_.notify_all();
}

int EventLoop::RunReady() {
  int ran = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    CollectDue(clock_.Monotonic());
    if (queue_.empty()) return ran;
    Task task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task();
    ++ran;
    lock.lock();
  }
}

absl::Duration EventLoop::NextTimer() {
  std::lock_guard lock(mutex_);
  return timers_.empty() ? absl::InfiniteDuration() : timers_.begin()->first.first;
}

}  // namespace tandem
