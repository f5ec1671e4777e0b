// Tasks of one object on an event loop: none of them runs after the object is gone.
//
//   class Watcher {
//     explicit Watcher(EventLoop& loop) : scope_(loop) {}
//     void Begin() { scope_.PostAfter(absl::Seconds(1), [this] { Look(); }); }
//     LoopScope scope_;                                      // the last member: it ends first
//   };
#ifndef TANDEM_COMMON_TIME_LOOP_SCOPE_H_
#define TANDEM_COMMON_TIME_LOOP_SCOPE_H_

#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "common/time/event_loop.h"

namespace tandem {

// Created and destroyed on the loop's thread; Post() and PostAfter() may be called there only.
class LoopScope {
 public:
  // `loop` must outlive it.
  explicit LoopScope(EventLoop& loop) : loop_(loop) {}

  LoopScope(const LoopScope&) = delete;
  LoopScope& operator=(const LoopScope&) = delete;

  // `callback`, which does nothing once the scope has ended; for whoever else calls back on the loop's thread.
  template <typename Callback>
  auto Guard(Callback callback) const {
    return [alive = std::weak_ptr<const bool>(alive_), callback = std::move(callback)](auto&&... arguments) {
      if (!alive.expired()) callback(std::forward<decltype(arguments)>(arguments)...);
    };
  }

  void Post(EventLoop::Task task) { loop_.Post(Guard(std::move(task))); }
  EventLoop::TimerId PostAfter(absl::Duration delay, EventLoop::Task task) {
    return loop_.PostAfter(delay, Guard(std::move(task)));
  }
  void Cancel(EventLoop::TimerId id) { loop_.Cancel(id); }

 private:
  EventLoop& loop_;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace tandem

#endif  // TANDEM_COMMON_TIME_LOOP_SCOPE_H_
