// The two processes on the other side of RunInSandbox(): one that watches and ends everything, and the program.
// Only sandbox.cc uses it. Between fork and exec of a program with threads nothing may be allocated or locked: all is
// prepared beforehand in plain arrays.
#ifndef TANDEM_COMMON_PROCESS_SANDBOX_CHILD_H_
#define TANDEM_COMMON_PROCESS_SANDBOX_CHILD_H_

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace tandem::sandbox_internal {

// The first message on the status pipe.
struct Report {
  enum class Kind : int32_t {
    // `value`: as waitpid() gives it.
    kEnded,
    // `value`: an errno.
    kNoNamespaces,
    kNoUser,
    kNoLimits,
    kNoExec,
    kNoProcess,
  };
  Kind kind;
  int32_t value;
};

struct Limit {
  int resource;
  rlimit value;
};

// Where the child finds its descriptors; what is above is closed.
inline constexpr int kStatusFd = 3;
inline constexpr int kControlFd = 4;
inline constexpr int kProgramFd = 5;
inline constexpr int kFirstGroupFd = 6;
inline constexpr size_t kMaxFds = 10;
inline constexpr size_t kMaxLimits = 8;

struct Plan {
  // In the order of the numbers above, from standard input on.
  int fds[kMaxFds];
  size_t fd_count;
  const char* program;
  char** argv;
  char** environment;

  bool namespaces;
  // Of an unprivileged user: the maps to write; nullptr: none is needed.
  const char* uid_map;
  const char* gid_map;
  // Options of the temporary file system.
  const char* tmpfs;

  // Becomes this user; with `change_user` only.
  bool change_user;
  uid_t uid;
  gid_t gid;
  const gid_t* groups;
  size_t group_count;
  // Processes are counted in a user namespace of its own, where the kernel gives one.
  bool count_apart;
  bool limit_processes;
  // With and without such a namespace.
  rlim_t processes_apart;
  rlim_t processes_shared;

  Limit limits[kMaxLimits];
  size_t limit_count;
};

// Runs in the cloned child; never returns.
[[noreturn]] void RunSupervisor(const Plan& plan);

}  // namespace tandem::sandbox_internal

#endif  // TANDEM_COMMON_PROCESS_SANDBOX_CHILD_H_
