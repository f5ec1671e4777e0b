#include "tests/support/test_documents.h"

#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>

#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"

namespace tandem {
namespace {

template <typename T>
T ValueOrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::abort();
  }
  return *std::move(value);
}

}  // namespace

std::string SealOrDie(const google::protobuf::MessageLite& document, std::string_view payload_type,
                      const std::vector<PrivateKey>& keys) {
  return ValueOrDie(SealDocument(document, payload_type, keys));
}

PrivateKey GenerateOrDie(KeyAlgorithm algorithm) { return ValueOrDie(PrivateKey::Generate(algorithm)); }

release::v1::Role MakeRole(const std::vector<PrivateKey>& keys, uint32_t threshold) {
  release::v1::Role role;
  for (const PrivateKey& key : keys) {
    release::v1::PublicKey* added = role.add_keys();
    added->set_keyid(key.public_key().keyid());
    added->set_der(key.public_key().der());
  }
  role.set_threshold(threshold);
  return role;
}

void SetTimestamp(google::protobuf::Timestamp* timestamp, absl::Time time) {
  timestamp->set_seconds(absl::ToUnixSeconds(time));
}

std::string PayloadDigest(const std::string& envelope) { return Sha256(ValueOrDie(ParseDsse(envelope)).payload); }

TestMaker::TestMaker(std::string maker_name_space, absl::Time maker_now)
    : name_space(std::move(maker_name_space)), now(maker_now) {
  for (int i = 0; i < 2; ++i) {
    root.push_back(GenerateOrDie());
    release.push_back(GenerateOrDie());
  }
  assignment.push_back(GenerateOrDie(KeyAlgorithm::kEcdsaP256));
}

release::v1::KeySet TestMaker::FirstKeySet() const {
  release::v1::KeySet key_set;
  key_set.set_namespace_(name_space);
  key_set.set_version(1);
  SetTimestamp(key_set.mutable_expires(), now + absl::Hours(24 * 365));
  *key_set.mutable_root() = MakeRole(root, 2);
  *key_set.mutable_release() = MakeRole(release, 2);
  *key_set.mutable_assignment() = MakeRole(assignment, 1);
  return key_set;
}

std::string TestMaker::KeySetEnvelope() const { return SealOrDie(FirstKeySet(), kKeySetType, root); }

release::v1::Release TestMaker::ReleaseOf(const std::string& id, const std::vector<TestComponent>& components) const {
  release::v1::Release result;
  result.set_namespace_(name_space);
  result.set_release_id(id);
  std::set<release::v1::Plane> planes;
  for (const TestComponent& component : components) {
    if (planes.insert(component.plane).second) result.add_planes(component.plane);
    release::v1::ReleaseComponent* added = result.add_components();
    added->set_component_id(component.id);
    added->set_component_type(component.type);
    added->set_version(component.version);
    added->set_plane(component.plane);
    added->set_sha256(Sha256(component.content));
    added->set_size(component.content.size());
    added->set_path("artifacts/" + HexEncode(added->sha256()));
  }
  return result;
}

release::v1::ReleaseList TestMaker::ListOf(uint64_t version, const std::vector<std::string>& envelopes) const {
  release::v1::ReleaseList list;
  list.set_namespace_(name_space);
  list.set_version(version);
  SetTimestamp(list.mutable_expires(), now + absl::Hours(24 * 30));
  for (const std::string& envelope : envelopes) list.add_release_digests(PayloadDigest(envelope));
  return list;
}

release::v1::Assignment TestMaker::AssignmentOf(const std::string& unit_id, uint64_t sequence,
                                                const std::vector<std::string>& envelopes) const {
  release::v1::Assignment result;
  result.set_namespace_(name_space);
  result.set_unit_id(unit_id);
  result.set_sequence(sequence);
  SetTimestamp(result.mutable_issued_at(), now);
  SetTimestamp(result.mutable_expires(), now + absl::Hours(24 * 7));
  result.add_base_urls("http://127.0.0.1:1/");
  for (const std::string& envelope : envelopes) {
    release::v1::Release named;
    named.ParseFromString(ValueOrDie(ParseDsse(envelope)).payload);
    for (const int plane : named.planes()) {
      release::v1::PlaneRelease* added = result.add_planes();
      added->set_plane(static_cast<release::v1::Plane>(plane));
      added->set_release_digest(PayloadDigest(envelope));
    }
  }
  return result;
}

std::string TestMaker::Seal(const release::v1::Release& document) const {
  return SealOrDie(document, kReleaseType, release);
}
std::string TestMaker::Seal(const release::v1::ReleaseList& document) const {
  return SealOrDie(document, kReleaseListType, release);
}
std::string TestMaker::Seal(const release::v1::Assignment& document) const {
  return SealOrDie(document, kAssignmentType, assignment);
}
std::string TestMaker::Seal(const release::v1::Verdict& document) const {
  return SealOrDie(document, kVerdictType, assignment);
}
std::string TestMaker::Seal(const release::v1::DiagnosticCommand& document) const {
  return SealOrDie(document, kDiagnosticCommandType, assignment);
}

DesiredEnvelopes TestMaker::Desired(const std::string& unit_id, uint64_t sequence,
                                    const std::vector<std::string>& envelopes) const {
  return {.assignment = Seal(AssignmentOf(unit_id, sequence, envelopes)),
          .releases = envelopes,
          .release_list = Seal(ListOf(1, envelopes)),
          .key_sets = {KeySetEnvelope()}};
}

}  // namespace tandem
