// Delays between retries: exponential, capped, with full jitter so that a fleet does not retry in step.
#ifndef TANDEM_COMMON_NET_BACKOFF_H_
#define TANDEM_COMMON_NET_BACKOFF_H_

#include <cstdint>
#include <random>

#include "absl/time/time.h"
#include "common/time/random_seed.h"

namespace tandem {

struct BackoffOptions {
  absl::Duration first = absl::Milliseconds(500);
  absl::Duration max = absl::Minutes(2);
  double factor = 2.0;
};

// Not thread-safe.
class Backoff {
 public:
  explicit Backoff(BackoffOptions options = {}, uint64_t seed = RandomSeed())
      : options_(options), ceiling_(options.first), random_(seed) {}

  // Between half of the current ceiling and all of it; then the ceiling grows.
  absl::Duration Next() {
    const absl::Duration ceiling = ceiling_;
    ceiling_ = std::min(ceiling_ * options_.factor, options_.max);
    return ceiling * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
  }

  // After a success.
  void Reset() { ceiling_ = options_.first; }

 private:
  BackoffOptions options_;
  absl::Duration ceiling_;
  std::mt19937_64 random_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_BACKOFF_H_
