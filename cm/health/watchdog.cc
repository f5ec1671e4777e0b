#include "cm/health/watchdog.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::cm {

Watchdog::Watchdog(std::string device, absl::Duration timeout, Clock& clock)
    : device_(std::move(device)), timeout_(timeout), clock_(clock) {}

Watchdog::~Watchdog() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Watchdog::Feed() {
  if (fd_ < 0) fd_ = open(device_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) return Annotate(absl::UnavailableError(ErrnoStatus(errno, device_).message()), "watchdog");
  // Not 'V', which disarms a Linux watchdog when the device is closed.
  if (write(fd_, "w", 1) != 1 && errno != EAGAIN) {
    const int error = errno;
    close(std::exchange(fd_, -1));
    return Annotate(absl::UnavailableError(ErrnoStatus(error, device_).message()), "watchdog");
  }
  std::lock_guard lock(mutex_);
  last_fed_ = clock_.Monotonic();
  return absl::OkStatus();
}

absl::Status Watchdog::Check() const {
  std::lock_guard lock(mutex_);
  const absl::Duration age = clock_.Monotonic() - last_fed_;
  if (age <= timeout_) return absl::OkStatus();
  return absl::DeadlineExceededError(
      last_fed_ == -absl::InfiniteDuration()
          ? absl::StrCat("watchdog ", device_, " was never fed")
          : absl::StrCat("watchdog ", device_, " was last fed ", absl::FormatDuration(age), " ago"));
}

}  // namespace tandem::cm
