// When each waiting message is sent next: at once, and then with growing delays.
#ifndef TANDEM_CM_CLOUD_SEND_SCHEDULE_H_
#define TANDEM_CM_CLOUD_SEND_SCHEDULE_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "common/net/backoff.h"
#include "common/time/random_seed.h"

namespace tandem::cm {

// Not thread-safe. Messages are known by numbers that ascend as they are added.
class SendSchedule {
 public:
  explicit SendSchedule(BackoffOptions options) : options_(options), random_(static_cast<uint32_t>(RandomSeed())) {}

  // Due at once.
  void Add(int64_t message) { delays_.insert_or_assign(message, Delay{absl::ZeroDuration(), options_.first}); }
  void Remove(int64_t message) { delays_.erase(message); }

  // At most `limit` of what is due at `now`, oldest first; each is then due again after its delay.
  std::vector<int64_t> TakeDue(absl::Duration now, int limit) {
    std::vector<int64_t> due;
    for (auto& [message, delay] : delays_) {
      if (static_cast<int>(due.size()) >= limit) break;
      if (delay.due > now) continue;
      due.push_back(message);
      // Jitter, so that a fleet does not send in step.
      delay.due = now + delay.ceiling * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
      delay.ceiling = std::min(delay.ceiling * options_.factor, options_.max);
    }
    return due;
  }

  // InfiniteDuration() when there is nothing to send.
  absl::Duration NextDue() const {
    absl::Duration next = absl::InfiniteDuration();
    for (const auto& [message, delay] : delays_) next = std::min(next, delay.due);
    return next;
  }

  // Everything is due at once, with its first delay.
  void Reset() {
    for (auto& [message, delay] : delays_) delay = {absl::ZeroDuration(), options_.first};
  }

  uint64_t size() const { return delays_.size(); }

 private:
  struct Delay {
    absl::Duration due;
    // Of the next delay.
    absl::Duration ceiling;
  };

  const BackoffOptions options_;
  // A small generator: there may be one schedule for each of thousands of simulated units.
  std::minstd_rand random_;
  std::map<int64_t, Delay> delays_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_SEND_SCHEDULE_H_
