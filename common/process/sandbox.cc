#include "common/process/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/process/control_group.h"
#include "common/process/posix.h"
#include "common/process/sandbox_child.h"
#include "common/status/status.h"
#include "common/time/clock.h"

namespace tandem {
namespace {

using process_internal::Pipe;
using process_internal::Pointers;
using process_internal::PollMilliseconds;
using sandbox_internal::Plan;
using sandbox_internal::Report;

constexpr char kPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr uint32_t kFilesOnDisk = 16384;
constexpr rlim_t kOpenFiles = 1024;
// For the supervisor to end what is left, where no namespace does it.
constexpr absl::Duration kEndTime = absl::Seconds(10);
// So that one who prints without end does not keep us from looking at the clock.
constexpr int kReadsAtOnce = 16;

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (access(name.c_str(), F_OK) != 0) return ErrnoStatus(errno, name);
    return name;
  }
  const char* path = getenv("PATH");
  const std::vector<std::string> folders = absl::StrSplit(path == nullptr ? kPath : path, ':');
  for (const std::string& folder : folders) {
    std::string candidate = absl::StrCat(folder, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::NotFoundError(absl::StrCat(name, ": no such program in PATH"));
}

absl::StatusOr<FileDescriptor> OpenInput(const std::string& path) {
  FileDescriptor file(open(path.empty() ? "/dev/null" : path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return ErrnoStatus(errno, path);
  struct stat info {};
  if (!path.empty() && (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is no regular file"));
  }
  return file;
}

struct User {
  // False: we stay who we are.
  bool change = false;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

absl::StatusOr<User> FindUser(const std::string& wanted) {
  User user{.change = geteuid() == 0, .uid = geteuid(), .gid = getegid()};
  if (!user.change && wanted.empty()) return user;
  const std::string name = wanted.empty() ? "nobody" : wanted;
  std::array<char, 16 << 10> buffer;
  passwd entry{};
  passwd* found = nullptr;
  getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) return absl::NotFoundError(absl::StrCat("there is no user \"", name, "\""));
  if (!user.change) {
    if (entry.pw_uid == user.uid) return user;
    return absl::PermissionDeniedError(absl::StrCat("only root can run it as user \"", name, "\""));
  }
  if (entry.pw_uid == 0) return absl::InvalidArgumentError(absl::StrCat("user \"", name, "\" is root"));
  user.uid = entry.pw_uid;
  user.gid = entry.pw_gid;
  user.groups.resize(64);
  int count = static_cast<int>(user.groups.size());
  if (getgrouplist(name.c_str(), user.gid, user.groups.data(), &count) < 0) count = 1;
  user.groups.resize(static_cast<size_t>(count));
  return user;
}

// How many processes the user has: the kernel's limit is on all of them.
rlim_t ProcessesOf(uid_t uid) {
  rlim_t count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    struct stat info {};
    const std::string name = entry.path().filename();
    if (!std::isdigit(static_cast<unsigned char>(name[0])) || stat(entry.path().c_str(), &info) != 0) continue;
    if (info.st_uid == uid) ++count;
  }
  return count;
}

// Everything that a Plan points to.
struct Preparation {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> environment;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::string uid_map;
  std::string gid_map;
  std::string tmpfs;
  User user;
  std::optional<ControlGroup> group;
  Plan plan{};
};

void SetLimits(const SandboxCommand& command, Preparation& made) {
  const SandboxLimits& limits = command.limits;
  const auto add = [&made](int resource, rlim_t value) {
    made.plan.limits[made.plan.limit_count++] = {resource, {value, value}};
  };
  add(RLIMIT_CORE, 0);
  add(RLIMIT_NOFILE, kOpenFiles);
  add(RLIMIT_FSIZE, limits.disk_bytes);
  const auto seconds = static_cast<rlim_t>(std::max<int64_t>(absl::ToInt64Seconds(command.timeout), 0)) + 1;
  add(RLIMIT_CPU, seconds * std::max(1U, std::thread::hardware_concurrency()));
  if (limits.memory_bytes != 0 && !made.group.has_value()) add(RLIMIT_AS, limits.memory_bytes);
  made.plan.limit_processes = limits.processes != 0 && !(made.group.has_value() && made.group->limits_processes());
  if (!made.plan.limit_processes) return;
  made.plan.processes_apart = limits.processes;
  made.plan.processes_shared = limits.processes + ProcessesOf(made.user.uid);
}

absl::StatusOr<Preparation> Prepare(const SandboxCommand& command, const SandboxWays& ways) {
  Preparation made;
  ASSIGN_OR_RETURN(made.program, FindProgram(command.argv[0]));
  ASSIGN_OR_RETURN(made.user, FindUser(command.limits.user));
  made.arguments = command.argv;
  made.environment = {absl::StrCat("PATH=", kPath), "HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8"};
  for (const auto& [name, value] : command.environment) made.environment.push_back(absl::StrCat(name, "=", value));
  if (ways.control_groups && geteuid() == 0) {
    std::optional<ControlGroup> group =
        ControlGroup::Make({.memory_bytes = command.limits.memory_bytes, .processes = command.limits.processes});
    if (group.has_value()) made.group.emplace(*std::move(group));
  }
  if (geteuid() != 0) {
    made.uid_map = absl::StrCat(geteuid(), " ", geteuid(), " 1\n");
    made.gid_map = absl::StrCat(getegid(), " ", getegid(), " 1\n");
  }
  made.tmpfs = absl::StrCat("mode=1777,size=", command.limits.disk_bytes, ",nr_inodes=", kFilesOnDisk);
  made.plan.namespaces = ways.namespaces;
  return made;
}

// After the last move of `made`: pointers into it.
void Point(const SandboxCommand& command, Preparation& made) {
  Plan& plan = made.plan;
  made.argv = Pointers(made.arguments);
  made.envp = Pointers(made.environment);
  plan.program = made.program.c_str();
  plan.argv = made.argv.data();
  plan.environment = made.envp.data();
  plan.tmpfs = made.tmpfs.c_str();
  const bool mapped = plan.namespaces && !made.uid_map.empty();
  plan.uid_map = mapped ? made.uid_map.c_str() : nullptr;
  plan.gid_map = mapped ? made.gid_map.c_str() : nullptr;
  plan.change_user = made.user.change;
  plan.uid = made.user.uid;
  plan.gid = made.user.gid;
  plan.groups = made.user.groups.data();
  plan.group_count = made.user.groups.size();
  plan.count_apart = plan.namespaces && plan.change_user && !(made.group.has_value() && made.group->limits_processes());
  SetLimits(command, made);
}

// What the program writes.
class Outputs {
 public:
  explicit Outputs(size_t limit) : limit_(limit) {}

  // False at the end.
  bool Read(int fd, bool standard_output, int reads) {
    std::array<char, 64 << 10> buffer;
    for (int i = 0; i < reads; ++i) {
      const ssize_t got = read(fd, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno == EAGAIN;
      if (got == 0) return false;
      Take({buffer.data(), static_cast<size_t>(got)}, standard_output);
    }
    return true;
  }
  std::string output() { return std::move(output_); }
  std::string tail() {
    return tail_.size() <= kSandboxTail ? std::move(tail_) : tail_.substr(tail_.size() - kSandboxTail);
  }

 private:
  void Take(std::string_view bytes, bool standard_output) {
    if (standard_output) output_.append(bytes.substr(0, limit_ - output_.size()));
    if (bytes.size() > kSandboxTail) bytes.remove_prefix(bytes.size() - kSandboxTail);
    tail_.append(bytes);
    // Not with each line.
    if (tail_.size() > 8 * kSandboxTail) tail_.erase(0, tail_.size() - kSandboxTail);
  }

  const size_t limit_;
  std::string output_;
  std::string tail_;
};

absl::Status StartError(const Report& report, const SandboxCommand& command) {
  switch (report.kind) {
    case Report::Kind::kNoExec:
      return ErrnoStatus(report.value, absl::StrCat("start ", command.argv[0]));
    case Report::Kind::kNoUser:
      return ErrnoStatus(report.value, "become another user");
    case Report::Kind::kNoLimits:
      return ErrnoStatus(report.value, "set limits");
    case Report::Kind::kNoNamespaces:
      return ErrnoStatus(report.value, "set up namespaces");
    case Report::Kind::kNoProcess:
    case Report::Kind::kEnded:
      break;
  }
  return ErrnoStatus(report.value, "start a process");
}

pid_t Clone(const Plan& plan) {
  uint64_t flags = SIGCHLD;
  if (plan.namespaces) flags |= CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC;
  if (plan.uid_map != nullptr) flags |= CLONE_NEWUSER;
  // A handler of ours must not run in there.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  // Not fork(): it would run handlers that take locks.
  const auto pid = static_cast<pid_t>(syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
  if (pid == 0) sandbox_internal::RunSupervisor(plan);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

// Set when the namespaces are what did not work.
struct NoNamespaces {
  bool it = false;
};

absl::StatusOr<SandboxResult> RunOnce(const SandboxCommand& command, const SandboxWays& ways, NoNamespaces& none) {
  ASSIGN_OR_RETURN(Preparation made, Prepare(command, ways));
  ASSIGN_OR_RETURN(const FileDescriptor input, OpenInput(command.input_file));
  const FileDescriptor program(open(made.program.c_str(), O_PATH | O_CLOEXEC));
  if (program.get() < 0) return ErrnoStatus(errno, absl::StrCat("start ", command.argv[0]));
  ASSIGN_OR_RETURN(Pipe output, Pipe::Make());
  ASSIGN_OR_RETURN(Pipe errors, Pipe::Make());
  ASSIGN_OR_RETURN(Pipe status, Pipe::Make());
  ASSIGN_OR_RETURN(Pipe control, Pipe::Make());
  Plan& plan = made.plan;
  for (const int fd : {input.get(), output.write_end.get(), errors.write_end.get(), status.write_end.get(),
                       control.read_end.get(), program.get()}) {
    plan.fds[plan.fd_count++] = fd;
  }
  if (made.group.has_value()) {
    for (const int fd : made.group->entries()) plan.fds[plan.fd_count++] = fd;
  }
  Point(command, made);

  const absl::Duration start = Clock::Real().Monotonic();
  const pid_t supervisor = Clone(plan);
  if (supervisor < 0) {
    none.it = plan.namespaces;
    return ErrnoStatus(errno, "start a process");
  }
  output.write_end.Close();
  errors.write_end.Close();
  status.write_end.Close();
  control.read_end.Close();

  SandboxResult result;
  result.isolation = plan.namespaces ? Isolation::kNamespaces : Isolation::kSession;
  Outputs outputs(command.limits.output_bytes);
  Report report{};
  bool reported = false;
  std::array<pollfd, 4> watched = {pollfd{output.read_end.get(), POLLIN, 0}, pollfd{errors.read_end.get(), POLLIN, 0},
                                   pollfd{status.read_end.get(), POLLIN, 0}, pollfd{command.stop_fd, POLLIN, 0}};
  while (watched[2].fd >= 0) {
    const absl::Duration left = start + command.timeout - Clock::Real().Monotonic();
    if (left <= absl::ZeroDuration()) {
      result.timed_out = true;
      break;
    }
    if (poll(watched.data(), watched.size(), PollMilliseconds(left)) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (watched[3].revents != 0) break;
    for (size_t i = 0; i < 2; ++i) {
      if (watched[i].revents != 0 && !outputs.Read(watched[i].fd, i == 0, kReadsAtOnce)) watched[i].fd = -1;
    }
    if (watched[2].revents != 0) {
      // The first one counts; with none, the supervisor was killed.
      reported = read(watched[2].fd, &report, sizeof(report)) == sizeof(report);
      watched[2].fd = -1;
    }
  }
  // All ends with the supervisor: at once in a namespace of its own, else by its own hand.
  control.write_end.Close();
  if (plan.namespaces) {
    kill(supervisor, SIGKILL);
  } else {
    pollfd ended{status.read_end.get(), POLLIN, 0};
    const absl::Duration end = Clock::Real().Monotonic() + kEndTime;
    char rest[64];
    // Its end of the pipe closes with it.
    while (Clock::Real().Monotonic() < end && poll(&ended, 1, PollMilliseconds(end - Clock::Real().Monotonic())) >= 0) {
      const ssize_t got = read(status.read_end.get(), rest, sizeof(rest));
      if (got == 0) break;
    }
    kill(supervisor, SIGKILL);
  }
  while (waitpid(supervisor, nullptr, 0) < 0 && errno == EINTR) {
  }
  for (size_t i = 0; i < 2; ++i) {
    // Nobody writes any more: what is left is at most a pipe's capacity.
    if (watched[i].fd >= 0) outputs.Read(watched[i].fd, i == 0, kReadsAtOnce);
  }
  result.duration = Clock::Real().Monotonic() - start;
  result.out_of_memory = made.group.has_value() && made.group->OutOfMemory();
  if (reported && report.kind != Report::Kind::kEnded) {
    none.it = report.kind == Report::Kind::kNoNamespaces;
    return StartError(report, command);
  }
  if (watched[3].revents != 0) return absl::AbortedError(absl::StrCat(command.argv[0], " was stopped"));
  if (!reported && !result.timed_out) result.signal = SIGKILL;
  if (reported && WIFSIGNALED(report.value)) result.signal = WTERMSIG(report.value);
  if (reported && WIFEXITED(report.value)) result.exit_code = WEXITSTATUS(report.value);
  result.output = outputs.output();
  result.tail = outputs.tail();
  return result;
}

}  // namespace

absl::StatusOr<SandboxResult> RunInSandbox(const SandboxCommand& command) { return RunInSandbox(command, {}); }

absl::StatusOr<SandboxResult> RunInSandbox(const SandboxCommand& command, const SandboxWays& ways) {
  if (command.argv.empty()) return absl::InvalidArgumentError("no command given");
  NoNamespaces none;
  absl::StatusOr<SandboxResult> result = RunOnce(command, ways, none);
  if (result.ok() || !none.it) return result;
  // A kernel, a container or a service manager that does not give them.
  SandboxWays without = ways;
  without.namespaces = false;
  return RunOnce(command, without, none);
}

}  // namespace tandem
