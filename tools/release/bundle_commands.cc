// bundle, desired
#include <archive.h>
#include <archive_entry.h>

#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tandem/release/v1/release.pb.h"
#include "tools/release/check_desired.h"
#include "tools/release/command.h"

namespace tandem::release_tool {
namespace {

constexpr size_t kBlock = 1 << 20;

struct BundleOptions {
  DocumentOptions documents;
  std::string artifacts;
  std::string out;
};

struct DesiredOptions {
  DocumentOptions documents;
  bool bare = false;
  std::string out;
};

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_write_free(a); }
};

// A tar that is written piece by piece; the same input gives the same bytes.
class TarWriter {
 public:
  static absl::StatusOr<TarWriter> Open(const std::string& path) {
    TarWriter writer(path);
    archive_write_set_format_pax_restricted(writer.archive_.get());
    if (archive_write_open_filename(writer.archive_.get(), path.c_str()) != ARCHIVE_OK) return writer.Error();
    return writer;
  }

  absl::Status Begin(const std::string& name, uint64_t size) {
    std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_mtime(entry.get(), 0, 0);
    return archive_write_header(archive_.get(), entry.get()) == ARCHIVE_OK ? absl::OkStatus() : Error();
  }

  absl::Status Write(const std::string& bytes) {
    const la_ssize_t wrote = archive_write_data(archive_.get(), bytes.data(), bytes.size());
    return wrote == static_cast<la_ssize_t>(bytes.size()) ? absl::OkStatus() : Error();
  }

  absl::Status Close() { return archive_write_close(archive_.get()) == ARCHIVE_OK ? absl::OkStatus() : Error(); }

 private:
  explicit TarWriter(std::string path) : path_(std::move(path)), archive_(archive_write_new()) {}
  absl::Status Error() const {
    const char* text = archive_error_string(archive_.get());
    return absl::UnknownError(absl::StrCat("write ", path_, ": ", text == nullptr ? "unknown error" : text));
  }

  std::string path_;
  std::unique_ptr<archive, ArchiveDeleter> archive_;
};

// What the releases need, by digest.
absl::StatusOr<std::map<std::string, uint64_t>> NeededArtifacts(const DesiredEnvelopes& documents) {
  std::map<std::string, uint64_t> needed;
  for (const std::string& text : documents.releases) {
    ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(text));
    release::v1::Release release;
    if (!release.ParseFromString(envelope.payload)) return absl::InvalidArgumentError("a release cannot be read");
    for (const auto& component : release.components()) needed[component.sha256()] = component.size();
  }
  return needed;
}

absl::Status AddArtifact(const std::string& folder, const std::string& sha256, uint64_t size, TarWriter& tar) {
  const std::string name = HexEncode(sha256);
  ASSIGN_OR_RETURN(std::unique_ptr<File> file,
                   FileSystem::Real().Open(JoinPath(folder, name), FileSystem::OpenMode::kReadOnly));
  RETURN_IF_ERROR(tar.Begin("artifacts/" + name, size));
  Sha256Stream digest;
  uint64_t done = 0;
  while (done < size) {
    ASSIGN_OR_RETURN(const std::string block, file->ReadAt(done, std::min<uint64_t>(kBlock, size - done)));
    if (block.empty()) break;
    digest.Update(block);
    RETURN_IF_ERROR(tar.Write(block));
    done += block.size();
  }
  if (done != size || digest.Finish() != sha256) {
    return absl::DataLossError(absl::StrCat(JoinPath(folder, name), " is not the artifact its name says"));
  }
  return absl::OkStatus();
}

absl::Status WriteBundle(const DesiredEnvelopes& documents, const std::string& artifacts, const std::string& path) {
  ASSIGN_OR_RETURN(const std::string desired, SerializeDesired(documents));
  ASSIGN_OR_RETURN(const auto needed, NeededArtifacts(documents));
  ASSIGN_OR_RETURN(TarWriter tar, TarWriter::Open(path));
  RETURN_IF_ERROR(tar.Begin("desired", desired.size()));
  RETURN_IF_ERROR(tar.Write(desired));
  for (const auto& [sha256, size] : needed) RETURN_IF_ERROR(AddArtifact(artifacts, sha256, size, tar));
  return tar.Close();
}

absl::Status MakeBundle(const BundleOptions& options) {
  ASSIGN_OR_RETURN(const DesiredEnvelopes documents, ReadDocuments(options.documents));
  // What `verify` would find is found here; artifacts are checked while they are copied.
  if (documents.key_sets.empty()) {
    std::cerr << "signatures are not checked without --key-set\n";
    RETURN_IF_ERROR(CheckDesired(documents, nullptr, absl::Now()));
  } else {
    ASSIGN_OR_RETURN(const TrustedKeys keys,
                     Annotate(TrustedKeys::FromFirst(documents.key_sets.front(), ""), "key set"));
    RETURN_IF_ERROR(CheckDesired(documents, &keys, absl::Now()));
  }
  // Under another name until it is whole.
  const std::string partial = options.out + ".part";
  const absl::Status status = WriteBundle(documents, options.artifacts, partial);
  if (!status.ok()) {
    FileSystem::Real().Remove(partial).IgnoreError();
    return status;
  }
  return FileSystem::Real().Rename(partial, options.out);
}

absl::Status PrintDesired(const DesiredOptions& options) {
  ASSIGN_OR_RETURN(const DesiredEnvelopes documents, ReadDocuments(options.documents));
  ASSIGN_OR_RETURN(const std::string payload, SerializeDesired(documents));
  if (options.bare) return WriteOutput(options.out, payload);
  ASSIGN_OR_RETURN(
      const std::string message,
      EncodeMessage({.msg_id = NewMessageId(), .type = kDesiredMessage, .ts = absl::Now(), .payload = payload}));
  return WriteOutput(options.out, message);
}

}  // namespace

void AddBundleCommands(CLI::App& app) {
  auto& bundled = Own<BundleOptions>();
  CLI::App* bundle = AddCommand(app, "bundle", "Packs a desired state and its artifacts for a unit without a cloud", R"(
Example:
  tandem-release bundle --assignment assignment.json --release site/releases/gw-2.json --list list.json \
      --key-set keys-1.json keys-2.json --artifacts site/artifacts --out gw-17.tar
At the unit: tandemctl apply gw-17.tar)",
                                [&bundled] { return MakeBundle(bundled); });
  AddDocumentOptions(*bundle, bundled.documents);
  bundle->add_option("--artifacts", bundled.artifacts, "folder with files named by their SHA-256")->required();
  bundle->add_option("--out", bundled.out, "tar file to write")->required();

  auto& printed = Own<DesiredOptions>();
  CLI::App* desired = AddCommand(app, "desired", "Prints the message for the topic `desired`", R"(
Example:
  tandem-release desired --assignment assignment.json --release site/releases/gw-2.json --list list.json \
      --key-set keys-1.json | mosquitto_pub -V 5 -r -q 1 -t acme/gw-17/desired -s)",
                                 [&printed] { return PrintDesired(printed); });
  AddDocumentOptions(*desired, printed.documents);
  desired->add_flag("--bare", printed.bare, "the documents without the message around them");
  desired->add_option("--out", printed.out, "file to write; default: standard output");
}

}  // namespace tandem::release_tool
