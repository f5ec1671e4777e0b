// Signed documents for tests: a maker with keys, and short ways to a key set, a release, a list and an assignment.
//
//   TestMaker maker("acme");
//   auto release = maker.MakeRelease("r1", {{.type = "rootfs", .version = "1.0.0"}});
//   auto desired = maker.Desired("unit-1", 7, {release});
#ifndef TANDEM_TESTS_SUPPORT_TEST_DOCUMENTS_H_
#define TANDEM_TESTS_SUPPORT_TEST_DOCUMENTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/keys.h"
#include "tandem/release/v1/release.pb.h"

namespace tandem {

// Signs whatever it is given, right or wrong; ends the test program when it cannot.
std::string SealOrDie(const google::protobuf::MessageLite& document, std::string_view payload_type,
                      const std::vector<PrivateKey>& keys);
PrivateKey GenerateOrDie(KeyAlgorithm algorithm = KeyAlgorithm::kEd25519);
release::v1::Role MakeRole(const std::vector<PrivateKey>& keys, uint32_t threshold);
void SetTimestamp(google::protobuf::Timestamp* timestamp, absl::Time time);
// SHA-256 of an envelope's payload.
std::string PayloadDigest(const std::string& envelope);

struct TestComponent {
  std::string id;
  std::string type;
  std::string version;
  release::v1::Plane plane = release::v1::FIRMWARE;
  // The artifact's bytes.
  std::string content = "artifact";
};

class TestMaker {
 public:
  explicit TestMaker(std::string name_space, absl::Time now = absl::FromUnixSeconds(1'800'000'000));

  // Root and release keys: two each, threshold 2; one P-256 assignment key.
  release::v1::KeySet FirstKeySet() const;
  // Signed by both root keys.
  std::string KeySetEnvelope() const;

  release::v1::Release ReleaseOf(const std::string& id, const std::vector<TestComponent>& components) const;
  release::v1::ReleaseList ListOf(uint64_t version, const std::vector<std::string>& release_envelopes) const;
  // Names each release for all of its planes.
  release::v1::Assignment AssignmentOf(const std::string& unit_id, uint64_t sequence,
                                       const std::vector<std::string>& release_envelopes) const;

  std::string Seal(const release::v1::Release& release) const;
  std::string Seal(const release::v1::ReleaseList& list) const;
  std::string Seal(const release::v1::Assignment& assignment) const;
  std::string Seal(const release::v1::Verdict& verdict) const;
  std::string Seal(const release::v1::DiagnosticCommand& command) const;

  std::string MakeRelease(const std::string& id, const std::vector<TestComponent>& components) const {
    return Seal(ReleaseOf(id, components));
  }
  // Assignment, releases, a list with just them, and the key set.
  DesiredEnvelopes Desired(const std::string& unit_id, uint64_t sequence,
                           const std::vector<std::string>& release_envelopes) const;

  std::string name_space;
  absl::Time now;
  std::vector<PrivateKey> root;
  std::vector<PrivateKey> release;
  std::vector<PrivateKey> assignment;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_SUPPORT_TEST_DOCUMENTS_H_
