// Time as an interface, so that deadlines can be tested without waiting.
#ifndef TANDEM_COMMON_TIME_CLOCK_H_
#define TANDEM_COMMON_TIME_CLOCK_H_

#include <mutex>

#include "absl/time/time.h"

namespace tandem {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Time of day; may be wrong, and may jump (see cm/trust for the rule that decides what "now" is).
  virtual absl::Time Now() = 0;

  // Time since some fixed instant of this boot in which the machine was awake; never goes back. For budgets and
  // back-off: a machine that sleeps does nothing that could be late.
  virtual absl::Duration Monotonic() = 0;

  // Blocks the calling thread. Only for worker threads, never for an event thread.
  virtual void Sleep(absl::Duration duration) = 0;

  // The machine's clock; lives for ever.
  static Clock& Real();
};

// A clock that stands still until a test moves it. Sleep() moves it and returns at once.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'800'000'000)) : now_(start) {}

  absl::Time Now() override;
  absl::Duration Monotonic() override;
  void Sleep(absl::Duration duration) override { Advance(duration); }

  void Advance(absl::Duration duration);
  // A jump of the time of day only.
  void SetNow(absl::Time now);

 private:
  std::mutex mutex_;
  absl::Time now_;
  absl::Duration monotonic_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_TIME_CLOCK_H_
