#include "cm/artifacts/bundle.h"

#include <archive.h>
#include <archive_entry.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

constexpr char kDesiredMember[] = "desired";
constexpr char kArtifactFolder[] = "artifacts/";
constexpr size_t kBlockSize = 64 << 10;

using Archive = std::unique_ptr<archive, decltype(&archive_read_free)>;

absl::StatusOr<std::string> ReadMember(archive* tar, archive_entry* entry) {
  const int64_t size = archive_entry_size(entry);
  if (size < 0 || static_cast<uint64_t>(size) > kMaxDesiredBytes) {
    return absl::InvalidArgumentError(absl::StrCat("`desired` has ", size, " bytes, more than ", kMaxDesiredBytes));
  }
  std::string text(static_cast<size_t>(size), '\0');
  const la_ssize_t got = archive_read_data(tar, text.data(), text.size());
  if (got != size) return absl::DataLossError("`desired` is cut off");
  return text;
}

// 32 bytes of a member called artifacts/<64 hex digits>.
absl::StatusOr<std::string> DigestOfName(const std::string& name) {
  const absl::string_view hex = absl::StripPrefix(name, kArtifactFolder);
  const std::string digest = absl::HexStringToBytes(hex);
  if (hex.size() == name.size() || hex.size() != 2 * kSha256Size || absl::BytesToHexString(digest) != hex) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected member \"", name, "\"; a bundle has `desired`, then artifacts/<sha256>"));
  }
  return digest;
}

absl::StatusOr<Bundle> ReadBundle(archive* tar, const std::string& path, uint64_t file_size) {
  Bundle bundle;
  bool first = true;
  for (archive_entry* entry = nullptr;;) {
    const int read = archive_read_next_header(tar, &entry);
    if (read == ARCHIVE_EOF) break;
    if (read != ARCHIVE_OK) {
      const char* text = archive_error_string(tar);
      return first ? absl::InvalidArgumentError(absl::StrCat("not a tar: ", text == nullptr ? "unreadable" : text))
                   : absl::DataLossError(absl::StrCat("cut off or damaged: ", text == nullptr ? "unreadable" : text));
    }
    const std::string name(absl::StripPrefix(archive_entry_pathname(entry), "./"));
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;
    if (archive_entry_filetype(entry) != AE_IFREG) {
      return absl::InvalidArgumentError(absl::StrCat("member \"", name, "\" is not a plain file"));
    }
    if (first) {
      if (name != kDesiredMember) {
        return absl::InvalidArgumentError(absl::StrCat("the first member is \"", name,
                                                       "\" instead of `desired`; make the "
                                                       "bundle with tandem-release bundle"));
      }
      ASSIGN_OR_RETURN(const std::string json, ReadMember(tar, entry));
      ASSIGN_OR_RETURN(DesiredEnvelopes desired, Annotate(ParseDesired(json), "`desired`"));
      bundle.documents = {.assignment = std::move(desired.assignment),
                          .releases = std::move(desired.releases),
                          .release_list = std::move(desired.release_list),
                          .key_sets = std::move(desired.key_sets)};
      first = false;
      continue;
    }
    ASSIGN_OR_RETURN(const std::string digest, DigestOfName(name));
    // What the tar reader has consumed: the data begins here.
    const FileRange range{.path = path,
                          .offset = static_cast<uint64_t>(archive_filter_bytes(tar, -1)),
                          .size = static_cast<uint64_t>(archive_entry_size(entry))};
    if (range.offset + range.size > file_size) {
      return absl::DataLossError(absl::StrCat("member \"", name, "\" is cut off: the file ends at ", file_size,
                                              ", it needs ", range.offset + range.size,
                                              " bytes; copy the bundle again"));
    }
    bundle.artifacts[digest] = range;
  }
  if (first) return absl::InvalidArgumentError("the bundle is empty");
  return bundle;
}

}  // namespace

absl::StatusOr<Bundle> OpenBundle(const std::string& path) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error) return ErrnoStatus(error.value(), absl::StrCat("bundle ", path));
  const Archive tar(archive_read_new(), archive_read_free);
  // Only what artifacts can be read from at their place: no compression.
  archive_read_support_filter_none(tar.get());
  archive_read_support_format_tar(tar.get());
  if (archive_read_open_filename(tar.get(), path.c_str(), kBlockSize) != ARCHIVE_OK) {
    return absl::InvalidArgumentError(absl::StrCat("bundle ", path, ": ", archive_error_string(tar.get())));
  }
  return Annotate(ReadBundle(tar.get(), path, size), absl::StrCat("bundle ", path));
}

}  // namespace tandem::cm
