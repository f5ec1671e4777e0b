// Starts a program of the virtual unit: with its output in a file, and gone when its parent is.
#ifndef TANDEM_TOOLS_UNIT_SIM_SPAWN_PROGRAM_H_
#define TANDEM_TOOLS_UNIT_SIM_SPAWN_PROGRAM_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace tandem::sim {

// `environment` is added. Output is appended to `log`. -1 and errno when there is no room for a process; a program that
// cannot be started says so in the log. Must be called from a single-threaded process.
pid_t SpawnProgram(std::vector<std::string> argv, const std::vector<std::pair<std::string, std::string>>& environment,
                   const std::string& log);

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_SPAWN_PROGRAM_H_
