// The hardware watchdog that the bootloader arms for trial boots: CM feeds it while it is alive and in time.
#ifndef TANDEM_CM_HEALTH_WATCHDOG_H_
#define TANDEM_CM_HEALTH_WATCHDOG_H_

#include <functional>
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
  // Sets the timeout of an open device and gives the one that it has then, which may be another: devices have limits.
  // UNIMPLEMENTED: the file is no watchdog.
  using SetTimeout = std::function<absl::StatusOr<absl::Duration>(int fd, absl::Duration wanted)>;
  // Of a Linux watchdog, in whole seconds.
  static absl::StatusOr<absl::Duration> SetDeviceTimeout(int fd, absl::Duration wanted);

  // Opens `device` for writing without blocking; a FIFO that nobody reads yet is opened at a later Feed(). The device
  // is told `timeout` whenever it was opened.
  Watchdog(std::string device, absl::Duration timeout, Clock& clock, SetTimeout set_timeout = SetDeviceTimeout);
  // Leaves the watchdog armed: who replaces CM feeds it, or the unit resets.
  ~Watchdog();

  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // One byte. UNAVAILABLE when the device cannot be opened or written.
  absl::Status Feed();

  // How often to feed: a third of the timeout, or of the device's own when that is shorter.
  absl::Duration interval() const;

  // OK while the last Feed() that worked is younger than that timeout.
  absl::Status Check() const;

 private:
  absl::Status Open();

  const std::string device_;
  const absl::Duration wanted_;
  Clock& clock_;
  const SetTimeout set_timeout_;
  int fd_ = -1;
  mutable std::mutex mutex_;
  absl::Duration timeout_;
  absl::Duration last_fed_ = -absl::InfiniteDuration();
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_WATCHDOG_H_
