#include "tests/sim/documents.h"

#include <map>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/net/message_envelope.h"

namespace tandem::sim {
namespace {

constexpr size_t kImageSize = 1500;
constexpr char kDoesNotBoot[] = "does not boot";

// One P-256 key for each role: what is checked most often should be cheap.
class Maker {
 public:
  static Maker& Get() {
    static Maker* const maker = new Maker;
    return *maker;
  }

  const std::string& key_set() const { return key_set_; }

  const std::string& Desired(const SimAssignment& assignment) {
    std::string& message = desired_[assignment.Name()];
    if (message.empty()) message = MakeDesired(assignment);
    return message;
  }

  const std::string& Verdict(uint64_t sequence, uint32_t attempt, bool good) {
    std::string& message = verdicts_[{sequence, attempt, good}];
    if (!message.empty()) return message;
    release::v1::Verdict verdict;
    verdict.set_namespace_(kNameSpace);
    verdict.set_unit_id(kUnitId);
    verdict.set_sequence(sequence);
    verdict.set_attempt(attempt);
    verdict.set_verified(good);
    if (!good) verdict.set_reason("it did badly");
    message = Message(kVerdictMessage, maker_.Seal(verdict));
    return message;
  }

 private:
  Maker() : maker_(kNameSpace) {
    const PrivateKey root = GenerateOrDie(KeyAlgorithm::kEcdsaP256);
    maker_.release = {GenerateOrDie(KeyAlgorithm::kEcdsaP256)};
    release::v1::KeySet first;
    first.set_namespace_(kNameSpace);
    first.set_version(1);
    SetTimestamp(first.mutable_expires(), maker_.now + absl::Hours(24 * 365));
    *first.mutable_root() = MakeRole({root}, 1);
    *first.mutable_release() = MakeRole(maker_.release, 1);
    *first.mutable_assignment() = MakeRole(maker_.assignment, 1);
    key_set_ = SealOrDie(first, kKeySetType, {root});
  }

  static std::string Message(const char* type, std::string payload) {
    return *EncodeMessage(
        {.msg_id = NewMessageId(), .type = type, .ts = absl::UnixEpoch(), .payload = std::move(payload)});
  }

  const std::string& Release(const SimRelease& release) {
    std::string& envelope = releases_[release.Name()];
    if (!envelope.empty()) return envelope;
    std::vector<TestComponent> components;
    for (const std::string& id : release.components) {
      components.push_back({.id = id,
                            .type = id + "-type",
                            .version = release.version,
                            .content = ImageOf(id, release.version, !release.bad_boot)});
    }
    release::v1::Release document = maker_.ReleaseOf(release.Name(), components);
    for (auto& component : *document.mutable_components()) {
      if (!release.hardware.empty()) component.add_hardware(release.hardware);
      if (release.requires_type.empty()) continue;
      auto& requirement = *component.add_requirements();
      requirement.set_component_type(release.requires_type);
      requirement.set_min_version("1.0.0");
    }
    auto& probe = *document.mutable_health()->add_probes();
    probe.set_name("signed");
    probe.mutable_exec()->add_command(release.bad_health ? "broken" : "fine");
    probe.set_successes_needed(2);
    envelope = maker_.Seal(document);
    return envelope;
  }

  std::string MakeDesired(const SimAssignment& wanted) {
    const std::string& release = Release(wanted.release);
    release::v1::Assignment assignment = maker_.AssignmentOf(kUnitId, wanted.sequence, {release});
    assignment.set_attempt(wanted.attempt);
    assignment.clear_base_urls();
    assignment.add_base_urls(kBaseUrl);
    assignment.set_needs_approval(wanted.needs_approval);
    if (wanted.verified) assignment.set_commit_on(release::v1::VERIFIED);
    const DesiredEnvelopes envelopes{.assignment = maker_.Seal(assignment),
                                     .releases = {release},
                                     .release_list = List(release),
                                     .key_sets = {key_set_}};
    return Message(kDesiredMessage, *SerializeDesired(envelopes));
  }

  const std::string& List(const std::string& release) {
    std::string& envelope = lists_[release];
    if (envelope.empty()) envelope = maker_.Seal(maker_.ListOf(1, {release}));
    return envelope;
  }

  TestMaker maker_;
  std::string key_set_;
  std::map<std::string, std::string> releases_;
  std::map<std::string, std::string> lists_;
  std::map<std::string, std::string> desired_;
  std::map<std::tuple<uint64_t, uint32_t, bool>, std::string> verdicts_;
};

}  // namespace

std::string SimRelease::Name() const {
  return absl::StrCat("r", version, " of ", absl::StrJoin(components, "+"), bad_health ? ", bad health" : "",
                      bad_boot ? ", does not boot" : "", requires_type.empty() ? "" : ", requires ", requires_type,
                      hardware == kUnitHardware ? "" : ", hardware ", hardware == kUnitHardware ? "" : hardware);
}

std::string SimAssignment::Name() const {
  return absl::StrCat(sequence, ".", attempt, " ", release.Name(), needs_approval ? ", needs approval" : "",
                      verified ? ", on verdict" : "");
}

std::string ImageOf(const std::string& component, const std::string& version, bool boots) {
  std::string image = absl::StrCat("image ", component, " ", version, " ", boots ? "boots" : kDoesNotBoot, "\n");
  const std::string line = image;
  while (image.size() < kImageSize) image.append(line);
  return image;
}

std::string VersionOfImage(const std::string& bytes, const std::string& component) {
  const std::string begin = absl::StrCat("image ", component, " ");
  if (!absl::StartsWith(bytes, begin)) return "";
  const std::string version = bytes.substr(begin.size(), bytes.find(' ', begin.size()) - begin.size());
  const std::string whole = ImageOf(component, version, ImageBoots(bytes));
  return bytes.compare(0, whole.size(), whole) == 0 ? version : "";
}

bool ImageBoots(const std::string& bytes) {
  return !absl::StrContains(absl::string_view(bytes).substr(0, bytes.find('\n')), kDoesNotBoot);
}

std::string PathOfImage(const std::string& image) { return absl::StrCat("artifacts/", HexEncode(Sha256(image))); }

const std::string& FirstKeySet() { return Maker::Get().key_set(); }
const std::string& DesiredMessage(const SimAssignment& assignment) { return Maker::Get().Desired(assignment); }
const std::string& VerdictMessage(uint64_t sequence, uint32_t attempt, bool good) {
  return Maker::Get().Verdict(sequence, attempt, good);
}

}  // namespace tandem::sim
