#include "cm/trust/verifier.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/trust/unit_policy.h"
#include "common/crypto/assigned_terms.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

using release::v1::Assignment;
using release::v1::Release;
using release::v1::ReleaseList;

std::string TimeText(absl::Time time) { return absl::FormatTime(time, absl::UTCTimeZone()); }

absl::Status CheckExpiry(absl::Time expires, absl::Time now, const std::string& what, const std::string& mend) {
  if (expires > now) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(what, " expired at ", TimeText(expires), ", it is ", TimeText(now), "; ", mend));
}

// Whole numbers that every JSON reader keeps.
constexpr uint64_t kMaxSequence = uint64_t{1} << 53;

// Where an assignment stands against the newest one accepted.
enum class Order { kNewer, kRepeated };

absl::StatusOr<Order> CompareWithAccepted(const Signed<Assignment>& signed_assignment, const TrustedKeys& keys,
                                          const record::v1::TrustRecord& trust) {
  const Assignment& assignment = signed_assignment.document;
  if (trust.sequence() == 0) return Order::kNewer;
  if (keys.AssignmentEra(keys.version()) > keys.AssignmentEra(trust.key_set_version())) return Order::kNewer;
  const std::pair given(assignment.sequence(), assignment.attempt());
  const std::pair accepted(trust.sequence(), trust.attempt());
  if (given == accepted) {
    // What was accepted is known by its content, not by its numbers.
    if (trust.assignment_digest().empty() || signed_assignment.digest == trust.assignment_digest()) {
      return Order::kRepeated;
    }
    return absl::FailedPreconditionError(absl::StrCat("another assignment with sequence ", given.first, " attempt ",
                                                      given.second,
                                                      " was accepted before; sign this one with a higher sequence"));
  }
  if (given > accepted) return Order::kNewer;
  return absl::FailedPreconditionError(absl::StrCat("assignment sequence ", given.first, " attempt ", given.second,
                                                    " is older than the accepted sequence ", accepted.first,
                                                    " attempt ", accepted.second, "; sign one with a higher sequence"));
}

absl::Status CheckAssignmentForUnit(const Assignment& assignment, const UnitFacts& unit) {
  if (assignment.unit_id() != unit.unit_id) {
    return absl::PermissionDeniedError(
        absl::StrCat("the assignment is for unit \"", assignment.unit_id(), "\", this is \"", unit.unit_id, "\""));
  }
  // A unit that accepted the last number there is could never be assigned anything again.
  if (assignment.sequence() == 0 || assignment.sequence() > kMaxSequence) {
    return absl::InvalidArgumentError(absl::StrCat("assignment sequence ", assignment.sequence(),
                                                   " is out of range; sign it with one from 1 to ", kMaxSequence));
  }
  return absl::OkStatus();
}

absl::Status CheckAssignmentTimes(const Assignment& assignment, absl::Time now) {
  RETURN_IF_ERROR(CheckExpiry(ExpiryOf(assignment.has_expires(), assignment.expires()), now,
                              absl::StrCat("assignment ", assignment.sequence()), "sign it again with a later expiry"));
  const release::v1::InstallWindow& window = assignment.window();
  const absl::Time end = ExpiryOf(window.has_not_after(), window.not_after());
  RETURN_IF_ERROR(CheckExpiry(end, now, absl::StrCat("the install window of assignment ", assignment.sequence()),
                              "sign an assignment with a later window"));
  if (window.has_not_before() && ExpiryOf(true, window.not_before()) >= end) {
    return absl::InvalidArgumentError("the install window ends before it begins");
  }
  return absl::OkStatus();
}

absl::Status CheckAssignedTerms(const Assignment& assignment) {
  RETURN_IF_ERROR(CheckAssignedConditions(assignment.preconditions(), assignment.conditions()));
  return CheckBaseUrls(assignment.base_urls());
}

absl::StatusOr<ReleaseList> OpenCurrentList(const std::string& envelope, const TrustedKeys& keys,
                                            const record::v1::TrustRecord& trust, bool repeated, absl::Time now) {
  if (envelope.empty()) {
    return absl::InvalidArgumentError("there is no release list; add the current one to the desired state");
  }
  ASSIGN_OR_RETURN(Signed<ReleaseList> list, OpenReleaseList(envelope, keys));
  if (repeated) return std::move(list.document);
  if (list.document.version() < trust.release_list_version()) {
    return absl::FailedPreconditionError(absl::StrCat("version ", list.document.version(), " is older than version ",
                                                      trust.release_list_version(),
                                                      " that this unit has seen; send the current one"));
  }
  RETURN_IF_ERROR(CheckExpiry(ExpiryOf(list.document.has_expires(), list.document.expires()), now,
                              absl::StrCat("version ", list.document.version()), "sign it again with a later expiry"));
  return std::move(list.document);
}

// The digests that the assignment names, in its order, each once.
std::vector<std::string> NamedDigests(const Assignment& assignment) {
  std::vector<std::string> digests;
  for (const release::v1::PlaneRelease& plane : assignment.planes()) {
    if (std::ranges::find(digests, plane.release_digest()) == digests.end()) {
      digests.push_back(plane.release_digest());
    }
  }
  return digests;
}

absl::StatusOr<std::vector<Signed<Release>>> OpenNamedReleases(const Assignment& assignment,
                                                               const std::vector<std::string>& envelopes,
                                                               const TrustedKeys& keys) {
  std::map<std::string, const std::string*> by_digest;
  for (const std::string& envelope : envelopes) {
    ASSIGN_OR_RETURN(const DsseEnvelope parsed, Annotate(ParseDsse(envelope), "a release"));
    by_digest.emplace(Sha256(parsed.payload), &envelope);
  }
  std::vector<Signed<Release>> releases;
  for (const std::string& digest : NamedDigests(assignment)) {
    const auto found = by_digest.find(digest);
    if (found == by_digest.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("release ", HexEncode(digest), " is named by the assignment, but did not come with it"));
    }
    ASSIGN_OR_RETURN(Signed<Release> opened,
                     Annotate(OpenRelease(*found->second, keys), absl::StrCat("release ", HexEncode(digest))));
    releases.push_back(std::move(opened));
  }
  return releases;
}

absl::Status CheckListed(const Signed<Release>& opened, const ReleaseList& list) {
  if (std::ranges::find(list.release_digests(), opened.digest) != list.release_digests().end()) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(
      "release \"", opened.document.release_id(), "\" (", HexEncode(opened.digest), ") is not in release list version ",
      list.version(), ": it was withdrawn, or the list is to be signed with it"));
}

// Trusted chain of the record, and what the documents add to it.
struct Keys {
  TrustedKeys newest;
  std::vector<std::string> chain;
};

absl::StatusOr<Keys> TrustNewestKeys(const DesiredEnvelopes& documents, const UnitFacts& unit,
                                     const record::v1::TrustRecord& trust) {
  std::vector<std::string> chain(trust.key_sets().begin(), trust.key_sets().end());
  ASSIGN_OR_RETURN(const TrustedKeys known, Annotate(LoadKeySetChain(chain, unit.name_space), "key sets of this unit"));
  ASSIGN_OR_RETURN(KeySetWalk walk,
                   Annotate(WalkKeySets(known, documents.key_sets, unit.now), "key sets of the desired state"));
  std::ranges::move(walk.taken, std::back_inserter(chain));
  return Keys{.newest = std::move(walk.keys), .chain = std::move(chain)};
}

}  // namespace

absl::StatusOr<AcceptedDesired> VerifyDesired(const DesiredEnvelopes& documents, const UnitFacts& unit,
                                              const record::v1::TrustRecord& trust) {
  ASSIGN_OR_RETURN(Keys keys, TrustNewestKeys(documents, unit, trust));
  ASSIGN_OR_RETURN(Signed<Assignment> assignment,
                   Annotate(OpenAssignment(documents.assignment, keys.newest), "assignment"));
  RETURN_IF_ERROR(CheckAssignmentForUnit(assignment.document, unit));
  ASSIGN_OR_RETURN(const Order order, CompareWithAccepted(assignment, keys.newest, trust));

  AcceptedDesired accepted;
  accepted.repeated = order == Order::kRepeated;
  // A verified issue time is a lower bound of the time (the clock rule).
  const absl::Time now = assignment.document.has_issued_at()
                             ? std::max(unit.now, ExpiryOf(true, assignment.document.issued_at()))
                             : unit.now;
  if (!accepted.repeated) {
    RETURN_IF_ERROR(CheckExpiry(keys.newest.expires(), now, absl::StrCat("key set version ", keys.newest.version()),
                                "publish a newer one"));
    RETURN_IF_ERROR(CheckAssignmentTimes(assignment.document, now));
    RETURN_IF_ERROR(Annotate(CheckAssignedTerms(assignment.document), "assignment"));
  }
  ASSIGN_OR_RETURN(
      const ReleaseList list,
      Annotate(OpenCurrentList(documents.release_list, keys.newest, trust, accepted.repeated, now), "release list"));
  ASSIGN_OR_RETURN(std::vector<Signed<Release>> releases,
                   OpenNamedReleases(assignment.document, documents.releases, keys.newest));
  for (Signed<Release>& release : releases) {
    RETURN_IF_ERROR(CheckListed(release, list));
    ASSIGN_OR_RETURN(Release for_unit, ReleaseForUnit(release, assignment.document, unit.hardware));
    accepted.releases.push_back(
        {.digest = release.digest, .release = std::move(for_unit), .envelope = std::move(release.envelope)});
  }
  RETURN_IF_ERROR(CheckNoOverlap(accepted.releases));
  RETURN_IF_ERROR(CheckFloors(accepted.releases, trust));
  if (!accepted.repeated) {
    RETURN_IF_ERROR(CheckWayBack(assignment.document, accepted.releases, unit, trust));
    if (unit.installed_is_complete) RETURN_IF_ERROR(CheckRequirements(accepted.releases, unit));
  }
  accepted.assignment_digest = std::move(assignment.digest);
  accepted.assignment = std::move(assignment.document);
  accepted.key_sets = std::move(keys.chain);
  accepted.key_set_version = keys.newest.version();
  accepted.release_list_version = list.version();
  return accepted;
}

}  // namespace tandem::cm
