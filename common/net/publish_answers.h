// What was answered to publishes, for tests: notes each answer, and waits for them.
#ifndef TANDEM_COMMON_NET_PUBLISH_ANSWERS_H_
#define TANDEM_COMMON_NET_PUBLISH_ANSWERS_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

#include "absl/status/status.h"

namespace tandem {

// Thread-safe. Must outlive what was given its Note().
class PublishAnswers {
 public:
  std::function<void(const absl::Status&)> Note() {
    return [this](const absl::Status& status) {
      std::lock_guard lock(mutex_);
      codes_.push_back(status.code());
      wake_.notify_all();
    };
  }
  // All so far, once there are so many, or after twenty seconds.
  std::vector<absl::StatusCode> WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, std::chrono::seconds(20), [&] { return codes_.size() >= count; });
    return codes_;
  }

 protected:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<absl::StatusCode> codes_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_PUBLISH_ANSWERS_H_
