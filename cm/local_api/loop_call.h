// A call that another thread carries out: it waits for a while, then gives up for good.
#ifndef TANDEM_CM_LOCAL_API_LOOP_CALL_H_
#define TANDEM_CM_LOCAL_API_LOOP_CALL_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "common/time/event_loop.h"

namespace tandem::cm {

// Runs `call` (which gives a StatusOr) on `loop` and waits for what it gives. DEADLINE_EXCEEDED when the loop did not
// get to it within `timeout`, UNAVAILABLE once `ended` says that the loop has stopped: then it never runs. A call that
// has begun is waited for.
template <typename Call>
auto CallOnLoop(EventLoop& loop, Call call, std::chrono::milliseconds timeout, const std::function<bool()>& ended)
    -> decltype(call()) {
  // Whoever takes it first decides: the loop runs it, or the waiting thread gives it up.
  struct Shared {
    std::atomic<bool> taken = false;
    std::promise<decltype(call())> result;
  };
  auto shared = std::make_shared<Shared>();
  auto future = shared->result.get_future();
  loop.Post([shared, call = std::move(call)] {
    if (!shared->taken.exchange(true)) shared->result.set_value(call());
  });
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (future.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
    const bool stopped = ended();
    if (!stopped && std::chrono::steady_clock::now() <= deadline) continue;
    if (shared->taken.exchange(true)) break;
    if (stopped) return absl::UnavailableError("CM ends");
    return absl::DeadlineExceededError("CM is busy; nothing was done; try again");
  }
  return future.get();
}

}  // namespace tandem::cm

#endif  // TANDEM_CM_LOCAL_API_LOOP_CALL_H_
