// All processes below one process, whatever groups and sessions they made for themselves.
#ifndef TANDEM_TOOLS_UNIT_SIM_PROCESS_TREE_H_
#define TANDEM_TOOLS_UNIT_SIM_PROCESS_TREE_H_

#include <sys/types.h>

#include <vector>

namespace tandem::sim {

// The living descendants of `process`, without itself. Orphans are among them when `process` is a child subreaper.
std::vector<pid_t> Descendants(pid_t process);

// As when the power goes: stops them all first, so that none sees another one die or starts a new one, then kills them.
// `process` itself stays. It must be a child subreaper.
void KillDescendants(pid_t process);

}  // namespace tandem::sim

#endif  // TANDEM_TOOLS_UNIT_SIM_PROCESS_TREE_H_
