#include "tools/release/check_desired.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"
#include "tools/release/command.h"

namespace tandem::release_tool {
namespace {

using release::v1::Assignment;
using release::v1::Release;
using release::v1::ReleaseList;

struct Opened {
  Assignment assignment;
  ReleaseList list;
  std::vector<Signed<Release>> releases;
};

template <typename Document>
absl::StatusOr<Signed<Document>> Read(const std::string& text, const char* type) {
  ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(text));
  Signed<Document> read;
  if (envelope.payload_type != type || !read.document.ParseFromString(envelope.payload)) {
    return absl::InvalidArgumentError(absl::StrCat("it is no ", type));
  }
  read.digest = Sha256(envelope.payload);
  return read;
}

absl::StatusOr<Opened> Open(const DesiredEnvelopes& documents, const TrustedKeys* keys) {
  Opened opened;
  ASSIGN_OR_RETURN(auto assignment, Annotate(keys == nullptr ? Read<Assignment>(documents.assignment, kAssignmentType)
                                                             : OpenAssignment(documents.assignment, *keys),
                                             "assignment"));
  ASSIGN_OR_RETURN(auto list, Annotate(keys == nullptr ? Read<ReleaseList>(documents.release_list, kReleaseListType)
                                                       : OpenReleaseList(documents.release_list, *keys),
                                       "release list"));
  for (const std::string& envelope : documents.releases) {
    ASSIGN_OR_RETURN(
        auto release,
        Annotate(keys == nullptr ? Read<Release>(envelope, kReleaseType) : OpenRelease(envelope, *keys), "release"));
    opened.releases.push_back(std::move(release));
  }
  opened.assignment = std::move(assignment.document);
  opened.list = std::move(list.document);
  return opened;
}

}  // namespace

absl::Status CheckDesired(const DesiredEnvelopes& documents, const TrustedKeys* keys, absl::Time now) {
  std::optional<KeySetWalk> walk;
  if (keys != nullptr) {
    ASSIGN_OR_RETURN(walk, Annotate(WalkKeySets(*keys, documents.key_sets, now), "key sets"));
    keys = &walk->keys;
  }
  ASSIGN_OR_RETURN(const Opened opened, Open(documents, keys));
  RETURN_IF_ERROR(
      CheckNotExpired("the assignment", ExpiryOf(opened.assignment.has_expires(), opened.assignment.expires()), now));
  RETURN_IF_ERROR(CheckNotExpired("the release list", ExpiryOf(opened.list.has_expires(), opened.list.expires()), now));
  const auto& listed = opened.list.release_digests();
  for (const Signed<Release>& release : opened.releases) {
    if (std::find(listed.begin(), listed.end(), release.digest) == listed.end()) {
      return absl::PermissionDeniedError(
          absl::StrCat("release \"", release.document.release_id(), "\" is not in the release list"));
    }
  }
  for (const auto& plane : opened.assignment.planes()) {
    const auto is_it = [&](const Signed<Release>& release) { return release.digest == plane.release_digest(); };
    if (std::ranges::none_of(opened.releases, is_it)) {
      return absl::NotFoundError(
          absl::StrCat("release ", HexEncode(plane.release_digest()), ", which the assignment names, is missing"));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::release_tool
