// A control group of its own for one run of a program: bounds memory and processes of all that it starts together.
//
//   std::optional<ControlGroup> group = ControlGroup::Make({.memory_bytes = 512 << 20, .processes = 64});
//   in the child: write "0" to each of group->entries(); after it: group->OutOfMemory(); the group goes with the object
//
// Of version 2 it needs a delegated folder (systemd: Delegate=yes), of version 1 the memory and pids hierarchies.
#ifndef TANDEM_COMMON_PROCESS_CONTROL_GROUP_H_
#define TANDEM_COMMON_PROCESS_CONTROL_GROUP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tandem {

struct ControlGroupLimits {
  // 0: no limit.
  uint64_t memory_bytes = 0;
  uint32_t processes = 0;
};

class ControlGroup {
 public:
  // Folders in which groups may be made, found once: the delegated one of version 2, or ours in the hierarchies of
  // version 1. Empty: there is none.
  static const std::vector<std::string>& Parents();

  // nullopt: this computer gives us none, or not with these limits.
  static std::optional<ControlGroup> Make(const ControlGroupLimits& limits);
  static std::optional<ControlGroup> Make(const std::vector<std::string>& parents, const ControlGroupLimits& limits);

  ControlGroup(ControlGroup&& other) noexcept;
  ControlGroup& operator=(ControlGroup&&) = delete;
  ControlGroup(const ControlGroup&) = delete;
  // Kills what is still in it, and removes it.
  ~ControlGroup();

  // Who writes "0" to each of these files is in it from then on. For a child between fork and exec.
  const std::vector<int>& entries() const { return procs_; }
  // It bounds the number of processes, too.
  bool limits_processes() const { return limits_processes_; }
  // Something in it was killed for want of memory.
  bool OutOfMemory() const;

 private:
  ControlGroup() = default;

  std::vector<std::string> folders_;
  // cgroup.procs of each, open for writing.
  std::vector<int> procs_;
  bool limits_processes_ = false;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_PROCESS_CONTROL_GROUP_H_
