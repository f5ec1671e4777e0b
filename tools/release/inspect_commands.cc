// inspect, verify
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cm/artifacts/bundle.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"
#include "tools/release/check_desired.h"
#include "tools/release/command.h"
#include "tools/release/describe.h"

namespace tandem::release_tool {
namespace {

using release::v1::Assignment;
using release::v1::Release;
using release::v1::ReleaseList;

constexpr size_t kReadBlock = 1 << 20;

struct VerifyOptions {
  std::vector<std::string> files;
  std::vector<std::string> key_sets;
  std::string at;
};

absl::Status VerifyEnvelope(const std::string& envelope, const TrustedKeys& keys, absl::Time now) {
  ASSIGN_OR_RETURN(const DsseEnvelope parsed, ParseDsse(envelope));
  if (parsed.payload_type == kReleaseType) return OpenRelease(envelope, keys).status();
  if (parsed.payload_type == kReleaseListType) {
    ASSIGN_OR_RETURN(const Signed<ReleaseList> list, OpenReleaseList(envelope, keys));
    return CheckNotExpired("the list", ExpiryOf(list.document.has_expires(), list.document.expires()), now);
  }
  if (parsed.payload_type == kAssignmentType) {
    ASSIGN_OR_RETURN(const Signed<Assignment> assignment, OpenAssignment(envelope, keys));
    return CheckNotExpired("the assignment", ExpiryOf(assignment.document.has_expires(), assignment.document.expires()),
                           now);
  }
  if (parsed.payload_type == kKeySetType) {
    if (keys.HasInChain(Sha256(parsed.payload))) return absl::OkStatus();
    ASSIGN_OR_RETURN(const KeySetWalk walk, WalkKeySets(keys, {envelope}, now));
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown type ", parsed.payload_type));
}

absl::Status VerifyArtifact(const cm::FileRange& range, const std::string& sha256) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, FileSystem::Real().Open(range.path, FileSystem::OpenMode::kReadOnly));
  Sha256Stream digest;
  for (uint64_t done = 0; done < range.size;) {
    ASSIGN_OR_RETURN(const std::string block,
                     file->ReadAt(range.offset + done, std::min<uint64_t>(kReadBlock, range.size - done)));
    if (block.empty()) return absl::DataLossError("cut off");
    digest.Update(block);
    done += block.size();
  }
  if (digest.Finish() == sha256) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("artifact ", HexEncode(sha256), " does not match its name"));
}

// The desired state as a whole, and every artifact there and intact.
absl::Status VerifyBundle(const std::string& path, const TrustedKeys& keys, absl::Time now) {
  ASSIGN_OR_RETURN(const cm::Bundle bundle, cm::OpenBundle(path));
  RETURN_IF_ERROR(CheckDesired(DocumentsOf(bundle), &keys, now));
  for (const std::string& envelope : bundle.documents.releases) {
    ASSIGN_OR_RETURN(const DsseEnvelope parsed, ParseDsse(envelope));
    Release release;
    release.ParseFromString(parsed.payload);
    for (const auto& component : release.components()) {
      const auto found = bundle.artifacts.find(component.sha256());
      if (found == bundle.artifacts.end() || found->second.size != component.size()) {
        return absl::NotFoundError(absl::StrCat("artifact ", HexEncode(component.sha256()), " of ",
                                                component.component_type(), " is missing or has another size"));
      }
    }
  }
  for (const auto& [sha256, range] : bundle.artifacts) RETURN_IF_ERROR(VerifyArtifact(range, sha256));
  return absl::OkStatus();
}

absl::Status VerifyFile(const std::string& path, const TrustedKeys& keys, absl::Time now) {
  ASSIGN_OR_RETURN(const std::optional<std::string> json, ReadJsonUnlessBundle(path));
  return json.has_value() ? VerifyEnvelope(*json, keys, now) : VerifyBundle(path, keys, now);
}

absl::Status Verify(const VerifyOptions& options) {
  absl::Time now = absl::Now();
  if (!options.at.empty()) {
    ASSIGN_OR_RETURN(now, ParseTimeText(options.at));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> chain, ReadInputs(options.key_sets));
  ASSIGN_OR_RETURN(const TrustedKeys keys, Annotate(LoadKeySetChain(chain, ""), "--key-set"));
  absl::Status first_failure;
  for (const std::string& path : options.files) {
    const absl::Status status = Annotate(VerifyFile(path, keys, now), path);
    if (status.ok()) {
      std::cout << path << ": good\n";
    } else {
      std::cerr << ToPersonText(status) << "\n";
      first_failure.Update(status);
    }
  }
  return first_failure.ok() ? absl::OkStatus() : absl::FailedPreconditionError("not everything verifies");
}

}  // namespace

void AddInspectCommands(CLI::App& app) {
  auto& shown = Own<std::pair<std::string, bool>>();
  CLI::App* inspect = AddCommand(app, "inspect", "Shows a signed document, a bundle or a message; verifies nothing",
                                 "\nExample:\n  tandem-release inspect gw-17.tar\n  tandem-release inspect "
                                 "assignment.json --json | jq .document.sequence",
                                 [&shown] { return ShowFile(shown.first, shown.second); });
  inspect->add_option("file", shown.first, "file")->required();
  inspect->add_flag("--json", shown.second, "for programs");

  auto& checked = Own<VerifyOptions>();
  CLI::App* verify = AddCommand(app, "verify", "Checks documents and bundles against a key set",
                                "\nExample:\n  tandem-release verify gw-17.tar assignment.json --key-set keys-1.json",
                                [&checked] { return Verify(checked); });
  verify->add_option("file", checked.files, "documents and bundles")->required();
  verify->add_option("--key-set", checked.key_sets, "the key sets, oldest first; the first one is trusted")->required();
  verify->add_option("--at", checked.at, "as of this time; default: now");
}

}  // namespace tandem::release_tool
