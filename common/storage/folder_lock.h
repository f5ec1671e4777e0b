// One process at a time owns a folder of records.
#ifndef TANDEM_COMMON_STORAGE_FOLDER_LOCK_H_
#define TANDEM_COMMON_STORAGE_FOLDER_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace tandem {

// Held until destroyed; the system lets go when the process ends, however it ends. Not inherited by exec'd children.
class FolderLock {
 public:
  // Makes `folder` when needed and locks {folder}/lock. FAILED_PRECONDITION, with the owner's process id, when another
  // process holds it.
  static absl::StatusOr<FolderLock> Take(const std::string& folder);

  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  explicit FolderLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_STORAGE_FOLDER_LOCK_H_
