// Runs a program and waits for it, with a limit on its time and its output.
#ifndef TANDEM_COMMON_PROCESS_RUN_COMMAND_H_
#define TANDEM_COMMON_PROCESS_RUN_COMMAND_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

struct Command {
  // Program and arguments; looked up in PATH; no shell.
  std::vector<std::string> argv;
  absl::Duration timeout = absl::Seconds(30);
  // Kept of standard output and of standard error each; the rest is read and dropped.
  size_t output_limit = 64 << 10;
  // Added to the environment.
  std::vector<std::pair<std::string, std::string>> environment;
  // Its standard input.
  std::string input_file = "/dev/null";
};

struct CommandResult {
  int exit_code = 0;
  std::string output;
  std::string error_output;
};

// Runs in a process group of its own; the whole group is killed at the time-out. Thread-safe.
// OK with any exit code. DEADLINE_EXCEEDED on time-out, ABORTED when a signal ended it, NOT_FOUND or PERMISSION_DENIED
// when it cannot be started.
absl::StatusOr<CommandResult> RunCommand(const Command& command);

// RunCommand(), and FAILED_PRECONDITION with the last line of its output when the exit code is not 0.
absl::Status RunCommandOk(const Command& command);

}  // namespace tandem

#endif  // TANDEM_COMMON_PROCESS_RUN_COMMAND_H_
