#include "tools/unit-sim/control.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "nlohmann/json.hpp"

namespace tandem::sim {
namespace {

constexpr absl::Duration kLookEvery = absl::Milliseconds(10);

std::string StatusPath(const std::string& unit) { return JoinPath(unit, "status.json"); }

}  // namespace

std::string ControlPath(const std::string& unit) { return JoinPath(unit, "control"); }

std::string ToJson(const Status& status) {
  return nlohmann::ordered_json{{"state", status.state},           {"slot", status.slot},
                                {"reason", status.reason},         {"attempts_left", status.attempts_left},
                                {"boots", status.boots},           {"boot_id", status.boot_id},
                                {"power_cuts", status.power_cuts}, {"watchdog_resets", status.watchdog_resets},
                                {"simulator", status.simulator},   {"machine", status.machine}}
             .dump(2) +
         "\n";
}

std::string ToText(const Status& status) {
  if (status.state == "off") return absl::StrCat("off after ", status.boots, " boots");
  return absl::StrCat(status.state, ": slot ", status.slot, ", ", status.reason, ", boot ", status.boots);
}

absl::Status WriteStatus(const std::string& unit, const Status& status) {
  return FileSystem::Real().WriteFileAtomically(StatusPath(unit), ToJson(status));
}

absl::StatusOr<Status> ReadStatus(const std::string& unit) {
  ASSIGN_OR_RETURN(const std::string text, FileSystem::Real().ReadFile(StatusPath(unit)));
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError(absl::StrCat(StatusPath(unit), " is damaged"));
  Status status;
  status.state = json.value("state", "off");
  status.slot = json.value("slot", "none");
  status.reason = json.value("reason", "");
  status.boot_id = json.value("boot_id", "");
  status.boots = json.value("boots", uint64_t{0});
  status.power_cuts = json.value("power_cuts", uint64_t{0});
  status.watchdog_resets = json.value("watchdog_resets", uint64_t{0});
  status.attempts_left = json.value("attempts_left", uint32_t{0});
  status.simulator = json.value("simulator", pid_t{0});
  status.machine = json.value("machine", pid_t{0});
  // A simulator that was killed could not say so; then nobody reads its FIFO.
  const int control = open(ControlPath(unit).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (control >= 0) {
    close(control);
  } else {
    status.state = "off";
    status.slot = "none";
    status.machine = 0;
    status.simulator = 0;
  }
  return status;
}

absl::Status SendRequest(const std::string& unit, const std::string& line) {
  const std::string path = ControlPath(unit);
  const int control = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (control < 0) {
    if (errno == ENXIO || errno == ENOENT) {
      return absl::UnavailableError(absl::StrCat("no simulator runs for ", unit, "; start tandem-unit-sim run"));
    }
    return ErrnoStatus(errno, absl::StrCat("open ", path));
  }
  const std::string bytes = line + "\n";
  const ssize_t written = write(control, bytes.data(), bytes.size());
  const int error = errno;
  close(control);
  if (written != static_cast<ssize_t>(bytes.size())) return ErrnoStatus(error, absl::StrCat("write ", path));
  return absl::OkStatus();
}

absl::StatusOr<Status> WaitForStatus(const std::string& unit, absl::Duration timeout,
                                     const std::function<bool(const Status&)>& good) {
  const absl::Time end = absl::Now() + timeout;
  while (true) {
    absl::StatusOr<Status> status = ReadStatus(unit);
    if (status.ok() && good(*status)) return status;
    if (absl::Now() >= end) {
      return absl::DeadlineExceededError(absl::StrCat("after ", absl::FormatDuration(timeout), " the unit is ",
                                                      status.ok() ? ToText(*status) : ToPersonText(status.status())));
    }
    absl::SleepFor(kLookEvery);
  }
}

}  // namespace tandem::sim
