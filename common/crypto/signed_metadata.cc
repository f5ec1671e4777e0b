#include "common/crypto/signed_metadata.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/strict_json.h"
#include "common/status/status.h"

namespace tandem {
namespace {

using release::v1::Assignment;
using release::v1::Diagnostic;
using release::v1::DiagnosticCommand;
using release::v1::KeySet;
using release::v1::Plane;
using release::v1::Release;
using release::v1::ReleaseComponent;
using release::v1::ReleaseList;
using release::v1::Verdict;

absl::Status CheckNothing(const ReleaseList& /*list*/) { return absl::OkStatus(); }

absl::Status CheckCommand(const DiagnosticCommand& command) {
  if (command.unit_id().empty()) return absl::InvalidArgumentError("a diagnostic command without unit_id");
  if (command.run_id().empty()) return absl::InvalidArgumentError("a diagnostic command without run_id");
  if (command.diagnostic().empty()) return absl::InvalidArgumentError("a diagnostic command without a diagnostic");
  if (command.release_digest().size() != kSha256Size) {
    return absl::InvalidArgumentError("a diagnostic command's release digest has not 32 bytes");
  }
  if (!command.has_expires()) return absl::InvalidArgumentError("a diagnostic command that does not expire");
  return absl::OkStatus();
}

absl::Status CheckVerdict(const Verdict& verdict) {
  if (verdict.unit_id().empty()) return absl::InvalidArgumentError("a verdict without unit_id");
  if (verdict.sequence() == 0) return absl::InvalidArgumentError("a verdict without a sequence");
  return absl::OkStatus();
}

template <typename Document>
absl::StatusOr<Signed<Document>> Open(std::string_view envelope, const TrustedKeys& keys, KeyRole role,
                                      std::string_view payload_type, absl::Status (*check)(const Document&)) {
  const RoleKeys& signers = keys.role(role);
  ASSIGN_OR_RETURN(std::string payload, Annotate(OpenDsse(envelope, payload_type, signers.keys, signers.threshold),
                                                 absl::StrCat("role ", std::string(KeyRoleName(role)),
                                                              " of key set version ", keys.version())));
  Signed<Document> result;
  if (!result.document.ParseFromString(payload)) {
    return absl::InvalidArgumentError("the signed payload is not the document its type says");
  }
  if (result.document.namespace_() != keys.name_space()) {
    return absl::PermissionDeniedError(absl::StrCat("it is for namespace \"", result.document.namespace_(),
                                                    "\", this is \"", keys.name_space(), "\""));
  }
  RETURN_IF_ERROR(check(result.document));
  result.digest = Sha256(payload);
  result.envelope = std::string(envelope);
  return result;
}

std::string NameOf(const ReleaseComponent& component) {
  return component.component_id().empty() ? absl::StrCat("component type \"", component.component_type(), "\"")
                                          : absl::StrCat("component \"", component.component_id(), "\"");
}

// A path that stays below the base URL it is appended to, whatever server or file system resolves it.
absl::Status CheckPath(const std::string& path) {
  if (path.empty()) return absl::InvalidArgumentError("path is missing");
  if (path.front() == '/' || path.find('\\') != std::string::npos || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("path \"", path, "\" must be relative to the base URLs"));
  }
  for (absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") {
      return absl::InvalidArgumentError(absl::StrCat("path \"", path, "\" has an empty part, \".\" or \"..\""));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckChunks(const ReleaseComponent& component) {
  const release::v1::Chunks& chunks = component.chunks();
  if (chunks.chunk_size() == 0) return absl::InvalidArgumentError("chunks.chunk_size is 0");
  const uint64_t count = component.size() / chunks.chunk_size() + (component.size() % chunks.chunk_size() != 0 ? 1 : 0);
  if (chunks.digests().size() != count * kSha256Size) {
    return absl::InvalidArgumentError(absl::StrCat("chunks.digests has ", chunks.digests().size(), " bytes, but ",
                                                   component.size(), " bytes in chunks of ", chunks.chunk_size(),
                                                   " need ", count, " digests of 32"));
  }
  return absl::OkStatus();
}

absl::Status CheckComponent(const ReleaseComponent& component, const std::set<int>& planes) {
  if (component.component_type().empty()) return absl::InvalidArgumentError("component_type is missing");
  if (component.version().empty()) return absl::InvalidArgumentError("version is missing");
  if (!planes.contains(component.plane())) {
    return absl::InvalidArgumentError(
        absl::StrCat("plane ", release::v1::Plane_Name(component.plane()), " is not one of the release's planes"));
  }
  RETURN_IF_ERROR(CheckPath(component.path()));
  if (component.sha256().size() != kSha256Size) return absl::InvalidArgumentError("sha256 has not 32 bytes");
  if (component.has_chunks()) RETURN_IF_ERROR(CheckChunks(component));
  if (!component.annotations().empty()) {
    absl::StatusOr<nlohmann::json> annotations = ParseStrictJson(component.annotations());
    if (!annotations.ok() || !annotations->is_object()) {
      return absl::InvalidArgumentError("annotations are not a JSON object");
    }
  }
  for (const release::v1::Requirement& requirement : component.requirements()) {
    if (requirement.component_type().empty() || requirement.min_version().empty()) {
      return absl::InvalidArgumentError("a requirement names no component_type or no min_version");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDiagnostic(const Diagnostic& diagnostic, const std::set<int>& planes) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
  constexpr size_t kMaxName = 64;
  const std::string& name = diagnostic.name();
  if (name.empty() || name.size() > kMaxName || name.find_first_not_of(kAllowed) != std::string::npos) {
    return absl::InvalidArgumentError("its name must be 1 to 64 of a-z 0-9 - _ .");
  }
  if (absl::Seconds(diagnostic.timeout_secs()) > kMaxDiagnosticTimeout) {
    return absl::InvalidArgumentError(absl::StrCat("timeout_secs is ", diagnostic.timeout_secs(), "; at most ",
                                                   absl::ToInt64Seconds(kMaxDiagnosticTimeout), " is taken"));
  }
  for (const int plane : diagnostic.planes()) {
    if (!planes.contains(plane)) {
      return absl::InvalidArgumentError(
          absl::StrCat("plane ", release::v1::Plane_Name(static_cast<Plane>(plane)), " is not one of the release's"));
    }
  }
  const release::v1::Probe& check = diagnostic.check();
  if (check.kind_case() == release::v1::Probe::KIND_NOT_SET) {
    return absl::InvalidArgumentError("it checks nothing: set one kind under `check`, such as exec, http or service");
  }
  if (!check.name().empty() || check.has_grace() || check.has_interval() || check.has_timeout() ||
      check.successes_needed() != 0 || check.failures_allowed() != 0) {
    return absl::InvalidArgumentError(
        "`check` has a field that only gates use: name, grace, interval, timeout, successes_needed and "
        "failures_allowed must not be set; the diagnostic has its own name and timeout_secs");
  }
  return absl::OkStatus();
}

absl::Status CheckDiagnostics(const Release& release, const std::set<int>& planes) {
  if (release.diagnostics_size() > kMaxDiagnostics) {
    return absl::InvalidArgumentError(
        absl::StrCat("it has ", release.diagnostics_size(), " diagnostics; at most ", kMaxDiagnostics, " are taken"));
  }
  std::set<std::string> names;
  for (const Diagnostic& diagnostic : release.diagnostics()) {
    const std::string name = absl::StrCat("diagnostic \"", diagnostic.name(), "\"");
    RETURN_IF_ERROR(Annotate(CheckDiagnostic(diagnostic, planes), name));
    if (!names.insert(diagnostic.name()).second) {
      return absl::InvalidArgumentError(absl::StrCat(name, " is there twice"));
    }
  }
  std::set<int> order;
  for (const int plane : release.rollback().order()) {
    if (!planes.contains(plane) || !order.insert(plane).second) {
      return absl::InvalidArgumentError(absl::StrCat("rollback.order: plane ",
                                                     release::v1::Plane_Name(static_cast<Plane>(plane)),
                                                     " is there twice, or is not one of the release's"));
    }
  }
  return absl::OkStatus();
}

// Whether both entries may mean one component of one unit. An entry without an id means all of its type; entries for
// different hardware never meet.
bool Overlap(const ReleaseComponent& a, const ReleaseComponent& b) {
  const bool same_component = a.component_id().empty() || b.component_id().empty()
                                  ? a.component_type() == b.component_type()
                                  : a.component_id() == b.component_id();
  if (!same_component) return false;
  if (a.hardware().empty() || b.hardware().empty()) return true;
  return std::ranges::any_of(a.hardware(), [&](const std::string& hardware) {
    return std::ranges::find(b.hardware(), hardware) != b.hardware().end();
  });
}

}  // namespace

absl::Status CheckRelease(const Release& release) {
  const std::string where = absl::StrCat("release \"", release.release_id(), "\"");
  if (release.namespace_().empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": namespace is missing"));
  if (release.release_id().empty()) return absl::InvalidArgumentError("a release without release_id");
  std::set<int> planes;
  for (const int plane : release.planes()) {
    if (plane == release::v1::PLANE_UNSPECIFIED || !release::v1::Plane_IsValid(plane)) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": ", plane, " is no plane"));
    }
    if (!planes.insert(plane).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": plane ", release::v1::Plane_Name(static_cast<Plane>(plane)), " is listed twice"));
    }
  }
  if (planes.empty() || release.components().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": has no plane or no component"));
  }
  for (int i = 0; i < release.components_size(); ++i) {
    const std::string name = absl::StrCat(where, ", ", NameOf(release.components(i)));
    RETURN_IF_ERROR(Annotate(CheckComponent(release.components(i), planes), name));
    for (int j = 0; j < i; ++j) {
      if (Overlap(release.components(i), release.components(j))) {
        return absl::InvalidArgumentError(absl::StrCat(name, " is listed twice"));
      }
    }
  }
  return Annotate(CheckDiagnostics(release, planes), where);
}

absl::Status CheckAssignment(const Assignment& assignment) {
  const std::string where = absl::StrCat("assignment ", assignment.sequence());
  if (assignment.namespace_().empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": namespace is missing"));
  if (assignment.unit_id().empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": unit_id is missing"));
  if (assignment.sequence() == 0) return absl::InvalidArgumentError("an assignment without a sequence");
  if (assignment.planes().empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": it names no release"));
  std::set<int> planes;
  for (const release::v1::PlaneRelease& plane : assignment.planes()) {
    if (plane.plane() == release::v1::PLANE_UNSPECIFIED || !release::v1::Plane_IsValid(plane.plane())) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": ", plane.plane(), " is no plane"));
    }
    if (!planes.insert(plane.plane()).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          where, ": two releases for plane ", release::v1::Plane_Name(plane.plane()), "; a plane has at most one"));
    }
    if (plane.release_digest().size() != kSha256Size) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": a release digest has not 32 bytes"));
    }
  }
  if (!assignment.rollback_of().empty() && assignment.rollback_of().size() != kSha256Size) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": rollback_of has not 32 bytes"));
  }
  return absl::OkStatus();
}

absl::Status CheckKeySet(const KeySet& key_set) {
  if (key_set.namespace_().empty()) return absl::InvalidArgumentError("the key set has no namespace");
  if (key_set.version() == 0) return absl::InvalidArgumentError("the key set has no version");
  return absl::OkStatus();
}

absl::StatusOr<Signed<Release>> OpenRelease(std::string_view envelope, const TrustedKeys& keys) {
  return Open<Release>(envelope, keys, KeyRole::kRelease, kReleaseType, CheckRelease);
}

absl::StatusOr<Signed<ReleaseList>> OpenReleaseList(std::string_view envelope, const TrustedKeys& keys) {
  return Open<ReleaseList>(envelope, keys, KeyRole::kRelease, kReleaseListType, CheckNothing);
}

absl::StatusOr<Signed<Assignment>> OpenAssignment(std::string_view envelope, const TrustedKeys& keys) {
  return Open<Assignment>(envelope, keys, KeyRole::kAssignment, kAssignmentType, CheckAssignment);
}

absl::StatusOr<Signed<DiagnosticCommand>> OpenDiagnosticCommand(std::string_view envelope, const TrustedKeys& keys) {
  return Open<DiagnosticCommand>(envelope, keys, KeyRole::kAssignment, kDiagnosticCommandType, CheckCommand);
}

absl::StatusOr<Signed<Verdict>> OpenVerdict(std::string_view envelope, const TrustedKeys& keys) {
  return Open<Verdict>(envelope, keys, KeyRole::kAssignment, kVerdictType, CheckVerdict);
}

absl::Duration TimeoutOf(const Diagnostic& diagnostic) {
  return diagnostic.timeout_secs() == 0 ? kDefaultDiagnosticTimeout : absl::Seconds(diagnostic.timeout_secs());
}

absl::StatusOr<std::string> SealDocument(const google::protobuf::MessageLite& document, std::string_view payload_type,
                                         const std::vector<PrivateKey>& keys) {
  DsseEnvelope envelope{
      .payload_type = std::string(payload_type), .payload = document.SerializeAsString(), .signatures = {}};
  for (const PrivateKey& key : keys) RETURN_IF_ERROR(SignDsse(envelope, key));
  return SerializeDsse(envelope);
}

absl::Time ExpiryOf(bool is_set, const google::protobuf::Timestamp& expires) {
  if (!is_set) return absl::InfiniteFuture();
  return absl::FromUnixSeconds(expires.seconds()) + absl::Nanoseconds(expires.nanos());
}

}  // namespace tandem
