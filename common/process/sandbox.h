// Runs a program that nobody should have to trust: it may hang, fork without end, detach itself, fill disks or print
// for ever, and leaves nothing behind.
//
//   ASSIGN_OR_RETURN(SandboxResult result, RunInSandbox({.argv = {"/usr/lib/oem/check-camera"},
//                                                        .timeout = absl::Seconds(30),
//                                                        .limits = {.user = "nobody"}}));
//
// What it gets, as root: a user of its own, process, mount and IPC namespaces (it sees its own processes only), the
// file system read-only but for one small temporary one (/tmp, /var/tmp and /dev/shm), no new privileges, limits on
// memory, processes, file size and CPU time, no open files but the three standard ones, and an environment that says
// nothing of ours. Without root the same through a user namespace, where the kernel allows one. Without namespaces a
// session and limits only; what detaches itself is still found and ended. SandboxResult::isolation says which.
//
// When the program ends, when its time is up, and when we are killed, all that it started is killed.
#ifndef TANDEM_COMMON_PROCESS_SANDBOX_H_
#define TANDEM_COMMON_PROCESS_SANDBOX_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

struct SandboxLimits {
  // A user of this computer; empty: "nobody" when we are root, else ourselves, who cannot become another.
  std::string user;
  // Of all its processes together where a memory control group can be made, else of each. 0: no limit.
  uint64_t memory_bytes = uint64_t{512} << 20;
  uint32_t processes = 64;
  // Of its temporary folder, and of each file that it writes.
  uint64_t disk_bytes = uint64_t{64} << 20;
  // Kept of standard output; what is more is read and dropped.
  uint64_t output_bytes = uint64_t{1} << 20;
};

struct SandboxCommand {
  // Program and arguments; looked up in PATH; no shell.
  std::vector<std::string> argv;
  absl::Duration timeout = absl::Seconds(30);
  // The whole environment beside PATH, HOME, TMPDIR and LANG.
  std::vector<std::pair<std::string, std::string>> environment;
  // A file that is its standard input; opened by us. Empty: /dev/null.
  std::string input_file;
  SandboxLimits limits;
  // When this becomes readable, it is killed; the result is ABORTED.
  int stop_fd = -1;
};

enum class Isolation {
  // Session and limits.
  kSession,
  // Namespaces, too.
  kNamespaces,
};

struct SandboxResult {
  int exit_code = 0;
  // Its beginning.
  std::string output;
  // The end of what it wrote to standard output and standard error, in the order in which it came; at most
  // kSandboxTail bytes.
  std::string tail;
  // It reached its time limit, and was killed; exit_code means nothing.
  bool timed_out = false;
  // Nonzero: this signal ended it; exit_code means nothing.
  int signal = 0;
  // It, or something that it started, was killed for want of memory.
  bool out_of_memory = false;
  absl::Duration duration;
  Isolation isolation = Isolation::kSession;
};

inline constexpr size_t kSandboxTail = 8 << 10;

// Blocks until all of it is gone. Thread-safe. OK whatever the program does. NOT_FOUND or PERMISSION_DENIED: it, its
// input file or the user cannot be had. Other errors: this computer has no room for it.
absl::StatusOr<SandboxResult> RunInSandbox(const SandboxCommand& command);

// Takes what RunInSandbox() can do without: for tests of the ways out.
struct SandboxWays {
  bool namespaces = true;
  bool control_groups = true;
};
absl::StatusOr<SandboxResult> RunInSandbox(const SandboxCommand& command, const SandboxWays& ways);

}  // namespace tandem

#endif  // TANDEM_COMMON_PROCESS_SANDBOX_H_
