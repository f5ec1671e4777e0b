#include "common/process/sandbox_child.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

namespace tandem::sandbox_internal {
namespace {

void Say(Report::Kind kind, int value) {
  const Report report{kind, value};
  // The reader is gone with whoever wanted to know.
  [[maybe_unused]] const ssize_t written = write(kStatusFd, &report, sizeof(report));
}

[[noreturn]] void GiveUp(Report::Kind kind) {
  Say(kind, errno);
  _exit(127);
}

bool WriteText(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text, strlen(text)) == static_cast<ssize_t>(strlen(text));
  close(fd);
  return written;
}

// Descriptors to their places, out of each other's way first; everything else is closed, so that neither our files
// nor the ends of other runs' pipes stay open in here.
void ArrangeFds(const Plan& plan) {
  int moved[kMaxFds];
  for (size_t i = 0; i < plan.fd_count; ++i) moved[i] = fcntl(plan.fds[i], F_DUPFD, 64);
  for (size_t i = 0; i < plan.fd_count; ++i) {
    if (dup2(moved[i], static_cast<int>(i)) < 0) _exit(126);
  }
  for (size_t i = 3; i < plan.fd_count; ++i) fcntl(static_cast<int>(i), F_SETFD, FD_CLOEXEC);
  if (syscall(SYS_close_range, static_cast<unsigned>(plan.fd_count), ~0U, 0) == 0) return;
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const int end = files.rlim_cur > 65536 ? 65536 : static_cast<int>(files.rlim_cur);
  for (int fd = static_cast<int>(plan.fd_count); fd < end; ++fd) close(fd);
}

// Our handlers and masks are none of the program's business.
void DefaultSignals() {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) sigaction(signal, &standard, nullptr);
}

bool EnterNamespaces(const Plan& plan) {
  if (plan.uid_map != nullptr) {
    WriteText("/proc/self/setgroups", "deny");
    if (!WriteText("/proc/self/uid_map", plan.uid_map) || !WriteText("/proc/self/gid_map", plan.gid_map)) return false;
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  // Before Linux 5.12 only file permissions keep the program from writing elsewhere.
  mount_attr read_only{};
  read_only.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
  syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &read_only, sizeof(read_only));
  if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, plan.tmpfs) != 0) return false;
  for (const char* folder : {"/var/tmp", "/dev/shm"}) {
    struct stat info {};
    // One that is missing needs no cover; one that is a link to /tmp has it.
    if (lstat(folder, &info) == 0 && S_ISDIR(info.st_mode) && mount("/tmp", folder, nullptr, MS_BIND, nullptr) != 0) {
      return false;
    }
  }
  // In some containers it must not be mounted anew; then the program sees the processes of all.
  mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  return true;
}

bool BecomeUser(const Plan& plan) {
  if (!plan.change_user) return true;
  // glibc's functions would tell all threads, of which there are none here.
  return syscall(SYS_setgroups, plan.group_count, plan.groups) == 0 &&
         syscall(SYS_setresgid, plan.gid, plan.gid, plan.gid) == 0 &&
         syscall(SYS_setresuid, plan.uid, plan.uid, plan.uid) == 0;
}

[[noreturn]] void RunProgram(const Plan& plan) {
  setsid();
  for (size_t fd = kFirstGroupFd; fd < plan.fd_count; ++fd) {
    if (write(static_cast<int>(fd), "0", 1) != 1) GiveUp(Report::Kind::kNoLimits);
  }
  // Where memory runs out, it goes before anything else of the unit.
  WriteText("/proc/self/oom_score_adj", "1000");
  if (!BecomeUser(plan)) GiveUp(Report::Kind::kNoUser);
  const bool apart = plan.uid_map != nullptr || (plan.count_apart && unshare(CLONE_NEWUSER) == 0);
  for (size_t i = 0; i < plan.limit_count; ++i) {
    rlimit value = plan.limits[i].value;
    rlimit now{};
    getrlimit(static_cast<__rlimit_resource>(plan.limits[i].resource), &now);
    if (now.rlim_max != RLIM_INFINITY && value.rlim_max > now.rlim_max) value = {now.rlim_max, now.rlim_max};
    if (setrlimit(static_cast<__rlimit_resource>(plan.limits[i].resource), &value) != 0) {
      GiveUp(Report::Kind::kNoLimits);
    }
  }
  if (plan.limit_processes) {
    const rlim_t processes = apart ? plan.processes_apart : plan.processes_shared;
    const rlimit value{processes, processes};
    if (setrlimit(RLIMIT_NPROC, &value) != 0) GiveUp(Report::Kind::kNoLimits);
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) GiveUp(Report::Kind::kNoLimits);
  umask(022);
  if (chdir(plan.namespaces ? "/tmp" : "/") != 0) GiveUp(Report::Kind::kNoLimits);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execve(plan.program, plan.argv, plan.environment);
  // It may lie where the temporary file system is now.
  if (errno == ENOENT || errno == EACCES) {
    syscall(SYS_execveat, kProgramFd, "", plan.argv, plan.environment, AT_EMPTY_PATH);
  }
  GiveUp(Report::Kind::kNoExec);
}

// Without a namespace: kills all that there is of ours, until nothing is left. What detached itself became our child
// when its parent ended.
void KillDescendants() {
  while (true) {
    char path[64] = "/proc/self/task/";
    char digits[16];
    int length = 0;
    for (pid_t pid = getpid(); pid > 0; pid /= 10) digits[length++] = static_cast<char>('0' + pid % 10);
    size_t end = strlen(path);
    while (length > 0) path[end++] = digits[--length];
    strcpy(path + end, "/children");
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[4096];
    const ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) close(fd);
    pid_t pid = 0;
    for (ssize_t i = 0; i < got; ++i) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
        continue;
      }
      if (pid > 1) kill(pid, SIGKILL);
      pid = 0;
    }
    if (waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
  }
}

void OnChild(int /*signal*/) {}

}  // namespace

void RunSupervisor(const Plan& plan) {
  DefaultSignals();
  setsid();
  ArrangeFds(plan);
  if (plan.namespaces && !EnterNamespaces(plan)) GiveUp(Report::Kind::kNoNamespaces);
  if (!plan.namespaces) prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  // All signals are blocked; SIGCHLD comes during ppoll() only.
  struct sigaction child {};
  child.sa_handler = OnChild;
  sigaction(SIGCHLD, &child, nullptr);

  const auto program = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (program < 0) GiveUp(Report::Kind::kNoProcess);
  if (program == 0) RunProgram(plan);
  for (size_t fd = 0; fd < plan.fd_count; ++fd) {
    if (fd != kStatusFd && fd != kControlFd) close(static_cast<int>(fd));
  }
  pollfd control{kControlFd, POLLIN, 0};
  sigset_t waiting;
  sigfillset(&waiting);
  sigdelset(&waiting, SIGCHLD);
  for (bool running = true; running;) {
    int status = 0;
    for (pid_t ended = 0; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
      if (ended != program) continue;
      Say(Report::Kind::kEnded, status);
      running = false;
    }
    // Its other end is closed when time is up, or whoever started this is gone.
    if (running && ppoll(&control, 1, nullptr, &waiting) > 0) running = false;
  }
  // As the first process of its namespace it takes all others along.
  if (!plan.namespaces) KillDescendants();
  _exit(0);
}

}  // namespace tandem::sandbox_internal
