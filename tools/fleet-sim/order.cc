#include "tools/fleet-sim/order.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"

namespace tandem::fleetsim {
namespace {

constexpr size_t kMaxCommitted = 16;

record::v1::TrustRecord TrustOf(const UnitMemory& memory, const Catalog& catalog) {
  record::v1::TrustRecord trust;
  trust.add_key_sets(catalog.first_key_set);
  trust.set_key_set_version(memory.key_set_version);
  trust.set_sequence(memory.sequence);
  trust.set_attempt(memory.attempt);
  trust.set_release_list_version(memory.release_list_version);
  if (memory.sequence != 0) trust.set_assignment_digest(memory.assignment_digest.data(), 32);
  for (const ReleaseIndex index : memory.committed) trust.add_committed_releases(catalog.at(index).digest);
  return trust;
}

cm::UnitFacts FactsOf(const UnitIdentity& unit, const UnitMemory& memory, const Catalog& catalog, absl::Time now) {
  cm::UnitFacts facts{.unit_id = unit.unit_id, .name_space = unit.name_space, .hardware = unit.hardware, .now = now};
  for (const ReleaseIndex index : memory.runs) {
    if (index == 0) continue;
    for (const release::v1::ReleaseComponent& component : catalog.at(index).document.components()) {
      facts.installed.push_back({.component_id = component.component_id(),
                                 .component_type = component.component_type(),
                                 .version = component.version()});
    }
  }
  return facts;
}

// As the verifier gives it, without looking at signatures.
absl::StatusOr<cm::AcceptedDesired> TakeForGenuine(const DesiredEnvelopes& documents, const UnitIdentity& unit,
                                                   const UnitMemory& memory) {
  ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(documents.assignment));
  cm::AcceptedDesired accepted;
  if (!accepted.assignment.ParseFromString(envelope.payload)) {
    return absl::InvalidArgumentError("the assignment cannot be read");
  }
  const release::v1::Assignment& assignment = accepted.assignment;
  if (assignment.unit_id() != unit.unit_id) return absl::PermissionDeniedError("the assignment is for another unit");
  const std::pair given(assignment.sequence(), assignment.attempt());
  const std::pair known(memory.sequence, memory.attempt);
  if (given < known) return absl::FailedPreconditionError("the assignment is older than the accepted one");
  accepted.repeated = given == known;
  accepted.assignment_digest = Sha256(envelope.payload);
  accepted.key_set_version = memory.key_set_version;
  accepted.release_list_version = memory.release_list_version;
  return accepted;
}

// Releases that nobody has seen yet.
absl::Status Learn(const std::vector<std::string>& envelopes, Catalog& catalog) {
  for (const std::string& envelope : envelopes) {
    ASSIGN_OR_RETURN(const DsseEnvelope parsed, ParseDsse(envelope));
    release::v1::Release document;
    if (!document.ParseFromString(parsed.payload)) return absl::InvalidArgumentError("a release cannot be read");
    catalog.Add(Sha256(parsed.payload), document);
  }
  return absl::OkStatus();
}

absl::StatusOr<PlaneIndexes> FindPlanes(const release::v1::Assignment& assignment,
                                        const std::vector<std::string>& envelopes, Catalog& catalog) {
  PlaneIndexes planes{};
  for (const release::v1::PlaneRelease& named : assignment.planes()) {
    if (catalog.Find(named.release_digest()) == 0) RETURN_IF_ERROR(Learn(envelopes, catalog));
    const ReleaseIndex index = catalog.Find(named.release_digest());
    if (index == 0 || named.plane() < 1 || named.plane() > 3) {
      return absl::InvalidArgumentError("the assignment names a release that did not come with it");
    }
    planes[named.plane() - 1] = index;
  }
  return planes;
}

// What is signed for one unit.
template <typename Document>
absl::StatusOr<Document> ReadSigned(const std::string& envelope, const UnitIdentity& unit, bool verify,
                                    Catalog& catalog,
                                    absl::StatusOr<Signed<Document>> (*open)(std::string_view, const TrustedKeys&)) {
  Document document;
  if (verify) {
    ASSIGN_OR_RETURN(const TrustedKeys* const keys, catalog.Keys(unit.name_space));
    ASSIGN_OR_RETURN(Signed<Document> opened, open(envelope, *keys));
    document = std::move(opened.document);
  } else {
    ASSIGN_OR_RETURN(const DsseEnvelope parsed, ParseDsse(envelope));
    if (!document.ParseFromString(parsed.payload)) return absl::InvalidArgumentError("the document cannot be read");
  }
  if (document.unit_id() != unit.unit_id) return absl::PermissionDeniedError("it is for another unit");
  return document;
}

}  // namespace

absl::StatusOr<Order> ReadOrder(const DesiredEnvelopes& documents, const UnitIdentity& unit, absl::Time now,
                                bool verify, Catalog& catalog, UnitMemory& memory) {
  if (verify && catalog.first_key_set.empty()) {
    if (documents.key_sets.empty()) return absl::FailedPreconditionError("no key set is known");
    ASSIGN_OR_RETURN(const TrustedKeys first, TrustedKeys::FromFirst(documents.key_sets.front(), unit.name_space));
    catalog.first_key_set = first.envelope();
  }
  ASSIGN_OR_RETURN(const cm::AcceptedDesired accepted,
                   verify ? cm::VerifyDesired(documents, FactsOf(unit, memory, catalog, now), TrustOf(memory, catalog))
                          : TakeForGenuine(documents, unit, memory));
  const release::v1::Assignment& assignment = accepted.assignment;
  Order order{.sequence = assignment.sequence(),
              .attempt = assignment.attempt(),
              .commit_on_verified = assignment.commit_on() == release::v1::VERIFIED,
              .verdict_timeout = absl::Seconds(assignment.verdict_timeout().seconds()),
              .correlation_id = assignment.correlation_id()};
  ASSIGN_OR_RETURN(order.planes, FindPlanes(assignment, documents.releases, catalog));
  if (accepted.repeated) {
    order.kind = Order::Kind::kRepeated;
    return order;
  }
  if (memory.sequence != 0 && assignment.attempt() == memory.attempt) order.kind = Order::Kind::kRefresh;
  memory.sequence = assignment.sequence();
  memory.attempt = assignment.attempt();
  std::ranges::copy(accepted.assignment_digest, memory.assignment_digest.begin());
  memory.key_set_version = static_cast<uint32_t>(accepted.key_set_version);
  memory.release_list_version =
      std::max(memory.release_list_version, static_cast<uint32_t>(accepted.release_list_version));
  return order;
}

absl::StatusOr<release::v1::Verdict> ReadVerdict(const std::string& envelope, const UnitIdentity& unit, bool verify,
                                                 Catalog& catalog) {
  return ReadSigned<release::v1::Verdict>(envelope, unit, verify, catalog, OpenVerdict);
}

absl::StatusOr<release::v1::DiagnosticCommand> ReadDiagnosticCommand(const std::string& envelope,
                                                                     const UnitIdentity& unit, bool verify,
                                                                     Catalog& catalog) {
  return ReadSigned<release::v1::DiagnosticCommand>(envelope, unit, verify, catalog, OpenDiagnosticCommand);
}

PlaneIndexes Merged(const PlaneIndexes& runs, const PlaneIndexes& order) {
  PlaneIndexes merged = runs;
  for (size_t plane = 0; plane < merged.size(); ++plane) {
    if (order[plane] != 0) merged[plane] = order[plane];
  }
  return merged;
}

void Commit(const PlaneIndexes& runs, UnitMemory& memory) {
  memory.runs = runs;
  for (const ReleaseIndex index : runs) {
    if (index == 0) continue;
    std::erase(memory.committed, index);
    memory.committed.push_back(index);
  }
  if (memory.committed.size() > kMaxCommitted) {
    memory.committed.erase(memory.committed.begin(), memory.committed.end() - kMaxCommitted);
  }
}

}  // namespace tandem::fleetsim
