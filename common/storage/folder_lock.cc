#include "common/storage/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem {

absl::StatusOr<FolderLock> FolderLock::Take(const std::string& folder) {
  RETURN_IF_ERROR(FileSystem::Real().MakeFolders(folder));
  const std::string path = JoinPath(folder, "lock");
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("lock ", path));
  FolderLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("lock ", path));
    char owner[32] = {};
    const ssize_t length = pread(fd, owner, sizeof(owner) - 1, 0);
    return absl::FailedPreconditionError(absl::StrCat(folder, " is in use by process ", length > 0 ? owner : "unknown",
                                                      "; stop it, or use another folder"));
  }
  const std::string owner = absl::StrCat(getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, owner.data(), owner.size(), 0) < 0) {
    return ErrnoStatus(errno, absl::StrCat("lock ", path));
  }
  return lock;
}

FolderLock::~FolderLock() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace tandem
