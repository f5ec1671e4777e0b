#include "tools/unit-sim/unit_sim.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <random>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "common/process/run_command.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "tools/unit-sim/machine.h"
#include "tools/unit-sim/process_tree.h"

namespace tandem::sim {
namespace {

// On top of the machine's own stop_timeout.
constexpr absl::Duration kStopGrace = absl::Seconds(5);

absl::Duration Monotonic() { return Clock::Real().Monotonic(); }

void CloseFd(int& fd) {
  if (fd >= 0) close(std::exchange(fd, -1));
}

// Both ends in one, so that it never sees an end of file and writers never block for want of a reader.
absl::StatusOr<int> OpenFifo(const std::string& path) {
  if (mkfifo(path.c_str(), 0600) < 0 && errno != EEXIST) return ErrnoStatus(errno, absl::StrCat("make FIFO ", path));
  const int fd = open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open FIFO ", path));
  return fd;
}

std::string NewBootId() {
  std::random_device random;
  auto group = [&](int bits) { return random() & ((uint64_t{1} << bits) - 1); };
  return absl::StrFormat("%08x-%04x-4%03x-a%03x-%06x%06x", group(32), group(16), group(12), group(12), group(24),
                         group(24));
}

}  // namespace

UnitSim::UnitSim(Config config)
    : config_(std::move(config)),
      boot_chain_(MakeBootChain(config_)),
      peripherals_(config_.peripherals, JoinPath(config_.unit, "log")) {}

UnitSim::~UnitSim() {
  KillMachine();
  for (int* fd : {&signals_, &control_, &watchdog_, &running_}) CloseFd(*fd);
}

absl::Status UnitSim::Open() {
  FileSystem& fs = FileSystem::Real();
  RETURN_IF_ERROR(fs.MakeFolders(JoinPath(config_.unit, "log")));
  RETURN_IF_ERROR(boot_chain_->Provision());
  if (const absl::StatusOr<Status> before = ReadStatus(config_.unit); before.ok()) {
    shown_.boots = before->boots;
    shown_.power_cuts = before->power_cuts;
    shown_.watchdog_resets = before->watchdog_resets;
  }
  shown_.simulator = getpid();
  ASSIGN_OR_RETURN(control_, OpenFifo(ControlPath(config_.unit)));
  sigset_t watched;
  sigemptyset(&watched);
  for (const int one : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&watched, one);
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  signals_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) return ErrnoStatus(errno, "watch signals");
  return absl::OkStatus();
}

absl::Status UnitSim::Run(bool exit_after_idle) {
  RETURN_IF_ERROR(Open());
  RETURN_IF_ERROR(Boot());
  while (true) {
    if (exit_after_idle && machine_ == 0 && power_on_at_ == absl::InfiniteDuration()) break;
    ASSIGN_OR_RETURN(const bool go_on, HandleNext());
    if (!go_on) break;
  }
  KillMachine();
  if (shown_.state != "recovery") SetState("off");
  return absl::OkStatus();
}

// ---- Bootloader ----

absl::Status UnitSim::Unpack(boot::Slot slot) {
  Command command{
      .argv = {"unsquashfs", "-no-progress", "-no-xattrs", "-force", "-dest", config_.root, config_.Image(slot)},
      .timeout = config_.boot_timeout};
  command.argv.insert(command.argv.end(), config_.unpack_paths.begin(), config_.unpack_paths.end());
  return RunCommandOk(command);
}

void UnitSim::Recover(const std::string& why) {
  shown_.slot = "none";
  shown_.reason = why;
  Console(absl::StrCat("boot ", shown_.boots, ": recovery, ", why));
  SetState("recovery");
}

absl::Status UnitSim::Boot() {
  FileSystem& fs = FileSystem::Real();
  power_on_at_ = absl::InfiniteDuration();
  RETURN_IF_ERROR(peripherals_.PowerOn());
  while (true) {
    ++shown_.boots;
    CloseFd(watchdog_);
    RETURN_IF_ERROR(fs.RemoveTree(config_.run));
    RETURN_IF_ERROR(fs.MakeFolders(config_.run));
    if (failed_boots_ >= config_.max_failed_boots) {
      Recover(absl::StrCat("gave up after ", failed_boots_, " failed boots"));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const BootChoice choice, boot_chain_->Choose([&](const std::string& line) {
      Console(absl::StrCat("boot ", shown_.boots, ": ", line));
    }));
    if (choice.slot == boot::Slot::kNone) {
      Recover(choice.reason);
      return absl::OkStatus();
    }
    shown_.slot = boot::SlotName(choice.slot);
    shown_.reason = choice.reason;
    shown_.attempts_left = choice.attempts_left;
    shown_.boot_id = NewBootId();
    Console(absl::StrCat("boot ", shown_.boots, ": slot ", shown_.slot, ", ", shown_.reason,
                         choice.trial ? absl::StrCat(", ", shown_.attempts_left, " attempts left") : ""));
    SetState("booting");
    if (const absl::Status unpacked = Unpack(choice.slot); !unpacked.ok()) {
      Console(absl::StrCat("boot ", shown_.boots, ": the image of slot ", shown_.slot,
                           " is bad: ", ToPersonText(unpacked)));
      ++failed_boots_;
      // A slot that cannot be given up is tried again, until the unit gives up.
      (void)boot_chain_->MarkUnbootable(choice.slot);
      continue;
    }
    return StartMachine(choice);
  }
}

absl::Status UnitSim::StartMachine(const BootChoice& choice) {
  FileSystem& fs = FileSystem::Real();
  RETURN_IF_ERROR(
      fs.WriteFileAtomically(JoinPath(config_.run, "cmdline"), absl::StrCat("console=ttyS0 ", choice.cmdline, "\n")));
  RETURN_IF_ERROR(fs.WriteFileAtomically(JoinPath(config_.run, "boot_id"), shown_.boot_id + "\n"));
  watchdog_end_ = absl::InfiniteDuration();
  if (config_.watchdog_timeout > absl::ZeroDuration()) {
    ASSIGN_OR_RETURN(watchdog_, OpenFifo(config_.watchdog_fifo));
    if (choice.trial) watchdog_end_ = Monotonic() + config_.watchdog_timeout;
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return ErrnoStatus(errno, "open a pipe");
  CloseFd(running_);
  running_ = ends[0];
  const absl::StatusOr<pid_t> machine = sim::StartMachine(config_, choice.slot, ends[1]);
  close(ends[1]);
  RETURN_IF_ERROR(machine.status());
  machine_ = *machine;
  machine_fd_ = static_cast<int>(syscall(SYS_pidfd_open, machine_, 0));
  stopping_ = false;
  stop_end_ = absl::InfiniteDuration();
  SetState("booting");
  return absl::OkStatus();
}

// ---- Events ----

absl::StatusOr<bool> UnitSim::HandleNext() {
  std::array<pollfd, 5> watched = {pollfd{signals_, POLLIN, 0}, pollfd{control_, POLLIN, 0},
                                   pollfd{watchdog_, POLLIN, 0}, pollfd{running_, POLLIN, 0},
                                   pollfd{machine_fd_, POLLIN, 0}};
  const absl::Duration next = std::min({watchdog_end_, power_on_at_, stop_end_}) - Monotonic();
  const absl::Duration wait = std::clamp(next, absl::ZeroDuration(), absl::Hours(1));
  if (poll(watched.data(), watched.size(), static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1) < 0) {
    if (errno == EINTR) return true;
    return ErrnoStatus(errno, "wait for events");
  }
  if (watched[0].revents != 0) {
    Console("the simulator was told to end: power goes");
    return false;
  }
  if (watched[2].revents != 0) HandleWatchdog();
  if (watched[3].revents != 0) {
    char word = 0;
    const bool runs = read(running_, &word, 1) == 1;
    CloseFd(running_);
    if (runs) {
      failed_boots_ = 0;
      if (!stopping_) SetState("running");
    }
  }
  if (watched[4].revents != 0) {
    int wait_status = 0;
    if (waitpid(machine_, &wait_status, WNOHANG) == machine_) {
      RETURN_IF_ERROR(HandleMachineEnd(wait_status));
      return true;
    }
  }
  if (watched[1].revents != 0) RETURN_IF_ERROR(HandleRequests());
  RETURN_IF_ERROR(HandleDue());
  return true;
}

void UnitSim::HandleWatchdog() {
  std::array<char, 256> bytes;
  bool fed = false;
  while (read(watchdog_, bytes.data(), bytes.size()) > 0) fed = true;
  if (fed && watchdog_end_ != absl::InfiniteDuration()) watchdog_end_ = Monotonic() + config_.watchdog_timeout;
}

absl::Status UnitSim::HandleRequests() {
  std::array<char, 1024> bytes;
  for (ssize_t got; (got = read(control_, bytes.data(), bytes.size())) > 0;) {
    requests_.append(bytes.data(), static_cast<size_t>(got));
  }
  for (size_t end; (end = requests_.find('\n')) != std::string::npos;) {
    const std::string line = requests_.substr(0, end);
    requests_.erase(0, end + 1);
    RETURN_IF_ERROR(HandleRequest(line));
  }
  return absl::OkStatus();
}

absl::Status UnitSim::HandleRequest(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (words.empty()) return absl::OkStatus();
  if (words[0] == "power-cut") {
    const bool had_power = machine_ != 0;
    KillMachine();
    peripherals_.PowerOff();
    ++shown_.power_cuts;
    Console(had_power ? "power cut" : "power cut while off");
    int64_t milliseconds = 0;
    const bool comes_back = words.size() > 1 && absl::SimpleAtoi(words[1], &milliseconds);
    power_on_at_ = comes_back ? Monotonic() + absl::Milliseconds(milliseconds) : absl::InfiniteDuration();
    failed_boots_ = 0;
    SetState("off");
    return absl::OkStatus();
  }
  if (words[0] == "power-cycle" && words.size() == 2) {
    const absl::Status cycled = peripherals_.PowerCycle(words[1]);
    Console(cycled.ok() ? absl::StrCat(words[1], ": power cut, and back") : ToPersonText(cycled));
    return absl::OkStatus();
  }
  if (words[0] == "power-on") {
    if (machine_ != 0) return absl::OkStatus();
    failed_boots_ = 0;
    return Boot();
  }
  if (words[0] == "reboot" || words[0] == "off") {
    const bool off = words[0] == "off";
    power_on_at_ = absl::InfiniteDuration();
    if (machine_ == 0) {
      // The reset button works in recovery too; a unit without power stays off.
      if (off || shown_.state == "off") {
        SetState("off");
        return absl::OkStatus();
      }
      failed_boots_ = 0;
      return Boot();
    }
    after_stop_ = off ? AfterStop::kOff : AfterStop::kBoot;
    if (!stopping_) StopMachine();
    return absl::OkStatus();
  }
  Console(absl::StrCat("unknown request: ", line));
  return absl::OkStatus();
}

absl::Status UnitSim::HandleMachineEnd(int wait_status) {
  CloseFd(machine_fd_);
  machine_ = 0;
  watchdog_end_ = absl::InfiniteDuration();
  stop_end_ = absl::InfiniteDuration();
  if (std::exchange(stopping_, false)) {
    if (after_stop_ == AfterStop::kBoot) return Boot();
    peripherals_.PowerOff();
    Console("off");
    SetState("off");
    return absl::OkStatus();
  }
  ++failed_boots_;
  const bool init_failed = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == kBootFailed;
  Console(absl::StrCat("boot ", shown_.boots, ": slot ", shown_.slot,
                       init_failed ? " failed: init did not succeed" : " crashed", ", reset"));
  return Boot();
}

absl::Status UnitSim::HandleDue() {
  const absl::Duration now = Monotonic();
  if (now >= stop_end_) {
    Console("the orderly stop takes too long: reset");
    const AfterStop then = after_stop_;
    KillMachine();
    if (then == AfterStop::kBoot) return Boot();
    peripherals_.PowerOff();
    SetState("off");
    return absl::OkStatus();
  }
  if (now >= watchdog_end_) {
    ++shown_.watchdog_resets;
    Console(absl::StrCat("boot ", shown_.boots, ": slot ", shown_.slot, ", watchdog not fed, reset"));
    KillMachine();
    return Boot();
  }
  if (now >= power_on_at_) return Boot();
  return absl::OkStatus();
}

// ---- The machine's end ----

void UnitSim::KillMachine() {
  watchdog_end_ = absl::InfiniteDuration();
  stop_end_ = absl::InfiniteDuration();
  stopping_ = false;
  if (machine_ == 0) return;
  // Stopped first, so that it does not start services again.
  kill(machine_, SIGSTOP);
  KillDescendants(machine_);
  kill(machine_, SIGKILL);
  while (waitpid(machine_, nullptr, 0) < 0 && errno == EINTR) {
  }
  machine_ = 0;
  CloseFd(machine_fd_);
}

void UnitSim::StopMachine() {
  stopping_ = true;
  stop_end_ = Monotonic() + config_.stop_timeout + kStopGrace;
  // An orderly stop is not watched: the services that feed are ending.
  watchdog_end_ = absl::InfiniteDuration();
  kill(machine_, SIGUSR1);
  SetState("stopping");
}

// ---- Words ----

void UnitSim::SetState(const std::string& state) {
  shown_.state = state;
  shown_.machine = machine_;
  if (state == "off") shown_.slot = "none";
  if (const absl::Status written = WriteStatus(config_.unit, shown_); !written.ok()) {
    LogWarning("status not written", {{"error", ToPersonText(written)}});
  }
}

void UnitSim::Console(const std::string& line) {
  std::ofstream console(JoinPath(config_.unit, "console.log"), std::ios::app);
  console << absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()) << " " << line << std::endl;
  LogInfo(line);
}

}  // namespace tandem::sim
