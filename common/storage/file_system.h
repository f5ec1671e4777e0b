// Files as an interface: the real ones, and an in-memory fake that fails or loses power at any call.
#ifndef TANDEM_COMMON_STORAGE_FILE_SYSTEM_H_
#define TANDEM_COMMON_STORAGE_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// An open file or block device. Not thread-safe.
class File {
 public:
  virtual ~File() = default;

  // Up to `size` bytes from `offset`; fewer only at the end of the file.
  virtual absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) = 0;

  // All of `data`, or an error. Durable only after Sync().
  virtual absl::Status WriteAt(uint64_t offset, std::string_view data) = 0;

  // After OK, everything written before survives a power cut.
  virtual absl::Status Sync() = 0;

  // Bytes; for a block device its capacity.
  virtual absl::StatusOr<uint64_t> Size() = 0;

  // Not for block devices.
  virtual absl::Status Truncate(uint64_t size) = 0;

  // Makes later reads come from the medium, as far as the system allows.
  virtual absl::Status DropCache() = 0;
};

// Paths are absolute or relative to the working directory. Errors name the path. NOT_FOUND for what is not there. What
// is made belongs to this user alone, whatever the umask: files 0600, folders 0700. Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  enum class OpenMode {
    kReadOnly,
    kReadWrite,
    // As kReadWrite; a block device that is mounted, or in use in another exclusive way, is refused.
    kReadWriteAlone,
    // Makes an empty file when there is none; never truncates.
    kCreate,
  };

  virtual absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;

  // The whole file; OUT_OF_RANGE when larger than `limit`.
  virtual absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t limit = 64 << 20) = 0;

  // Replaces `path` as a whole: temporary file, fsync, rename, fsync of the folder. After OK the new content survives a
  // power cut; after an error or a crash the old or the new content is there, never a mixture.
  virtual absl::Status WriteFileAtomically(const std::string& path, std::string_view content) = 0;

  // Durable after SyncFolder() of the parents.
  virtual absl::Status Rename(const std::string& from, const std::string& to) = 0;
  // OK when there was nothing.
  virtual absl::Status Remove(const std::string& path) = 0;
  virtual absl::Status RemoveTree(const std::string& path) = 0;
  // With parents, durable on return; OK when it is there.
  virtual absl::Status MakeFolders(const std::string& path) = 0;
  virtual absl::Status SyncFolder(const std::string& path) = 0;
  // Every user of the machine may read it: a file is 0644, a folder 0755.
  virtual absl::Status ShareWithAll(const std::string& path) = 0;
  // MakeFolders(), and those that were missing are shared with all. What was there keeps the mode that it has.
  absl::Status MakeSharedFolders(const std::string& path);
  // Makes `link` point to `target` by rename of a temporary link, and syncs the folder: old or new, never none.
  virtual absl::Status SwitchSymlink(const std::string& target, const std::string& link) = 0;
  virtual absl::StatusOr<std::string> ReadSymlink(const std::string& link) = 0;

  virtual bool Exists(const std::string& path) = 0;
  // Names in a folder, sorted.
  virtual absl::StatusOr<std::vector<std::string>> List(const std::string& folder) = 0;
  // Bytes that may still be written below `path`.
  virtual absl::StatusOr<uint64_t> FreeSpace(const std::string& path) = 0;

  // The machine's; lives for ever.
  static FileSystem& Real();
};

// "a/b" + "c" -> "a/b/c".
std::string JoinPath(std::string_view folder, std::string_view name);
// "a/b/c" -> "a/b"; "c" -> ".".
std::string ParentFolder(std::string_view path);

}  // namespace tandem

#endif  // TANDEM_COMMON_STORAGE_FILE_SYSTEM_H_
