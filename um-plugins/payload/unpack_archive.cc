#include "um-plugins/payload/unpack_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "common/storage/file_descriptor.h"
#include "common/storage/file_system.h"

namespace tandem::plugins {
namespace {

constexpr size_t kBlockSize = 256 << 10;
constexpr mode_t kPermissions = 0777;
constexpr uint64_t kEntryBytes = 512;

// libarchive takes names through the locale of the thread, and a service's is "C".
class Utf8Locale {
 public:
  Utf8Locale() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = uselocale(locale_);
  }
  ~Utf8Locale() {
    if (locale_ == nullptr) return;
    uselocale(before_);
    freelocale(locale_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t locale_;
  locale_t before_ = nullptr;
};

struct FreeReader {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
struct FreeWriter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};

// How deep below the root `path` ends; negative as soon as it leaves it on its way.
int Depth(absl::string_view path, int depth) {
  for (const absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return depth;
  }
  return depth;
}

bool LiesInside(const std::string& path) { return !path.empty() && path[0] != '/' && Depth(path, 0) >= 0; }

bool PointsInside(const std::string& path, const std::string& target) {
  if (target.empty() || target[0] == '/') return false;
  return Depth(target, Depth(ParentFolder(path), 0)) >= 0;
}

// Opens `link`, below the folder `root`; EXDEV as soon as it leads out of it on its way.
int FollowBeneath(int root, const std::filesystem::path& link, const std::filesystem::path& target) {
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const FileDescriptor fd(static_cast<int>(syscall(SYS_openat2, root, link.c_str(), &how, sizeof(how))));
  if (fd.valid()) return 0;
  if (errno != ENOSYS) return errno;
  // Before Linux 5.6. Without ".." nothing leads up.
  return std::ranges::find(target, "..") == target.end() ? 0 : EXDEV;
}

// "./a//b/" -> "a/b".
std::string NormalPath(std::string_view path) {
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  while (!normal.empty() && normal.back() == '/') normal.pop_back();
  return normal;
}

// Looks at what was unpacked. Symlinks that lead through other symlinks, or got a second name, may end elsewhere than
// their texts say: each is followed by the kernel. Folders that only the names of others imply got the umask's mode,
// not the archive's: all but those in `folders` are for everybody.
absl::Status FinishTree(const std::string& folder, const std::set<std::string>& folders) {
  const FileDescriptor root(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return ErrnoStatus(errno, absl::StrCat("open folder ", folder));
  std::error_code failed;
  for (std::filesystem::recursive_directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    const std::filesystem::path path = entry->path().lexically_relative(folder);
    if (entry->is_symlink(failed)) {
      const int error = FollowBeneath(root.get(), path, std::filesystem::read_symlink(entry->path(), failed));
      // One that leads nowhere is as harmless as in any folder.
      if (error == 0 || error == ENOENT) continue;
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", path.string(), "\" points outside of the archive, or in a circle: ", std::strerror(error)));
    }
    if (entry->is_directory(failed) && !folders.contains(path.string())) {
      RETURN_IF_ERROR(FileSystem::Real().ShareWithAll(entry->path().string()));
    }
  }
  if (failed) return ErrnoStatus(failed.value(), absl::StrCat("look through ", folder));
  return absl::OkStatus();
}

// What unpacking would drop.
absl::Status CheckNothingIsLost(archive_entry* entry, const std::string& path) {
  std::string lost;
  if ((archive_entry_perm(entry) & ~kPermissions & ~static_cast<mode_t>(S_ISVTX)) != 0) lost = "set-id bits";
  if (archive_entry_xattr_count(entry) > 0) lost = "extended attributes, such as capabilities";
  if (archive_entry_acl_types(entry) != 0) lost = "an access control list";
  if (lost.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", path, "\" has ", lost,
                   ", which a payload does not keep; make the archive without (tar --no-xattrs --no-acls)"));
}

absl::Status ArchiveError(archive* one, const std::string& what) {
  const char* const text = archive_error_string(one);
  const std::string message = absl::StrCat(what, ": ", text == nullptr ? "unknown error" : text);
  const int error = archive_errno(one);
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::DataLossError(message);
}

// Refuses what must not be unpacked, and moves the rest below `folder`.
absl::Status Check(archive_entry* entry, const std::string& folder) {
  const char* const name = archive_entry_pathname(entry);
  const std::string path = name == nullptr ? "" : name;
  if (!LiesInside(path)) {
    return absl::InvalidArgumentError(absl::StrCat("the archive has \"", path, "\", which lies outside of it"));
  }
  const mode_t type = archive_entry_filetype(entry);
  if (const char* const link = archive_entry_hardlink(entry); link != nullptr) {
    if (!LiesInside(link)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" links to ", link, ", outside of the archive"));
    }
    archive_entry_set_hardlink(entry, JoinPath(folder, link).c_str());
  } else if (type == AE_IFLNK) {
    const char* const target = archive_entry_symlink(entry);
    if (target == nullptr || !PointsInside(path, target)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" points outside of the archive"));
    }
  } else if (type != AE_IFREG && type != AE_IFDIR) {
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" is neither a file, a folder nor a symlink"));
  }
  RETURN_IF_ERROR(CheckNothingIsLost(entry, path));
  archive_entry_set_perm(entry, archive_entry_perm(entry) & kPermissions);
  archive_entry_set_pathname(entry, JoinPath(folder, path).c_str());
  return absl::OkStatus();
}

// Takes what it writes from `room`.
absl::Status CopyData(archive* reader, archive* writer, const std::string& path, uint64_t& room) {
  while (true) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int read = archive_read_data_block(reader, &block, &size, &offset);
    if (read == ARCHIVE_EOF) return absl::OkStatus();
    if (read < ARCHIVE_OK) return ArchiveError(reader, absl::StrCat("unpack ", path));
    if (size > room) return absl::ResourceExhaustedError(absl::StrCat("unpack ", path, ": there is no room for it"));
    room -= size;
    if (archive_write_data_block(writer, block, size, offset) < ARCHIVE_OK) {
      return ArchiveError(writer, absl::StrCat("unpack ", path));
    }
  }
}

absl::Status SyncAll(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open folder ", folder));
  const int synced = syncfs(fd);
  const int error = errno;
  close(fd);
  return synced < 0 ? ErrnoStatus(error, absl::StrCat("sync ", folder)) : absl::OkStatus();
}

}  // namespace

absl::Status UnpackArchive(const std::string& archive_path, const std::string& into, uint64_t max_bytes) {
  const Utf8Locale names;
  // SECURE_SYMLINKS refuses the symlinks of the way there, too; those are the machine's own and trusted.
  std::error_code error;
  const std::string folder = std::filesystem::canonical(into, error).string();
  if (error) return ErrnoStatus(error.value(), absl::StrCat("find folder ", into));
  std::unique_ptr<archive, FreeReader> reader(archive_read_new());
  std::unique_ptr<archive, FreeWriter> writer(archive_write_disk_new());
  if (reader == nullptr || writer == nullptr) return absl::ResourceExhaustedError("unpack: out of memory");
  // Not all of them: some run a program.
  archive_read_support_filter_gzip(reader.get());
  archive_read_support_filter_bzip2(reader.get());
  archive_read_support_filter_xz(reader.get());
  archive_read_support_filter_lzma(reader.get());
  archive_read_support_filter_zstd(reader.get());
  archive_read_support_filter_lz4(reader.get());
  archive_read_support_format_tar(reader.get());
  // A second line of defence behind Check().
  archive_write_disk_set_options(writer.get(), ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                   ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME);
  if (archive_read_open_filename(reader.get(), archive_path.c_str(), kBlockSize) != ARCHIVE_OK) {
    return ArchiveError(reader.get(), absl::StrCat("open ", archive_path));
  }
  std::set<std::string> folders;
  uint64_t room = max_bytes;
  for (uint64_t entries = 0;; ++entries) {
    archive_entry* entry = nullptr;
    const int next = archive_read_next_header(reader.get(), &entry);
    if (next == ARCHIVE_EOF) break;
    if (next < ARCHIVE_OK) return ArchiveError(reader.get(), absl::StrCat("read ", archive_path));
    if (entries >= kMaxArchiveEntries) {
      return absl::InvalidArgumentError(absl::StrCat("the archive has more than ", kMaxArchiveEntries, " entries"));
    }
    // Every entry takes a block or an inode.
    if (room < kEntryBytes) return absl::ResourceExhaustedError("unpack: there is no room for all of the archive");
    room -= kEntryBytes;
    if (const char* const name = archive_entry_pathname(entry);
        archive_entry_filetype(entry) == AE_IFDIR && name != nullptr) {
      folders.insert(NormalPath(name));
    }
    RETURN_IF_ERROR(Check(entry, folder));
    const std::string path = archive_entry_pathname(entry);
    if (archive_write_header(writer.get(), entry) < ARCHIVE_OK) {
      return ArchiveError(writer.get(), absl::StrCat("unpack ", path));
    }
    RETURN_IF_ERROR(CopyData(reader.get(), writer.get(), path, room));
    if (archive_write_finish_entry(writer.get()) < ARCHIVE_OK) {
      return ArchiveError(writer.get(), absl::StrCat("unpack ", path));
    }
  }
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return ArchiveError(writer.get(), "unpack");
  RETURN_IF_ERROR(FinishTree(folder, folders));
  return SyncAll(folder);
}

}  // namespace tandem::plugins
