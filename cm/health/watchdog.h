// The hardware watchdog that the bootloader arms for trial boots: CM feeds it while it is alive and in time.
#ifndef TANDEM_CM_HEALTH_WATCHDOG_H_
#define TANDEM_CM_HEALTH_WATCHDOG_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/time/clock.h"

namespace tandem::cm {

// Feed() on the event thread, so that a stuck one starves the watchdog; Check() from any thread.
class Watchdog {
 public:
  // Opens `device` for writing without blocking; a FIFO that nobody reads yet is opened at a later Feed().
  Watchdog(std::string device, absl::Duration timeout, Clock& clock);
  // Leaves the watchdog armed: who replaces CM feeds it, or the unit resets.
  ~Watchdog();

  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // One byte. UNAVAILABLE when the device cannot be opened or written.
  absl::Status Feed();

  // How often to feed: a third of the timeout.
  absl::Duration interval() const { return timeout_ / 3; }

  // OK while the last Feed() that worked is younger than the timeout.
  absl::Status Check() const;

 private:
  const std::string device_;
  const absl::Duration timeout_;
  Clock& clock_;
  int fd_ = -1;
  mutable std::mutex mutex_;
  absl::Duration last_fed_ = -absl::InfiniteDuration();
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_WATCHDOG_H_
