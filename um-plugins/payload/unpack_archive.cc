#include "um-plugins/payload/unpack_archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::plugins {
namespace {

constexpr size_t kBlockSize = 256 << 10;
constexpr mode_t kPermissions = 0777;

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
  archive_entry_set_perm(entry, archive_entry_perm(entry) & kPermissions);
  archive_entry_set_pathname(entry, JoinPath(folder, path).c_str());
  return absl::OkStatus();
}

absl::Status CopyData(archive* reader, archive* writer, const std::string& path) {
  while (true) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int read = archive_read_data_block(reader, &block, &size, &offset);
    if (read == ARCHIVE_EOF) return absl::OkStatus();
    if (read < ARCHIVE_OK) return ArchiveError(reader, absl::StrCat("unpack ", path));
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

absl::Status UnpackArchive(const std::string& archive_path, const std::string& into) {
  // SECURE_SYMLINKS refuses the symlinks of the way there, too; those are the machine's own and trusted.
  std::error_code error;
  const std::string folder = std::filesystem::canonical(into, error).string();
  if (error) return ErrnoStatus(error.value(), absl::StrCat("find folder ", into));
  std::unique_ptr<archive, FreeReader> reader(archive_read_new());
  std::unique_ptr<archive, FreeWriter> writer(archive_write_disk_new());
  if (reader == nullptr || writer == nullptr) return absl::ResourceExhaustedError("unpack: out of memory");
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_tar(reader.get());
  // A second line of defence behind Check().
  archive_write_disk_set_options(writer.get(), ARCHIVE_EXTRACT_SECURE_NODOTDOT | ARCHIVE_EXTRACT_SECURE_SYMLINKS |
                                                   ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME);
  if (archive_read_open_filename(reader.get(), archive_path.c_str(), kBlockSize) != ARCHIVE_OK) {
    return ArchiveError(reader.get(), absl::StrCat("open ", archive_path));
  }
  while (true) {
    archive_entry* entry = nullptr;
    const int next = archive_read_next_header(reader.get(), &entry);
    if (next == ARCHIVE_EOF) break;
    if (next < ARCHIVE_OK) return ArchiveError(reader.get(), absl::StrCat("read ", archive_path));
    RETURN_IF_ERROR(Check(entry, folder));
    const std::string path = archive_entry_pathname(entry);
    if (archive_write_header(writer.get(), entry) < ARCHIVE_OK) {
      return ArchiveError(writer.get(), absl::StrCat("unpack ", path));
    }
    RETURN_IF_ERROR(CopyData(reader.get(), writer.get(), path));
    if (archive_write_finish_entry(writer.get()) < ARCHIVE_OK) {
      return ArchiveError(writer.get(), absl::StrCat("unpack ", path));
    }
  }
  if (archive_write_close(writer.get()) != ARCHIVE_OK) return ArchiveError(writer.get(), "unpack");
  return SyncAll(folder);
}

}  // namespace tandem::plugins
