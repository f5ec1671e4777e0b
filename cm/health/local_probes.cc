#include "cm/health/local_probes.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cm/health/threshold.h"
#include "common/process/run_command.h"
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

std::optional<double> FirstNumber(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const bool sign = (text[i] == '-' || text[i] == '+') && i + 1 < text.size();
    if (!std::isdigit(static_cast<unsigned char>(text[sign ? i + 1 : i]))) continue;
    return std::strtod(text.c_str() + i, nullptr);
  }
  return std::nullopt;
}

class ExecProbe : public Probe {
 public:
  explicit ExecProbe(const release::v1::ExecProbe& config) : config_(config) {}

  absl::StatusOr<std::string> Run(absl::Duration timeout) override {
    Command command;
    command.argv = {config_.command().begin(), config_.command().end()};
    command.timeout = timeout;
    ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
    if (result.exit_code != 0) {
      const std::string& text = result.error_output.empty() ? result.output : result.error_output;
      return absl::FailedPreconditionError(
          absl::StrCat("exit code ", result.exit_code, text.empty() ? "" : ": ", LastLine(text)));
    }
    if (!config_.has_threshold()) return "exit code 0";
    const std::optional<double> number = FirstNumber(result.output);
    if (!number.has_value()) return absl::FailedPreconditionError("it printed no number");
    return CheckThreshold(*number, "", config_.threshold());
  }

 private:
  static std::string LastLine(absl::string_view text) {
    text = absl::StripTrailingAsciiWhitespace(text);
    const size_t end = text.rfind('\n');
    return std::string(end == absl::string_view::npos ? text : text.substr(end + 1));
  }

  const release::v1::ExecProbe config_;
};

class WatchdogProbe : public Probe {
 public:
  explicit WatchdogProbe(std::function<absl::Status()> watchdog) : watchdog_(std::move(watchdog)) {}

  absl::StatusOr<std::string> Run(absl::Duration /*timeout*/) override {
    RETURN_IF_ERROR(watchdog_());
    return "fed in time";
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

  absl::StatusOr<std::string> Run(absl::Duration /*timeout*/) override {
    struct stat info {};
    if (stat(path_.c_str(), &info) != 0) return ErrnoStatus(errno, path_);
    // A file from the future (the clock was set back) is as fresh as can be.
    const absl::Duration age = std::max(clock_.Now() - absl::TimeFromTimespec(info.st_mtim), absl::ZeroDuration());
    if (age <= max_age_) return absl::StrCat(absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))), " old");
    return absl::FailedPreconditionError(absl::StrCat(path_, " is ",
                                                      absl::FormatDuration(absl::Trunc(age, absl::Seconds(1))),
                                                      " old, at most ", absl::FormatDuration(max_age_), " allowed"));
  }

 private:
  const std::string path_;
  const absl::Duration max_age_;
  Clock& clock_;
};

class FreeDiskProbe : public Probe {
 public:
  explicit FreeDiskProbe(const release::v1::FreeDiskProbe& config) : config_(config) {}

  absl::StatusOr<std::string> Run(absl::Duration /*timeout*/) override {
    struct statvfs info {};
    if (statvfs(config_.path().c_str(), &info) != 0) return ErrnoStatus(errno, config_.path());
    const double free = static_cast<double>(info.f_bavail) * static_cast<double>(info.f_frsize);
    const double total = static_cast<double>(info.f_blocks) * static_cast<double>(info.f_frsize);
    const double percent = total > 0 ? 100 * free / total : 0;
    const std::string text = absl::StrFormat("%s free (%.3g %%)", Bytes(free), percent);
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

 private:
  const release::v1::FreeDiskProbe config_;
};

class MemoryProbe : public Probe {
 public:
  MemoryProbe(const release::v1::MemoryProbe& config, std::string meminfo_file)
      : min_bytes_(config.min_available_bytes()), meminfo_file_(std::move(meminfo_file)) {}

  absl::StatusOr<std::string> Run(absl::Duration /*timeout*/) override {
    ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().ReadFile(meminfo_file_, kMaxKernelFile));
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!absl::ConsumePrefix(&line, "MemAvailable:") || !absl::ConsumeSuffix(&line, "kB")) continue;
      uint64_t kib = 0;
      if (!absl::SimpleAtoi(line, &kib)) break;
      const std::string available = Bytes(static_cast<double>(kib) * 1024);
      if (kib * 1024 >= min_bytes_) return absl::StrCat(available, " available");
      return absl::FailedPreconditionError(
          absl::StrCat(available, " available, ", Bytes(static_cast<double>(min_bytes_)), " needed"));
    }
    return absl::DataLossError(absl::StrCat(meminfo_file_, " has no MemAvailable"));
  }

 private:
  const uint64_t min_bytes_;
  const std::string meminfo_file_;
};

class TemperatureProbe : public Probe {
 public:
  explicit TemperatureProbe(const release::v1::TemperatureProbe& config) : config_(config) {}

  absl::StatusOr<std::string> Run(absl::Duration /*timeout*/) override {
    ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().ReadFile(config_.path(), kMaxKernelFile));
    double millidegrees = 0;
    if (!absl::SimpleAtod(text, &millidegrees)) {
      return absl::DataLossError(absl::StrCat(config_.path(), " holds no number"));
    }
    release::v1::Threshold threshold;
    threshold.set_max(config_.max_celsius());
    return CheckThreshold(millidegrees / 1000, "C", threshold);
  }

 private:
  const release::v1::TemperatureProbe config_;
};

class VersionProbe : public Probe {
 public:
  VersionProbe(const release::v1::VersionProbe& config, std::function<std::vector<ProbeComponent>()> components)
      : config_(config), components_(std::move(components)) {}

  absl::StatusOr<std::string> Run(absl::Duration /*timeout*/) override {
    int found = 0;
    for (const ProbeComponent& component : components_()) {
      if (component.component_type != config_.component_type()) continue;
      ++found;
      const std::string& expected = config_.version().empty() ? component.target_version : config_.version();
      // A component that the update does not touch has no target to be checked against.
      if (expected.empty() || component.version == expected) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("\"", component.component_id, "\" reports ", component.version, ", expected ", expected));
    }
    if (found > 0) return absl::StrCat(found, " component(s) as expected");
    return absl::FailedPreconditionError(absl::StrCat("no component of type ", config_.component_type(), " reports"));
  }

 private:
  const release::v1::VersionProbe config_;
  const std::function<std::vector<ProbeComponent>()> components_;
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

std::unique_ptr<Probe> MakeExecProbe(const release::v1::ExecProbe& config) {
  return std::make_unique<ExecProbe>(config);
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
std::unique_ptr<Probe> MakeTemperatureProbe(const release::v1::TemperatureProbe& config) {
  return std::make_unique<TemperatureProbe>(config);
}
std::unique_ptr<Probe> MakeVersionProbe(const release::v1::VersionProbe& config,
                                        std::function<std::vector<ProbeComponent>()> components) {
  return std::make_unique<VersionProbe>(config, std::move(components));
}

}  // namespace tandem::cm
