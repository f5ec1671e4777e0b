#include "um/prepare_request.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/crypto/strict_json.h"
#include "common/status/status.h"
#include "nlohmann/json.hpp"

namespace tandem::um {
namespace {

using nlohmann::json;
using release::v1::Assignment;
using release::v1::Release;
using release::v1::ReleaseComponent;
using updatemanager::v2::PrepareComponentInfo;

struct Envelopes {
  DesiredEnvelopes signed_documents;
  std::vector<std::string> mirrors;
  std::vector<std::string> headers;
};

std::vector<std::string> Strings(const json& object, const char* key) {
  std::vector<std::string> strings;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array()) return strings;
  for (const json& item : *found) {
    if (item.is_string()) strings.push_back(item.get<std::string>());
  }
  return strings;
}

// What came with a component's name.
struct Annotations {
  std::optional<Envelopes> envelopes;
  // What is left for the plugin.
  std::string others;
};

absl::StatusOr<Annotations> ReadAnnotations(const std::string& text) {
  if (text.empty()) return Annotations();
  if (text.size() > kMaxDesiredBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("annotations have ", text.size(), " bytes; at most ", kMaxDesiredBytes, " are taken"));
  }
  ASSIGN_OR_RETURN(json object, Annotate(ParseStrictJson(text), "annotations"));
  if (!object.is_object()) return absl::InvalidArgumentError("annotations are not a JSON object");
  Annotations annotations;
  if (const auto tandem = object.find("tandem"); tandem != object.end()) {
    if (!tandem->is_object()) return absl::InvalidArgumentError("annotations.tandem is not a JSON object");
    Envelopes& envelopes = annotations.envelopes.emplace();
    ASSIGN_OR_RETURN(envelopes.signed_documents, DesiredFromJson(*tandem));
    envelopes.mirrors = Strings(*tandem, "mirrors");
    envelopes.headers = Strings(*tandem, "headers");
    object.erase("tandem");
  }
  if (!object.empty()) annotations.others = object.dump();
  return annotations;
}

bool Covers(const ReleaseComponent& signed_component, const PrepareComponentInfo& info) {
  return signed_component.component_type() == info.component_type() &&
         (signed_component.component_id().empty() || signed_component.component_id() == info.component_id()) &&
         signed_component.version() == info.version() && signed_component.sha256() == info.sha256() &&
         signed_component.size() == info.size();
}

const ReleaseComponent* FindCovering(const Release& release, const PrepareComponentInfo& info) {
  const auto found = std::ranges::find_if(release.components(),
                                          [&](const ReleaseComponent& component) { return Covers(component, info); });
  return found == release.components().end() ? nullptr : &*found;
}

// The release's own words, checked against the key set.
absl::StatusOr<ReleaseComponent> VerifyCovered(const PrepareComponentInfo& info, const Envelopes& envelopes,
                                               const PrepareTrust& trust, Clock& clock) {
  ASSIGN_OR_RETURN(const TrustedKeys first, TrustedKeys::FromFirst(trust.key_set, trust.name_space));
  ASSIGN_OR_RETURN(const KeySetWalk walk, WalkKeySets(first, envelopes.signed_documents.key_sets, clock.Now()));
  ASSIGN_OR_RETURN(const Signed<Assignment> assignment,
                   OpenAssignment(envelopes.signed_documents.assignment, walk.keys));
  if (assignment.document.unit_id() != trust.unit_id) {
    return absl::PermissionDeniedError(
        absl::StrCat("the assignment is for unit ", assignment.document.unit_id(), ", this is ", trust.unit_id));
  }
  for (const std::string& envelope : envelopes.signed_documents.releases) {
    ASSIGN_OR_RETURN(const Signed<Release> release, OpenRelease(envelope, walk.keys));
    const bool assigned = std::ranges::any_of(
        assignment.document.planes(),
        [&](const release::v1::PlaneRelease& plane) { return plane.release_digest() == release.digest; });
    if (!assigned) continue;
    if (const ReleaseComponent* found = FindCovering(release.document, info); found != nullptr) return *found;
  }
  return absl::PermissionDeniedError("no signed release of the assignment names these bytes");
}

// The chunk list, when the envelope parses; CM has checked the signature, and the whole digest is checked in any case.
absl::StatusOr<ReleaseComponent> FindUnverified(const PrepareComponentInfo& info, const Envelopes& envelopes) {
  for (const std::string& text : envelopes.signed_documents.releases) {
    ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(text));
    Release release;
    if (!release.ParseFromString(envelope.payload)) continue;
    if (const ReleaseComponent* found = FindCovering(release, info); found != nullptr) return *found;
  }
  return absl::NotFoundError("no release names these bytes");
}

absl::StatusOr<Artifact> ReadComponent(const PrepareComponentInfo& info, const PrepareTrust& trust, Clock& clock) {
  if (info.component_type().empty() && info.component_id().empty()) {
    return absl::InvalidArgumentError("a component has neither id nor type");
  }
  if (info.version().empty()) return absl::InvalidArgumentError("the version is missing");
  if (!info.url().empty() && info.sha256().size() != kSha256Size) {
    return absl::InvalidArgumentError(absl::StrCat("sha256 has ", info.sha256().size(), " bytes instead of 32"));
  }
  Artifact artifact{.component_id = info.component_id(),
                    .component_type = info.component_type(),
                    .version = info.version(),
                    .urls = {},
                    .headers = {},
                    .sha256 = {},
                    .chunk_digests = {},
                    .annotations = {}};
  ASSIGN_OR_RETURN(Annotations annotations, ReadAnnotations(info.annotations()));
  artifact.annotations = std::move(annotations.others);
  const std::optional<Envelopes>& envelopes = annotations.envelopes;
  // Bytes that the UM kept from a version it ran before need no new signature: a compensating update names them.
  // Nothing is fetched for them, and nothing else that came with the name counts.
  if (info.url().empty()) return artifact;
  artifact.sha256 = info.sha256();
  artifact.size = info.size();
  artifact.security_version = info.security_version();
  artifact.urls.push_back(info.url());
  if (!trust.key_set.empty()) {
    if (!envelopes.has_value()) {
      return absl::PermissionDeniedError("no signed documents came with it, and this UM has a key set");
    }
    ASSIGN_OR_RETURN(const ReleaseComponent covered, VerifyCovered(info, *envelopes, trust, clock));
    artifact.chunk_size = covered.chunks().chunk_size();
    artifact.chunk_digests = covered.chunks().digests();
    artifact.security_version = covered.security_version();
  } else if (envelopes.has_value()) {
    if (absl::StatusOr<ReleaseComponent> covered = FindUnverified(info, *envelopes); covered.ok()) {
      artifact.chunk_size = covered->chunks().chunk_size();
      artifact.chunk_digests = covered->chunks().digests();
    }
  }
  if (envelopes.has_value()) {
    artifact.urls.insert(artifact.urls.end(), envelopes->mirrors.begin(), envelopes->mirrors.end());
    artifact.headers = envelopes->headers;
  }
  return artifact;
}

}  // namespace

absl::StatusOr<std::vector<Artifact>> ReadPrepare(const updatemanager::v2::PrepareUpdate& command,
                                                  const PrepareTrust& trust, Clock& clock) {
  if (command.components().empty()) return absl::InvalidArgumentError("PrepareUpdate names no component");
  std::vector<Artifact> artifacts;
  artifacts.reserve(command.components_size());
  for (const PrepareComponentInfo& info : command.components()) {
    absl::StatusOr<Artifact> artifact = ReadComponent(info, trust, clock);
    if (!artifact.ok()) {
      return Annotate(artifact.status(), absl::StrCat("component ", info.component_id().empty() ? info.component_type()
                                                                                                : info.component_id()));
    }
    artifacts.push_back(*std::move(artifact));
  }
  return artifacts;
}

}  // namespace tandem::um
