#include "common/time/clock.h"

#include <ctime>

#include "absl/time/clock.h"

namespace tandem {
namespace {

class RealClock : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
  absl::Duration Monotonic() override {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return absl::DurationFromTimespec(now);
  }
  void Sleep(absl::Duration duration) override { absl::SleepFor(duration); }
};

}  // namespace

Clock& Clock::Real() {
  static RealClock* const clock = new RealClock;
  return *clock;
}

absl::Time FakeClock::Now() {
  std::lock_guard lock(mutex_);
  return now_;
}

absl::Duration FakeClock::Monotonic() {
  std::lock_guard lock(mutex_);
  return monotonic_;
}

void FakeClock::Advance(absl::Duration duration) {
  std::lock_guard lock(mutex_);
  now_ += duration;
  monotonic_ += duration;
}

void FakeClock::SetNow(absl::Time now) {
  std::lock_guard lock(mutex_);
  now_ = now;
}

}  // namespace tandem
