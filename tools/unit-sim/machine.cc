#include "tools/unit-sim/machine.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "tools/unit-sim/process_tree.h"
#include "tools/unit-sim/spawn_program.h"

namespace tandem::sim {
namespace {

// Runs in the forked process until that ends.
class Machine {
 public:
  Machine(const Config& config, boot::Slot slot, int running_fd)
      : config_(config), slot_(slot), running_fd_(running_fd) {}

  [[noreturn]] void Run(pid_t parent) {
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigset_t watched;
    sigemptyset(&watched);
    for (const int one : {SIGCHLD, SIGTERM, SIGUSR1}) sigaddset(&watched, one);
    sigprocmask(SIG_BLOCK, &watched, nullptr);
    signals_ = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    // The parent may have died before it could be watched.
    if (getppid() != parent || signals_ < 0) End(kBootFailed);

    if (!Init()) End(kBootFailed);
    for (const Service& service : config_.services) Start(service);
    if (write(running_fd_, "R", 1) != 1) End(kBootFailed);
    while (true) {
      HandleSignals(Wait());
      StartWhatIsDue();
    }
  }

 private:
  [[noreturn]] void End(int code) {
    KillDescendants(getpid());
    while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
    _exit(code);
  }

  // True when init exited with 0 in time.
  bool Init() {
    if (config_.init.empty()) return true;
    const pid_t init = Spawn("init", Fill(config_.init, slot_), {});
    const absl::Duration end = Clock::Real().Monotonic() + config_.boot_timeout;
    while (true) {
      const absl::Duration left = end - Clock::Real().Monotonic();
      if (left <= absl::ZeroDuration()) return false;
      HandleSignals(left);
      for (const auto& [pid, status] : std::exchange(ended_, {})) {
        if (pid == init) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
      }
    }
  }

  void Start(const Service& service) {
    const pid_t pid = Spawn(service.name, Fill(service.argv, slot_), service.environment);
    if (pid > 0) {
      services_[pid] = &service;
    } else {
      Restart(service);
    }
  }

  void Restart(const Service& service) {
    if (service.restart && !stopping_) due_.emplace_back(Clock::Real().Monotonic() + service.restart_delay, &service);
  }

  void StartWhatIsDue() {
    const absl::Duration now = Clock::Real().Monotonic();
    auto waiting = std::exchange(due_, {});
    for (const auto& [when, service] : waiting) {
      if (when > now) {
        due_.emplace_back(when, service);
      } else {
        Start(*service);
      }
    }
  }

  absl::Duration Wait() const {
    absl::Duration next = absl::Hours(1);
    for (const auto& [when, service] : due_) next = std::min(next, when - Clock::Real().Monotonic());
    return std::max(next, absl::ZeroDuration());
  }

  // Output goes to {unit}/log/NAME.log. -1 when there is no room for a process.
  pid_t Spawn(const std::string& name, const std::vector<std::string>& argv,
              const std::vector<std::pair<std::string, std::string>>& environment) {
    return SpawnProgram(argv, environment, JoinPath(config_.unit, absl::StrCat("log/", name, ".log")));
  }

  // Waits at most `longest` for a signal and does what it asks for.
  void HandleSignals(absl::Duration longest) {
    pollfd watched{signals_, POLLIN, 0};
    poll(&watched, 1, static_cast<int>(absl::ToInt64Milliseconds(longest)) + 1);
    signalfd_siginfo info;
    while (read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGTERM) End(kStopped);
      if (info.ssi_signo == SIGUSR1) Stop();
    }
    Reap();
  }

  void Reap() {
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      ended_.emplace_back(pid, status);
      const auto service = services_.find(pid);
      if (service == services_.end()) continue;
      if (!stopping_) {
        LogInfo("service ended", {{"service", service->second->name},
                                  {"how", WIFEXITED(status) ? absl::StrCat("exit ", WEXITSTATUS(status))
                                                            : absl::StrCat("signal ", WTERMSIG(status))}});
      }
      Restart(*service->second);
      services_.erase(service);
    }
    if (ended_.size() > 1000) ended_.clear();
  }

  // SIGTERM to everything, then SIGKILL to what is left.
  [[noreturn]] void Stop() {
    stopping_ = true;
    due_.clear();
    for (const pid_t pid : Descendants(getpid())) kill(pid, SIGTERM);
    const absl::Duration end = Clock::Real().Monotonic() + config_.stop_timeout;
    while (!Descendants(getpid()).empty()) {
      const absl::Duration left = end - Clock::Real().Monotonic();
      if (left <= absl::ZeroDuration()) break;
      HandleSignals(std::min(left, absl::Milliseconds(50)));
    }
    End(kStopped);
  }

  const Config& config_;
  const boot::Slot slot_;
  const int running_fd_;
  int signals_ = -1;
  bool stopping_ = false;
  std::map<pid_t, const Service*> services_;
  std::vector<std::pair<absl::Duration, const Service*>> due_;
  std::vector<std::pair<pid_t, int>> ended_;
};

}  // namespace

absl::StatusOr<pid_t> StartMachine(const Config& config, boot::Slot slot, int running_fd) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "start the machine");
  if (pid == 0) Machine(config, slot, running_fd).Run(parent);
  return pid;
}

}  // namespace tandem::sim
