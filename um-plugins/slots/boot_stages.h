// The boot stages of one computer whose updates run in this process: no two of them may be unproven in one boot, or
// nobody could tell which one failed.
#ifndef TANDEM_UM_PLUGINS_SLOTS_BOOT_STAGES_H_
#define TANDEM_UM_PLUGINS_SLOTS_BOOT_STAGES_H_

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem::plugins {

// Thread-safe.
class BootStages {
 public:
  // True when the stage is on trial and its new image has not run yet.
  using IsUnproven = std::function<absl::StatusOr<bool>()>;

  void Add(const std::string& name, IsUnproven is_unproven) {
    std::lock_guard lock(mutex_);
    stages_[name] = std::move(is_unproven);
  }
  void Remove(const std::string& name) {
    std::lock_guard lock(mutex_);
    stages_.erase(name);
  }

  // OK when `name` may be put on trial; FAILED_PRECONDITION names the stage that must be booted first.
  absl::Status MayArm(const std::string& name);

 private:
  std::mutex mutex_;
  std::map<std::string, IsUnproven> stages_;
};

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_SLOTS_BOOT_STAGES_H_
