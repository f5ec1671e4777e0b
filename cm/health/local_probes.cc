#include "cm/health/local_probes.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cm/health/threshold.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::cm {
namespace {

// Enough for what a kernel prints into one file.
constexpr uint64_t kMaxKernelFile = 1 << 20;

std::string Bytes(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < std::size(kUnits)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrFormat("%.4g %s", bytes, kUnits[unit]);
}

class WatchdogProbe : public Probe {
 public:
  explicit WatchdogProbe(std::function<absl::Status()> watchdog) : watchdog_(std::move(watchdog)) {}

  ProbeReport Measure(absl::Duration /*timeout*/) override {
    const absl::Status fed = watchdog_();
    return {.result = fed.ok() ? absl::StatusOr<std::string>("fed in time") : fed};
  }

 private:
  const std::function<absl::Status()> watchdog_;
};

class FileAgeProbe : public Probe {
 public:
  FileAgeProbe(const release::v1::FileAgeProbe& config, Clock& clock)
      : path_(config.path()),
        max_age_(absl::Seconds(config.max_age().seconds()) + absl::Nanoseconds(config.max_age().nanos())),
        clock_(clock) {}

  ProbeReport Measure(absl::Duration /*timeout*/) override {
    ProbeReport report;
    report.result = Judge(report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(std::vector<ProbeMeasurement>& measurements) {
    struct stat info {};
    if (stat(path_.c_str(), &info) != 0) return ErrnoStatus(errno, path_);
    // A file from the future (the clock was set back) is as fresh as can be.
    const absl::Duration age = std::max(clock_.Now() - absl::TimeFromTimespec(info.st_mtim), absl::ZeroDuration());
    measurements = {
        {.name = "age", .value = absl::ToDoubleSeconds(age), .unit = "s", .max = absl::ToDoubleSeconds(max_age_)}};
    if (age <= max_age_) return absl::StrCat(absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))), " old");
    return absl::FailedPreconditionError(absl::StrCat(path_, " is ",
                                                      absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))),
                                                      " old, at most ", absl::FormatDuration(max_age_), " allowed"));
  }

  const std::string path_;
  const absl::Duration max_age_;
  Clock& clock_;
};

class FreeDiskProbe : public Probe {
 public:
  explicit FreeDiskProbe(const release::v1::FreeDiskProbe& config) : config_(config) {}

  ProbeReport Measure(absl::Duration /*timeout*/) override {
    ProbeReport report;
    report.result = Judge(report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(std::vector<ProbeMeasurement>& measurements) {
    struct statvfs info {};
    if (statvfs(config_.path().c_str(), &info) != 0) return ErrnoStatus(errno, config_.path());
    const double free = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
    const double total = static_cast<double>(info.f_blocks) * static_cast<double>(info.f_frsize);
    const double percent = total > 0 ? 100 * free / total : 0;
    const std::string text = absl::StrFormat("%s free (%.3g %%)", Bytes(free), percent);
    measurements = {{.name = "free", .value = free, .unit = "bytes"}, {.name = "free", .value = percent, .unit = "%"}};
    if (config_.min_bytes() > 0) measurements[0].min = static_cast<double>(config_.min_bytes());
    if (config_.min_percent() > 0) measurements[1].min = config_.min_percent();
    if (free < static_cast<double>(config_.min_bytes())) {
      return absl::FailedPreconditionError(absl::StrCat(config_.path(), " has ", text, ", ",
                                                        Bytes(static_cast<double>(config_.min_bytes())), " needed"));
    }
    if (percent < config_.min_percent()) {
      return absl::FailedPreconditionError(
          absl::StrCat(config_.path(), " has ", text, ", ", config_.min_percent(), " % needed"));
    }
    return text;
  }

  const release::v1::FreeDiskProbe config_;
};

class MemoryProbe : public Probe {
 public:
  MemoryProbe(const release::v1::MemoryProbe& config, std::string meminfo_file)
      : min_bytes_(config.min_available_bytes()), meminfo_file_(std::move(meminfo_file)) {}

  ProbeReport Measure(absl::Duration /*timeout*/) override {
    ProbeReport report;
    report.result = Judge(report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(std::vector<ProbeMeasurement>& measurements) {
    ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().ReadFile(meminfo_file_, kMaxKernelFile));
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!absl::ConsumePrefix(&line, "MemAvailable:") || !absl::ConsumeSuffix(&line, "kB")) continue;
      uint64_t kib = 0;
      if (!absl::SimpleAtoi(line, &kib)) break;
      const std::string available = Bytes(static_cast<double>(kib) * 1024);
      measurements = {{.name = "available",
                       .value = static_cast<double>(kib) * 1024,
                       .unit = "bytes",
                       .min = static_cast<double>(min_bytes_)}};
      if (kib * 1024 >= min_bytes_) return absl::StrCat(available, " available");
      return absl::FailedPreconditionError(
          absl::StrCat(available, " available, ", Bytes(static_cast<double>(min_bytes_)), " needed"));
    }
    return absl::DataLossError(absl::StrCat(meminfo_file_, " has no MemAvailable"));
  }

  const uint64_t min_bytes_;
  const std::string meminfo_file_;
};

class TemperatureProbe : public Probe {
 public:
  explicit TemperatureProbe(const release::v1::TemperatureProbe& config) : config_(config) {}

  ProbeReport Measure(absl::Duration /*timeout*/) override {
    ProbeReport report;
    report.result = Judge(report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(std::vector<ProbeMeasurement>& measurements) {
    ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().ReadFile(config_.path(), kMaxKernelFile));
    double millidegrees = 0;
    if (!absl::SimpleAtod(text, &millidegrees)) {
      return absl::DataLossError(absl::StrCat(config_.path(), " holds no number"));
    }
    release::v1::Threshold threshold;
    threshold.set_max(config_.max_celsius());
    measurements = {{.name = "temperature", .value = millidegrees / 1000, .unit = "C", .max = config_.max_celsius()}};
    return CheckThreshold(millidegrees / 1000, "C", threshold);
  }

  const release::v1::TemperatureProbe config_;
};

class VersionProbe : public Probe {
 public:
  VersionProbe(const release::v1::VersionProbe& config, std::function<std::vector<ProbeComponent>()> components)
      : config_(config), components_(std::move(components)) {}

  ProbeReport Measure(absl::Duration /*timeout*/) override {
    ProbeReport report;
    report.result = Judge(report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(std::vector<ProbeMeasurement>& measurements) {
    int found = 0;
    for (const ProbeComponent& component : components_()) {
      if (component.component_type != config_.component_type()) continue;
      ++found;
      measurements = {{.name = "components", .value = static_cast<double>(found)}};
      const std::string& expected = config_.version().empty() ? component.target_version : config_.version();
      // A component that the update does not touch has no target to be checked against.
      if (expected.empty() || component.version == expected) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("\"", component.component_id, "\" reports ", component.version, ", expected ", expected));
    }
    if (found > 0) return absl::StrCat(found, " component(s) as expected");
    return absl::FailedPreconditionError(absl::StrCat("no component of type ", config_.component_type(), " reports"));
  }

  const release::v1::VersionProbe config_;
  const std::function<std::vector<ProbeComponent>()> components_;
};

// There is one reader for each kind of device, and no end of kinds: what can be read tells that something flows.
class DeviceProbe : public Probe {
 public:
  explicit DeviceProbe(const release::v1::DeviceProbe& config) : config_(config) {}

  ProbeReport Measure(absl::Duration timeout) override {
    ProbeReport report;
    struct stat info {};
    if (stat(config_.path().c_str(), &info) != 0) {
      report.result = ErrnoStatus(errno, config_.path());
    } else if (S_ISDIR(info.st_mode)) {
      report.result = absl::FailedPreconditionError(absl::StrCat(config_.path(), " is a folder"));
    } else if (config_.min_bytes() == 0) {
      report.result = "is there";
    } else {
      uint64_t read = 0;
      report.result = Read(timeout, read);
      report.measurements = {{.name = "read",
                              .value = static_cast<double>(read),
                              .unit = "bytes",
                              .min = static_cast<double>(config_.min_bytes())}};
    }
    return report;
  }

 private:
  absl::StatusOr<std::string> Read(absl::Duration timeout, uint64_t& total) const {
    const int fd = open(config_.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return ErrnoStatus(errno, config_.path());
    const absl::StatusOr<std::string> result = ReadFrom(fd, timeout, total);
    close(fd);
    return result;
  }

  absl::StatusOr<std::string> ReadFrom(int fd, absl::Duration timeout, uint64_t& total) const {
    const absl::Duration end = Clock::Real().Monotonic() + timeout;
    std::array<char, 64 << 10> buffer;
    while (total < config_.min_bytes()) {
      const ssize_t got = read(fd, buffer.data(), buffer.size());
      if (got > 0) {
        total += static_cast<uint64_t>(got);
        continue;
      }
      if (got == 0) {
        return absl::FailedPreconditionError(
            absl::StrCat(config_.path(), " ended after ", total, " of ", config_.min_bytes(), " bytes"));
      }
      if (errno != EAGAIN && errno != EINTR) return ErrnoStatus(errno, config_.path());
      const absl::Duration left = end - Clock::Real().Monotonic();
      pollfd waiting{fd, POLLIN, 0};
      if (left <= absl::ZeroDuration()) {
        return absl::DeadlineExceededError(absl::StrCat(config_.path(), " gave ", total, " of ", config_.min_bytes(),
                                                        " bytes within ", absl::FormatDuration(timeout)));
      }
      poll(&waiting, 1, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
    }
    return absl::StrCat(total, " bytes read");
  }

  const release::v1::DeviceProbe config_;
};

}  // namespace

absl::StatusOr<std::string> CheckThreshold(double value, std::string_view unit,
                                           const release::v1::Threshold& threshold) {
  const std::string suffix = unit.empty() ? "" : absl::StrCat(" ", std::string(unit));
  const std::string text = absl::StrFormat("%.6g%s", value, suffix);
  // Written so that a value that is no number fails.
  if (threshold.has_max() && !(value <= threshold.max())) {
    return absl::FailedPreconditionError(absl::StrCat(text, " is above the limit of ", threshold.max(), suffix));
  }
  if (threshold.has_min() && !(value >= threshold.min())) {
    return absl::FailedPreconditionError(absl::StrCat(text, " is below the limit of ", threshold.min(), suffix));
  }
  return text;
}

void SetAllowed(const release::v1::Threshold& threshold, ProbeMeasurement& measurement) {
  if (threshold.has_min()) measurement.min = threshold.min();
  if (threshold.has_max()) measurement.max = threshold.max();
}

std::unique_ptr<Probe> MakeWatchdogProbe(std::function<absl::Status()> watchdog) {
  return std::make_unique<WatchdogProbe>(std::move(watchdog));
}
std::unique_ptr<Probe> MakeFileAgeProbe(const release::v1::FileAgeProbe& config, Clock& clock) {
  return std::make_unique<FileAgeProbe>(config, clock);
}
std::unique_ptr<Probe> MakeFreeDiskProbe(const release::v1::FreeDiskProbe& config) {
  return std::make_unique<FreeDiskProbe>(config);
}
std::unique_ptr<Probe> MakeMemoryProbe(const release::v1::MemoryProbe& config, std::string meminfo_file) {
  return std::make_unique<MemoryProbe>(config, std::move(meminfo_file));
}
std::unique_ptr<Probe> MakeDeviceProbe(const release::v1::DeviceProbe& config) {
  return std::make_unique<DeviceProbe>(config);
}
std::unique_ptr<Probe> MakeTemperatureProbe(const release::v1::TemperatureProbe& config) {
  return std::make_unique<TemperatureProbe>(config);
}
std::unique_ptr<Probe> MakeVersionProbe(const release::v1::VersionProbe& config,
                                        std::function<std::vector<ProbeComponent>()> components) {
  return std::make_unique<VersionProbe>(config, std::move(components));
}

}  // namespace tandem::cm
