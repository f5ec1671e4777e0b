#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "common/storage/file_descriptor.h"
#include "common/storage/file_system.h"

namespace tandem {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kFolderMode = 0700;
constexpr mode_t kSharedFileMode = 0644;
constexpr mode_t kSharedFolderMode = 0755;

absl::Status LastError(std::string_view action, const std::string& path) {
  const int error_number = errno;
  return ErrnoStatus(error_number, absl::StrCat(absl::string_view(action.data(), action.size()), " ", path));
}

template <typename Call>
auto RetryOnSignal(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

absl::Status WriteAll(int fd, const std::string& path, uint64_t offset, std::string_view data) {
  while (!data.empty()) {
    const ssize_t written =
        RetryOnSignal([&] { return pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset)); });
    if (written < 0) return LastError(absl::StrCat("write at ", offset, " of"), path);
    // A block device answers 0 at its end.
    if (written == 0) return absl::ResourceExhaustedError(absl::StrCat("write at ", offset, " of ", path, ": full"));
    offset += static_cast<uint64_t>(written);
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

class PosixFile : public File {
 public:
  PosixFile(FileDescriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  absl::StatusOr<std::string> ReadAt(uint64_t offset, size_t size) override {
    std::string data(size, '\0');
    size_t done = 0;
    while (done < size) {
      const ssize_t got = RetryOnSignal(
          [&] { return pread(fd_.get(), data.data() + done, size - done, static_cast<off_t>(offset + done)); });
      if (got < 0) return LastError(absl::StrCat("read at ", offset + done, " of"), path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    data.resize(done);
    return data;
  }

  absl::Status WriteAt(uint64_t offset, std::string_view data) override {
    return WriteAll(fd_.get(), path_, offset, data);
  }

  absl::Status Sync() override {
    // The file's size is part of what fdatasync() keeps; only times are not.
    if (RetryOnSignal([&] { return fdatasync(fd_.get()); }) == 0) return absl::OkStatus();
    // Raw flash (mtdchar) has no cache, and no sync.
    if (errno == EINVAL && IsCharacterDevice()) return absl::OkStatus();
    return LastError("sync", path_);
  }

  absl::StatusOr<uint64_t> Size() override {
    struct stat info {};
    if (fstat(fd_.get(), &info) < 0) return LastError("look at", path_);
    if (!S_ISBLK(info.st_mode)) return static_cast<uint64_t>(info.st_size);
    uint64_t capacity = 0;
    if (ioctl(fd_.get(), BLKGETSIZE64, &capacity) < 0) return LastError("ask for the capacity of", path_);
    return capacity;
  }

  absl::Status Truncate(uint64_t size) override {
    if (RetryOnSignal([&] { return ftruncate(fd_.get(), static_cast<off_t>(size)); }) < 0) {
      return LastError("truncate", path_);
    }
    return absl::OkStatus();
  }

  absl::Status DropCache() override {
    RETURN_IF_ERROR(Sync());
    if (IsCharacterDevice()) return absl::OkStatus();
    if (const int error = posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED); error != 0) {
      return ErrnoStatus(error, absl::StrCat("drop the cache of ", path_));
    }
    return absl::OkStatus();
  }

 private:
  bool IsCharacterDevice() const {
    struct stat info {};
    return fstat(fd_.get(), &info) == 0 && S_ISCHR(info.st_mode);
  }

  FileDescriptor fd_;
  std::string path_;
};

// A temporary file beside `path` that nobody else writes. Its name is used again after a crash, so that power cuts do
// not litter the folder; the lock keeps two writers of one path apart.
absl::StatusOr<std::pair<FileDescriptor, std::string>> OpenTemporary(const std::string& path) {
  for (int number = 0; number < 1000;) {
    const std::string name = number == 0 ? path + ".tmp" : absl::StrCat(path, ".tmp", number);
    FileDescriptor fd(RetryOnSignal([&] { return open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode); }));
    if (!fd.valid()) return LastError("create", name);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) < 0) {
      ++number;
      continue;
    }
    // The other writer may have renamed its file away between our open() and flock().
    struct stat opened {};
    struct stat named {};
    if (fstat(fd.get(), &opened) < 0) return LastError("look at", name);
    if (stat(name.c_str(), &named) < 0 || named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) continue;
    if (RetryOnSignal([&] { return ftruncate(fd.get(), 0); }) < 0) return LastError("truncate", name);
    return std::make_pair(std::move(fd), name);
  }
  return absl::UnavailableError(absl::StrCat("write ", path, ": too many writers"));
}

class PosixFileSystem : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    if (mode == OpenMode::kReadOnly) flags |= O_RDONLY;
    if (mode == OpenMode::kReadWrite) flags |= O_RDWR;
    // Without O_CREAT it means something for block devices only.
    if (mode == OpenMode::kReadWriteAlone) flags |= O_RDWR | O_EXCL;
    if (mode == OpenMode::kCreate) flags |= O_RDWR | O_CREAT;
    FileDescriptor fd(RetryOnSignal([&] { return open(path.c_str(), flags, kFileMode); }));
    if (!fd.valid()) return LastError("open", path);
    return std::make_unique<PosixFile>(std::move(fd), path);
  }

  absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t limit) override {
    FileDescriptor fd(RetryOnSignal([&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
    if (!fd.valid()) return LastError("open", path);
    struct stat info {};
    if (fstat(fd.get(), &info) < 0) return LastError("look at", path);
    // Files of /proc and /sys say size 0, and a pipe has none; so the end decides, not the size.
    std::string content;
    size_t step = std::clamp<size_t>(static_cast<size_t>(info.st_size) + 1, 4096, 1 << 20);
    while (true) {
      const size_t done = content.size();
      content.resize(done + step);
      const ssize_t got = RetryOnSignal([&] { return read(fd.get(), content.data() + done, step); });
      if (got < 0) return LastError("read", path);
      content.resize(done + static_cast<size_t>(got));
      if (content.size() > limit) {
        return absl::OutOfRangeError(absl::StrCat("read ", path, ": larger than ", limit, " bytes"));
      }
      if (got == 0) return content;
    }
  }

  absl::Status WriteFileAtomically(const std::string& path, std::string_view content) override {
    ASSIGN_OR_RETURN(auto temporary, OpenTemporary(path));
    const int fd = temporary.first.get();
    const std::string& name = temporary.second;
    absl::Status status = WriteAll(fd, name, 0, content);
    if (status.ok() && RetryOnSignal([&] { return fsync(fd); }) < 0) status = LastError("sync", name);
    if (status.ok()) status = Rename(name, path);
    if (!status.ok()) {
      // A full disk must not stay full because of us.
      unlink(name.c_str());
      return status;
    }
    return SyncFolder(ParentFolder(path));
  }

  absl::Status Rename(const std::string& from, const std::string& to) override {
    if (rename(from.c_str(), to.c_str()) < 0) return LastError(absl::StrCat("rename ", from, " to"), to);
    return absl::OkStatus();
  }

  absl::Status Remove(const std::string& path) override {
    if (std::remove(path.c_str()) < 0 && errno != ENOENT) return LastError("remove", path);
    return absl::OkStatus();
  }

  absl::Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return ErrnoStatus(error.value(), absl::StrCat("remove ", path));
    return absl::OkStatus();
  }

  absl::Status MakeFolders(const std::string& path) override {
    if (path.empty() || path == "/" || path == ".") return absl::OkStatus();
    struct stat info {};
    if (stat(path.c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) return absl::OkStatus();
      return absl::FailedPreconditionError(absl::StrCat("make folder ", path, ": something else has that name"));
    }
    const std::string parent = ParentFolder(path);
    RETURN_IF_ERROR(MakeFolders(parent));
    if (mkdir(path.c_str(), kFolderMode) < 0 && errno != EEXIST) return LastError("make folder", path);
    return SyncFolder(parent);
  }

  absl::Status SyncFolder(const std::string& path) override {
    const std::string folder = path.empty() ? "." : path;
    FileDescriptor fd(RetryOnSignal([&] { return open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (!fd.valid()) return LastError("open folder", folder);
    if (RetryOnSignal([&] { return fsync(fd.get()); }) < 0) return LastError("sync folder", folder);
    return absl::OkStatus();
  }

  absl::Status ShareWithAll(const std::string& path) override {
    struct stat info {};
    if (stat(path.c_str(), &info) < 0) return LastError("look at", path);
    const mode_t mode = S_ISDIR(info.st_mode) ? kSharedFolderMode : kSharedFileMode;
    if ((info.st_mode & 07777) != mode && chmod(path.c_str(), mode) < 0) return LastError("share with all", path);
    return absl::OkStatus();
  }

  absl::Status SwitchSymlink(const std::string& target, const std::string& link) override {
    const std::string temporary = link + ".tmp";
    RETURN_IF_ERROR(Remove(temporary));
    if (symlink(target.c_str(), temporary.c_str()) < 0) return LastError("create symlink", temporary);
    RETURN_IF_ERROR(Rename(temporary, link));
    return SyncFolder(ParentFolder(link));
  }

  absl::StatusOr<std::string> ReadSymlink(const std::string& link) override {
    std::error_code error;
    const std::filesystem::path target = std::filesystem::read_symlink(link, error);
    if (error) return ErrnoStatus(error.value(), absl::StrCat("read symlink ", link));
    return target.string();
  }

  bool Exists(const std::string& path) override { return access(path.c_str(), F_OK) == 0; }

  absl::StatusOr<std::vector<std::string>> List(const std::string& folder) override {
    std::error_code error;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      names.push_back(entry->path().filename().string());
    }
    if (error) return ErrnoStatus(error.value(), absl::StrCat("list ", folder));
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    struct statvfs info {};
    if (statvfs(path.c_str(), &info) < 0) return LastError("ask for the free space of", path);
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }
};

}  // namespace

FileSystem& FileSystem::Real() {
  static PosixFileSystem* const file_system = new PosixFileSystem;
  return *file_system;
}

absl::Status FileSystem::MakeSharedFolders(const std::string& path) {
  // Without power the fake file system says of the root, too, that it is not there.
  if (path.empty() || path == "/" || path == "." || Exists(path)) return MakeFolders(path);
  RETURN_IF_ERROR(MakeSharedFolders(ParentFolder(path)));
  RETURN_IF_ERROR(MakeFolders(path));
  return ShareWithAll(path);
}

std::string JoinPath(std::string_view folder, std::string_view name) {
  if (folder.empty()) return std::string(name);
  std::string path(folder);
  if (path.back() != '/') path.push_back('/');
  return path.append(name);
}

std::string ParentFolder(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  if (slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

}  // namespace tandem
