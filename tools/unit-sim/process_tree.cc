#include "tools/unit-sim/process_tree.h"

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <system_error>

namespace tandem::sim {
namespace {

// /proc/PID/stat: "pid (name) state parent ...", where the name may hold anything.
bool ReadStat(const std::filesystem::path& folder, char& state, pid_t& parent) {
  std::ifstream file(folder / "stat");
  std::string line;
  if (!std::getline(file, line)) return false;
  const size_t end = line.rfind(')');
  if (end == std::string::npos || end + 4 > line.size()) return false;
  state = line[end + 2];
  parent = static_cast<pid_t>(std::atoi(line.c_str() + end + 4));
  return true;
}

}  // namespace

std::vector<pid_t> Descendants(pid_t process) {
  std::multimap<pid_t, pid_t> children;
  std::set<pid_t> dead;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    char state = 0;
    pid_t parent = 0;
    if (!ReadStat(entry->path(), state, parent)) continue;
    const pid_t pid = static_cast<pid_t>(std::stol(name));
    children.emplace(parent, pid);
    if (state == 'Z' || state == 'X') dead.insert(pid);
  }
  std::vector<pid_t> found;
  std::vector<pid_t> open = {process};
  while (!open.empty()) {
    const pid_t parent = open.back();
    open.pop_back();
    const auto [first, last] = children.equal_range(parent);
    for (auto child = first; child != last; ++child) {
      open.push_back(child->second);
      if (!dead.contains(child->second)) found.push_back(child->second);
    }
  }
  return found;
}

void KillDescendants(pid_t process) {
  std::set<pid_t> stopped;
  while (true) {
    bool news = false;
    for (const pid_t pid : Descendants(process)) {
      if (!stopped.insert(pid).second) continue;
      kill(pid, SIGSTOP);
      news = true;
    }
    if (!news) break;
  }
  // Those that ended between two looks are not ours any more; what is still a descendant is.
  for (const pid_t pid : Descendants(process)) kill(pid, SIGKILL);
}

}  // namespace tandem::sim
