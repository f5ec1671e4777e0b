#include "cm/artifacts/bundle.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::cm {
namespace {

constexpr char kDesiredMember[] = "desired";
constexpr char kArtifactPrefix[] = "artifacts/";
// An update has some hundred components at most.
constexpr size_t kMaxMembers = 10000;
constexpr size_t kReadBlock = 64 << 10;
// A tar ends with two blocks of zeros.
constexpr uint64_t kEndMark = 1024;

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveDeleter>;

absl::Status ArchiveError(archive* a, const std::string& path) {
  const char* text = archive_error_string(a);
  const std::string reason = text == nullptr ? "unknown error" : text;
  if (absl::StrContains(reason, "runcated")) {
    return absl::DataLossError(absl::StrCat("bundle ", path, " is cut off: ", reason, "; copy it again"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("bundle ", path, " is not a tar made by `tandem-release bundle`: ", reason));
}

// Cut at a member's end, a tar reads as a shorter one; only the end mark tells.
absl::Status CheckWhole(const std::string& path, uint64_t file_size) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, FileSystem::Real().Open(path, FileSystem::OpenMode::kReadOnly));
  if (file_size >= kEndMark) {
    ASSIGN_OR_RETURN(const std::string end, file->ReadAt(file_size - kEndMark, kEndMark));
    if (std::ranges::all_of(end, [](char c) { return c == 0; })) return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("bundle ", path, " is cut off: it has no end mark; copy it again"));
}

absl::StatusOr<std::string> ReadMember(archive* a, const std::string& path, uint64_t size) {
  if (size > kMaxDesiredBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("bundle ", path, ": \"desired\" has ", size, " bytes; at most ", kMaxDesiredBytes, " are taken"));
  }
  std::string content(size, '\0');
  const la_ssize_t got = archive_read_data(a, content.data(), content.size());
  if (got < 0) return ArchiveError(a, path);
  if (static_cast<uint64_t>(got) != size) {
    return absl::DataLossError(absl::StrCat("bundle ", path, " is cut off inside \"desired\"; copy it again"));
  }
  return content;
}

absl::StatusOr<std::string> DigestOfName(const std::string& path, const std::string& name) {
  absl::string_view hex = name;
  if (absl::ConsumePrefix(&hex, kArtifactPrefix) && hex.size() == 2 * kSha256Size) {
    std::string digest = absl::HexStringToBytes(hex);
    if (HexEncode(digest) == hex) return digest;
  }
  return absl::InvalidArgumentError(absl::StrCat("bundle ", path, " has an unexpected member \"", name,
                                                 "\"; only \"desired\" and artifacts/<sha256> belong there"));
}

absl::Status TakeDocuments(const std::string& path, const std::string& json, Bundle& bundle) {
  ASSIGN_OR_RETURN(bundle.documents, Annotate(ParseDesired(json), absl::StrCat("bundle ", path)));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Bundle> OpenBundle(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, FileSystem::Real().Open(path, FileSystem::OpenMode::kReadOnly));
  ASSIGN_OR_RETURN(const uint64_t file_size, file->Size());
  ArchivePtr a(archive_read_new());
  archive_read_support_format_tar(a.get());
  if (archive_read_open_filename(a.get(), path.c_str(), kReadBlock) != ARCHIVE_OK) return ArchiveError(a.get(), path);

  Bundle bundle;
  bool first = true;
  for (size_t members = 0;; ++members) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(a.get(), &entry);
    if (result == ARCHIVE_EOF) break;
    if (result != ARCHIVE_OK) return ArchiveError(a.get(), path);
    if (members >= kMaxMembers) {
      return absl::InvalidArgumentError(absl::StrCat("bundle ", path, " has more than ", kMaxMembers, " members"));
    }
    const char* raw_name = archive_entry_pathname(entry);
    const std::string name(absl::StripPrefix(raw_name == nullptr ? "" : raw_name, "./"));
    // Plain `tar` adds the folder itself.
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;
    const auto size = static_cast<uint64_t>(archive_entry_size(entry));
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_sparse_count(entry) > 0 ||
        archive_entry_hardlink(entry) != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("bundle ", path, ": \"", name, "\" is no plain file"));
    }
    // What was consumed so far ends where the member's bytes begin: no filter changes them.
    const auto offset = static_cast<uint64_t>(archive_filter_bytes(a.get(), 0));
    if (size > file_size || offset > file_size - size) {
      return absl::DataLossError(absl::StrCat("bundle ", path, " is cut off inside \"", name, "\": it has ", file_size,
                                              " bytes; copy it again"));
    }
    if (first) {
      if (name != kDesiredMember) {
        return absl::InvalidArgumentError(
            absl::StrCat("bundle ", path, " begins with \"", name, "\"; \"desired\" must come first"));
      }
      ASSIGN_OR_RETURN(const std::string json, ReadMember(a.get(), path, size));
      RETURN_IF_ERROR(TakeDocuments(path, json, bundle));
      first = false;
      continue;
    }
    ASSIGN_OR_RETURN(const std::string digest, DigestOfName(path, name));
    bundle.artifacts[digest] = {.path = path, .offset = offset, .size = size};
  }
  if (first) return absl::InvalidArgumentError(absl::StrCat("bundle ", path, " is empty"));
  RETURN_IF_ERROR(CheckWhole(path, file_size));
  return bundle;
}

}  // namespace tandem::cm
