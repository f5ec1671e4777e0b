#include "cm/health/watchdog.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {

absl::StatusOr<absl::Duration> Watchdog::SetDeviceTimeout(int fd, absl::Duration wanted) {
  int seconds = static_cast<int>(std::max<int64_t>(absl::ToInt64Seconds(wanted), 1));
  // It says what it really set; one that cannot be set may still tell what it has.
  if (ioctl(fd, WDIOC_SETTIMEOUT, &seconds) == 0 || ioctl(fd, WDIOC_GETTIMEOUT, &seconds) == 0) {
    return absl::Seconds(seconds);
  }
  if (errno == ENOTTY || errno == EINVAL) return absl::UnimplementedError("no watchdog device");
  return ErrnoStatus(errno, "set its timeout");
}

Watchdog::Watchdog(std::string device, absl::Duration timeout, Clock& clock, SetTimeout set_timeout)
    : device_(std::move(device)),
      wanted_(timeout),
      clock_(clock),
      set_timeout_(std::move(set_timeout)),
      timeout_(timeout) {}

Watchdog::~Watchdog() {
  if (fd_ >= 0) close(fd_);
}

absl::Status Watchdog::Open() {
  fd_ = open(device_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) return Annotate(absl::UnavailableError(ErrnoStatus(errno, device_).message()), "watchdog");
  const absl::StatusOr<absl::Duration> own = set_timeout_(fd_, wanted_);
  if (absl::IsUnimplemented(own.status())) return absl::OkStatus();
  if (!own.ok()) {
    LogWarning("watchdog timeout cannot be set", {{"device", device_}, {"error", ToPersonText(own.status())}});
    return absl::OkStatus();
  }
  if (*own != wanted_) {
    LogWarning(
        "watchdog has another timeout than configured",
        {{"device", device_}, {"has", absl::FormatDuration(*own)}, {"configured", absl::FormatDuration(wanted_)}});
  }
  std::lock_guard lock(mutex_);
  timeout_ = std::min(*own, wanted_);
  return absl::OkStatus();
}

absl::Duration Watchdog::interval() const {
  std::lock_guard lock(mutex_);
  return timeout_ / 3;
}

absl::Status Watchdog::Feed() {
  if (fd_ < 0) RETURN_IF_ERROR(Open());
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
