#include "common/process/control_group.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace tandem {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";
constexpr int kRemoveTries = 100;

bool WriteValue(const std::string& path, const std::string& value) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  close(fd);
  return written;
}

std::string ReadValue(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// Of version 2 a group has either processes or children with limits: ours moves into a child of its own.
bool Delegate(const std::string& folder) {
  const std::string controllers = absl::StrCat(" ", ReadValue(folder + "/cgroup.controllers"));
  if (!absl::StrContains(controllers, "memory") || !absl::StrContains(controllers, "pids")) return false;
  const std::string ours = folder + "/agent";
  if (mkdir(ours.c_str(), 0755) != 0 && errno != EEXIST) return false;
  if (!WriteValue(ours + "/cgroup.procs", "0")) return false;
  return WriteValue(folder + "/cgroup.subtree_control", "+memory +pids");
}

std::vector<std::string> FindParents() {
  std::vector<std::string> parents;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[1].empty()) {
      // The whole computer's group is nobody's to delegate.
      const std::string folder = absl::StrCat(kRoot, parts[2]);
      if (parts[2] != "/" && Delegate(folder)) return {folder};
      continue;
    }
    if (parts[1] != "memory" && parts[1] != "pids") continue;
    const std::string folder = absl::StrCat(kRoot, "/", parts[1], parts[2] == "/" ? "" : parts[2]);
    if (access(folder.c_str(), W_OK) == 0)
      parts[1] == "memory" ? void(parents.insert(parents.begin(), folder)) : parents.push_back(folder);
  }
  // Without memory it is not worth having.
  if (parents.empty() || !absl::StrContains(parents.front(), "memory")) return {};
  return parents;
}

bool SetLimits(const std::string& folder, const ControlGroupLimits& limits) {
  bool set = true;
  if (limits.memory_bytes != 0) {
    const std::string bytes = absl::StrCat(limits.memory_bytes);
    if (Exists(folder + "/memory.max")) {
      set = WriteValue(folder + "/memory.max", bytes);
      WriteValue(folder + "/memory.swap.max", "0");
    } else if (Exists(folder + "/memory.limit_in_bytes")) {
      set = WriteValue(folder + "/memory.limit_in_bytes", bytes);
      WriteValue(folder + "/memory.memsw.limit_in_bytes", bytes);
    }
  }
  if (limits.processes != 0 && Exists(folder + "/pids.max")) {
    set = WriteValue(folder + "/pids.max", absl::StrCat(limits.processes)) && set;
  }
  return set;
}

void KillAll(const std::string& folder) {
  if (WriteValue(folder + "/cgroup.kill", "1")) return;
  std::istringstream pids(ReadValue(folder + "/cgroup.procs"));
  for (pid_t pid = 0; pids >> pid;) {
    if (pid > 1) kill(pid, SIGKILL);
  }
}

}  // namespace

const std::vector<std::string>& ControlGroup::Parents() {
  static const auto& parents = *new std::vector<std::string>(FindParents());
  return parents;
}

std::optional<ControlGroup> ControlGroup::Make(const ControlGroupLimits& limits) { return Make(Parents(), limits); }

std::optional<ControlGroup> ControlGroup::Make(const std::vector<std::string>& parents,
                                               const ControlGroupLimits& limits) {
  static std::atomic<uint64_t> count = 0;
  if (parents.empty()) return std::nullopt;
  ControlGroup group;
  const std::string name = absl::StrCat("/tandem-run-", getpid(), "-", ++count);
  for (const std::string& parent : parents) {
    const std::string folder = parent + name;
    if (mkdir(folder.c_str(), 0755) != 0) return std::nullopt;
    group.folders_.push_back(folder);
    if (!SetLimits(folder, limits)) return std::nullopt;
    group.limits_processes_ = group.limits_processes_ || Exists(folder + "/pids.max");
    const int procs = open((folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
    if (procs < 0) return std::nullopt;
    group.procs_.push_back(procs);
  }
  return group;
}

ControlGroup::ControlGroup(ControlGroup&& other) noexcept
    : folders_(std::exchange(other.folders_, {})),
      procs_(std::exchange(other.procs_, {})),
      limits_processes_(other.limits_processes_) {}

ControlGroup::~ControlGroup() {
  for (const int fd : procs_) close(fd);
  for (const std::string& folder : folders_) {
    // What was killed is in it until the kernel is done with it.
    for (int i = 0; i < kRemoveTries && rmdir(folder.c_str()) != 0 && errno == EBUSY; ++i) {
      KillAll(folder);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

bool ControlGroup::OutOfMemory() const {
  for (const std::string& folder : folders_) {
    // Both have lines "NAME COUNT".
    for (const char* file : {"/memory.events", "/memory.oom_control"}) {
      std::istringstream lines(ReadValue(folder + file));
      for (std::pair<std::string, uint64_t> line; lines >> line.first >> line.second;) {
        if (line.first == "oom_kill" && line.second > 0) return true;
      }
    }
  }
  return false;
}

}  // namespace tandem
