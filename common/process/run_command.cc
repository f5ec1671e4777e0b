#include "common/process/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/process/posix.h"
#include "common/status/status.h"
#include "common/time/clock.h"

extern char** environ;

namespace tandem {
namespace {

using process_internal::Pipe;
using process_internal::Pointers;
using process_internal::PollMilliseconds;

// How long output that a left-over child still holds open is waited for after the program's own end.
constexpr absl::Duration kDrainTime = absl::Milliseconds(200);

// Reads what is there, keeps the first `limit` bytes; false at the end.
bool ReadAvailable(int fd, size_t limit, std::string& kept) {
  std::array<char, 16 << 10> buffer;
  while (true) {
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    kept.append(buffer.data(), std::min(static_cast<size_t>(got), limit - kept.size()));
  }
}

// environ with `added` in front of and instead of what has the same name.
std::vector<std::string> Environment(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> result;
  result.reserve(added.size());
  for (const auto& [name, value] : added) result.push_back(absl::StrCat(name, "=", value));
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view line = *entry;
    const std::string_view name = line.substr(0, line.find('='));
    if (std::none_of(added.begin(), added.end(), [&](const auto& one) { return one.first == name; })) {
      result.emplace_back(line);
    }
  }
  return result;
}

absl::StatusOr<pid_t> Spawn(const Command& command, const Pipe& output, const Pipe& error_output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, command.input_file.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.write_end.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error_output.write_end.get(), STDERR_FILENO);

  // The child gets a group of its own and default signals: our handlers and masks are none of its business.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> arguments = command.argv;
  std::vector<std::string> environment = Environment(command.environment);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, arguments[0].c_str(), &actions, &attributes, Pointers(arguments).data(),
                                 Pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error, absl::StrCat("start ", command.argv[0]));
  return pid;
}

std::string LastLine(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const size_t newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

}  // namespace

absl::StatusOr<CommandResult> RunCommand(const Command& command) {
  if (command.argv.empty()) return absl::InvalidArgumentError("no command given");
  ASSIGN_OR_RETURN(Pipe output, Pipe::Make());
  ASSIGN_OR_RETURN(Pipe error_output, Pipe::Make());
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(command, output, error_output));
  output.write_end.Close();
  error_output.write_end.Close();
  // glibc has no wrapper for it before 2.36. A pid that was not waited for cannot be another process's.
  const FileDescriptor process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));

  CommandResult result;
  const absl::Duration start = Clock::Real().Monotonic();
  const absl::Duration end = start + command.timeout;
  bool exited = false;
  bool timed_out = false;
  absl::Duration drain_end = absl::InfiniteDuration();
  std::array<pollfd, 3> watched = {pollfd{output.read_end.get(), POLLIN, 0},
                                   pollfd{error_output.read_end.get(), POLLIN, 0}, pollfd{process.get(), POLLIN, 0}};
  while (!exited || watched[0].fd >= 0 || watched[1].fd >= 0) {
    const absl::Duration now = Clock::Real().Monotonic();
    if (exited && now >= drain_end) break;
    if (!exited && now >= end) {
      timed_out = true;
      break;
    }
    if (poll(watched.data(), watched.size(), PollMilliseconds((exited ? drain_end : end) - now)) < 0) {
      if (errno == EINTR) continue;
      const absl::Status status = ErrnoStatus(errno, absl::StrCat("wait for ", command.argv[0]));
      kill(-pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      return status;
    }
    if (watched[0].revents != 0 && !ReadAvailable(watched[0].fd, command.output_limit, result.output)) {
      watched[0].fd = -1;
    }
    if (watched[1].revents != 0 && !ReadAvailable(watched[1].fd, command.output_limit, result.error_output)) {
      watched[1].fd = -1;
    }
    if (watched[2].revents != 0) {
      exited = true;
      watched[2].fd = -1;
      drain_end = Clock::Real().Monotonic() + kDrainTime;
    }
  }
  // Before waitpid(), while the group's number still belongs to it. After a normal end the group stays: a reload
  // command may start a service.
  if (timed_out) kill(-pid, SIGKILL);
  int wait_status = 0;
  while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
  }
  if (timed_out) {
    return absl::DeadlineExceededError(
        absl::StrCat(command.argv[0], " did not end within ", absl::FormatDuration(command.timeout)));
  }
  if (WIFSIGNALED(wait_status)) {
    return absl::AbortedError(absl::StrCat(command.argv[0], " was ended by signal ", WTERMSIG(wait_status), " (",
                                           sigabbrev_np(WTERMSIG(wait_status)), ")"));
  }
  result.exit_code = WEXITSTATUS(wait_status);
  return result;
}

absl::Status RunCommandOk(const Command& command) {
  ASSIGN_OR_RETURN(CommandResult result, RunCommand(command));
  if (result.exit_code == 0) return absl::OkStatus();
  const std::string line = LastLine(result.error_output.empty() ? result.output : result.error_output);
  return absl::FailedPreconditionError(
      absl::StrCat(command.argv[0], " exited with ", result.exit_code, line.empty() ? "" : ": ", line));
}

}  // namespace tandem
