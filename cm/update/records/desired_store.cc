#include "cm/update/records/desired_store.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "cm/trust/unit_policy.h"
#include "cm/update/machine/participants.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

constexpr uint32_t kDesiredFormat = 1;

template <typename Message>
absl::StatusOr<Message> Parse(const absl::StatusOr<std::string>& bytes, const std::string& path) {
  if (!bytes.ok()) return bytes.status();
  Message message;
  if (!message.ParseFromString(*bytes)) return absl::DataLossError(absl::StrCat(path, " does not parse"));
  return message;
}

template <typename Message>
absl::StatusOr<Message> LoadOrDefault(DurableRecord& file) {
  absl::StatusOr<Message> message = Parse<Message>(file.Read(), file.path());
  if (absl::IsDataLoss(message.status())) {
    LogError("record damaged; using its previous copy", {{"error", ToPersonText(message.status())}});
    message = Parse<Message>(file.ReadPrevious(), file.path());
    if (absl::IsDataLoss(message.status())) message = absl::NotFoundError("both copies are damaged");
  }
  if (absl::IsNotFound(message.status())) {
    Message fresh;
    fresh.set_format(kDesiredFormat);
    return fresh;
  }
  return message;
}

template <typename Document>
absl::StatusOr<Document> OpenStored(const std::string& envelope, std::string* digest) {
  ASSIGN_OR_RETURN(const DsseEnvelope dsse, ParseDsse(envelope));
  Document document;
  if (!document.ParseFromString(dsse.payload)) return absl::DataLossError("a stored document does not parse");
  if (digest != nullptr) *digest = Sha256(dsse.payload);
  return document;
}

record::v1::StoredDesired ToRecord(const DesiredEnvelopes& envelopes, const std::string& bundle_path) {
  record::v1::StoredDesired stored;
  stored.set_assignment(envelopes.assignment);
  for (const std::string& release : envelopes.releases) stored.add_releases(release);
  stored.set_release_list(envelopes.release_list);
  for (const std::string& key_set : envelopes.key_sets) stored.add_key_sets(key_set);
  stored.set_bundle_path(bundle_path);
  return stored;
}

using Leftovers = google::protobuf::RepeatedPtrField<record::v1::LeftoverComponent>;

// Whoever took part is where `update` left it, and a release says anew what it names.
void ReplaceLeftovers(const AcceptedDesired& committed, const UnitUpdate& update, Leftovers& leftovers) {
  const auto is_over = [&](const record::v1::LeftoverComponent& left) {
    const InstalledVersion component{left.component_id(), left.component_type(), left.version()};
    return FindParticipant(update, left.node_id()) != nullptr ||
           std::ranges::any_of(committed.releases, [&](const AcceptedRelease& release) {
             return std::ranges::any_of(release.release.components(),
                                        [&](const auto& named) { return Targets(named, component); });
           });
  };
  leftovers.erase(std::remove_if(leftovers.begin(), leftovers.end(), is_over), leftovers.end());
  for (const std::string& node_id : update.leftovers) {
    const Participant* const participant = FindParticipant(update, node_id);
    if (participant == nullptr) continue;
    for (const Target& target : participant->targets) {
      record::v1::LeftoverComponent& left = *leftovers.Add();
      left.set_node_id(node_id);
      left.set_component_id(target.component_id);
      left.set_component_type(target.component_type);
      left.set_version(target.version);
    }
  }
}

absl::StatusOr<StoredDesired> FromRecord(const record::v1::StoredDesired& record, const std::string& hardware) {
  if (record.assignment().empty()) return absl::FailedPreconditionError("there is no desired state yet");
  StoredDesired stored;
  stored.bundle_path = record.bundle_path();
  stored.envelopes.assignment = record.assignment();
  stored.envelopes.release_list = record.release_list();
  stored.envelopes.releases.assign(record.releases().begin(), record.releases().end());
  stored.envelopes.key_sets.assign(record.key_sets().begin(), record.key_sets().end());
  ASSIGN_OR_RETURN(stored.accepted.assignment, OpenStored<release::v1::Assignment>(record.assignment(), nullptr));
  for (const std::string& envelope : record.releases()) {
    Signed<release::v1::Release> whole;
    ASSIGN_OR_RETURN(whole.document, OpenStored<release::v1::Release>(envelope, &whole.digest));
    whole.envelope = envelope;
    AcceptedRelease release{.digest = whole.digest, .release = {}, .envelope = envelope};
    ASSIGN_OR_RETURN(release.release, ReleaseForUnit(whole, stored.accepted.assignment, hardware));
    stored.accepted.releases.push_back(std::move(release));
  }
  return stored;
}

// What of committed planes is for this unit; the documents were verified before they were stored.
std::vector<AcceptedRelease> ReleasesOf(const google::protobuf::RepeatedPtrField<record::v1::CommittedPlane>& planes,
                                        const std::string& hardware) {
  release::v1::Assignment assigned;
  for (const record::v1::CommittedPlane& plane : planes) {
    release::v1::PlaneRelease& named = *assigned.add_planes();
    named.set_plane(plane.plane());
    named.set_release_digest(plane.release_digest());
  }
  std::vector<AcceptedRelease> releases;
  for (const record::v1::CommittedPlane& plane : planes) {
    if (std::ranges::find(releases, plane.release_digest(), &AcceptedRelease::digest) != releases.end()) continue;
    Signed<release::v1::Release> whole;
    absl::StatusOr<release::v1::Release> document = OpenStored<release::v1::Release>(plane.release(), &whole.digest);
    if (!document.ok()) continue;
    whole.document = *std::move(document);
    absl::StatusOr<release::v1::Release> for_unit = ReleaseForUnit(whole, assigned, hardware);
    if (!for_unit.ok()) continue;
    releases.push_back({.digest = whole.digest, .release = *std::move(for_unit), .envelope = plane.release()});
  }
  return releases;
}

// Enough for a fleet that goes to and fro; keeps the record small.
constexpr int kMaxFailed = 16;

void ForgetFailed(const std::set<std::string>& releases, record::v1::DesiredRecord& record) {
  auto& failed = *record.mutable_failed();
  const auto same = std::ranges::find_if(failed, [&](const record::v1::FailedReleases& known) {
    return std::set<std::string>(known.releases().begin(), known.releases().end()) == releases;
  });
  if (same != failed.end()) failed.erase(same);
}

// What `record` says was tried last is about to be replaced; a failure is kept.
void RememberFailed(const record::v1::DesiredRecord& record, const std::set<std::string>& by,
                    record::v1::DesiredRecord& next) {
  const std::set<std::string> releases(record.done_releases().begin(), record.done_releases().end());
  if (record.done_outcome().empty() || record.done_outcome() == Name(Outcome::kApplied) || releases == by) return;
  ForgetFailed(releases, next);
  auto& failed = *next.mutable_failed();
  record::v1::FailedReleases& entry = *failed.Add();
  *entry.mutable_releases() = record.done_releases();
  entry.set_attempt(record.done_attempt());
  entry.set_outcome(record.done_outcome());
  entry.set_reason(record.done_reason());
  if (failed.size() > kMaxFailed) failed.erase(failed.begin());
}

}  // namespace

std::set<std::string> PlanesAndDigests(const release::v1::Assignment& assignment) {
  std::set<std::string> releases;
  for (const release::v1::PlaneRelease& plane : assignment.planes()) {
    releases.insert(absl::StrCat(release::v1::Plane_Name(plane.plane()), " ", plane.release_digest()));
  }
  return releases;
}

DesiredStore::DesiredStore(FileSystem& fs, const std::string& folder, std::string hardware)
    : hardware_(std::move(hardware)),
      file_(fs, JoinPath(folder, "desired.rec")),
      committed_file_(fs, JoinPath(folder, "committed.rec")) {}

absl::StatusOr<DesiredStore> DesiredStore::Load(FileSystem& fs, const std::string& folder,
                                                const std::string& hardware) {
  DesiredStore store(fs, folder, hardware);
  ASSIGN_OR_RETURN(store.record_, LoadOrDefault<record::v1::DesiredRecord>(store.file_));
  ASSIGN_OR_RETURN(store.committed_, LoadOrDefault<record::v1::CommittedRecord>(store.committed_file_));
  return store;
}

absl::StatusOr<StoredDesired> DesiredStore::desired() const {
  if (!desired_.has_value()) desired_ = FromRecord(record_.desired(), hardware_);
  return *desired_;
}
absl::StatusOr<StoredDesired> DesiredStore::active() const {
  if (!active_.has_value()) active_ = FromRecord(record_.active(), hardware_);
  return *active_;
}

absl::Status DesiredStore::Save(const record::v1::DesiredRecord& next) {
  RETURN_IF_ERROR(file_.Write(next.SerializeAsString()));
  record_ = next;
  return absl::OkStatus();
}

absl::Status DesiredStore::SaveCommitted(const record::v1::CommittedRecord& next) {
  RETURN_IF_ERROR(committed_file_.Write(next.SerializeAsString()));
  committed_ = next;
  return absl::OkStatus();
}

absl::Status DesiredStore::SetDesired(const AcceptedDesired& accepted, const DesiredEnvelopes& envelopes,
                                      const std::string& bundle_path) {
  record::v1::DesiredRecord next = record_;
  // Only the releases that the assignment names.
  DesiredEnvelopes kept = envelopes;
  kept.releases.clear();
  for (const AcceptedRelease& release : accepted.releases) kept.releases.push_back(release.envelope);
  *next.mutable_desired() = ToRecord(kept, bundle_path);
  RETURN_IF_ERROR(Save(next));
  desired_.reset();
  return absl::OkStatus();
}

absl::Status DesiredStore::SetActive() {
  record::v1::DesiredRecord next = record_;
  *next.mutable_active() = next.desired();
  RETURN_IF_ERROR(Save(next));
  active_.reset();
  return absl::OkStatus();
}

absl::Status DesiredStore::SetDone(const AcceptedDesired& accepted, const std::string& outcome,
                                   const std::string& reason) {
  record::v1::DesiredRecord next = record_;
  RememberFailed(record_, PlanesAndDigests(accepted.assignment), next);
  next.set_done_sequence(accepted.assignment.sequence());
  next.set_done_attempt(accepted.assignment.attempt());
  next.clear_done_releases();
  for (const std::string& release : PlanesAndDigests(accepted.assignment)) next.add_done_releases(release);
  // What runs now is no failure any more.
  if (outcome == Name(Outcome::kApplied)) ForgetFailed(PlanesAndDigests(accepted.assignment), next);
  next.set_done_outcome(outcome);
  next.set_done_reason(reason);
  return Save(next);
}

absl::Status DesiredStore::SetPaused(bool paused) {
  record::v1::DesiredRecord next = record_;
  next.set_paused(paused);
  return Save(next);
}

std::optional<DesiredStore::Tried> DesiredStore::FindTried(const AcceptedDesired& accepted) const {
  const std::set<std::string> wanted = PlanesAndDigests(accepted.assignment);
  const uint32_t attempt = accepted.assignment.attempt();
  const auto is_wanted = [&](const auto& releases) {
    return std::set<std::string>(releases.begin(), releases.end()) == wanted;
  };
  if (!record_.done_outcome().empty() && is_wanted(record_.done_releases()) && attempt <= record_.done_attempt()) {
    return Tried{.outcome = record_.done_outcome(), .reason = record_.done_reason()};
  }
  for (const record::v1::FailedReleases& failed : record_.failed()) {
    if (is_wanted(failed.releases()) && attempt <= failed.attempt()) {
      return Tried{.outcome = failed.outcome(), .reason = failed.reason()};
    }
  }
  return std::nullopt;
}

bool DesiredStore::WasLast(const release::v1::Assignment& assignment) const {
  const std::set<std::string> done(record_.done_releases().begin(), record_.done_releases().end());
  return !done.empty() && assignment.sequence() == record_.done_sequence() &&
         assignment.attempt() == record_.done_attempt() && PlanesAndDigests(assignment) == done;
}

absl::Status DesiredStore::SetCommitted(const StoredDesired& desired, const UnitUpdate& update) {
  record::v1::CommittedRecord next = committed_;
  // Done again after a crash, it must not take the new state for the one before.
  if (!IsCommitted(desired.accepted)) *next.mutable_previous() = committed_.planes();
  for (const auto& wanted : desired.accepted.assignment.planes()) {
    const auto release =
        std::ranges::find(desired.accepted.releases, wanted.release_digest(), &AcceptedRelease::digest);
    if (release == desired.accepted.releases.end()) continue;
    auto plane = std::ranges::find(*next.mutable_planes(), wanted.plane(), &record::v1::CommittedPlane::plane);
    record::v1::CommittedPlane& committed = plane == next.mutable_planes()->end() ? *next.add_planes() : *plane;
    committed.set_plane(wanted.plane());
    committed.set_release_digest(release->digest);
    committed.set_release_id(release->release.release_id());
    committed.set_release(release->envelope);
    committed.clear_base_urls();
    for (const std::string& url : desired.accepted.assignment.base_urls()) committed.add_base_urls(url);
  }
  // Per component type the lowest of all that is installed: a floor never rises above that.
  next.clear_pending_floor();
  for (const AcceptedRelease& release : ReleasesOf(next.planes(), hardware_)) {
    for (const auto& component : release.release.components()) {
      const auto [floor, fresh] =
          next.mutable_pending_floor()->insert({component.component_type(), component.security_version()});
      if (!fresh) floor->second = std::min(floor->second, component.security_version());
    }
  }
  ReplaceLeftovers(desired.accepted, update, *next.mutable_leftovers());
  next.set_sealed(false);
  next.set_window_elapsed_ms(0);
  next.set_sequence(desired.accepted.assignment.sequence());
  next.set_attempt(desired.accepted.assignment.attempt());
  next.set_correlation_id(desired.accepted.assignment.correlation_id());
  return SaveCommitted(next);
}

absl::Status DesiredStore::SetLeftovers(const UnitUpdate& update) {
  record::v1::CommittedRecord next = committed_;
  ReplaceLeftovers({}, update, *next.mutable_leftovers());
  return SaveCommitted(next);
}

bool DesiredStore::IsCommitted(const AcceptedDesired& accepted) const {
  return std::ranges::all_of(accepted.assignment.planes(), [&](const release::v1::PlaneRelease& wanted) {
    return std::ranges::any_of(committed_.planes(), [&](const record::v1::CommittedPlane& plane) {
      return plane.plane() == wanted.plane() && plane.release_digest() == wanted.release_digest();
    });
  });
}

std::vector<AcceptedRelease> DesiredStore::CommittedReleases() const {
  return ReleasesOf(committed_.planes(), hardware_);
}

std::set<std::string> DesiredStore::ArtifactsToKeep() const {
  std::set<std::string> artifacts;
  for (const auto* planes : {&committed_.planes(), &committed_.previous()}) {
    for (const AcceptedRelease& release : ReleasesOf(*planes, hardware_)) {
      for (const auto& component : release.release.components()) artifacts.insert(component.sha256());
    }
  }
  return artifacts;
}

bool DesiredStore::GoesBehindCommitted(const AcceptedDesired& desired) const {
  const auto is_behind = [&](const release::v1::ReleaseComponent& next) {
    for (const AcceptedRelease& committed : CommittedReleases()) {
      for (const release::v1::ReleaseComponent& now : committed.release.components()) {
        const bool same =
            now.component_type() == next.component_type() &&
            (now.component_id().empty() || next.component_id().empty() || now.component_id() == next.component_id());
        if (same && next.security_version() < now.security_version()) return true;
      }
    }
    return false;
  };
  return !committed_.sealed() && std::ranges::any_of(desired.releases, [&](const AcceptedRelease& release) {
    return std::ranges::any_of(release.release.components(), is_behind);
  });
}

absl::Status DesiredStore::AddWindowTime(absl::Duration elapsed) {
  record::v1::CommittedRecord next = committed_;
  next.set_window_elapsed_ms(next.window_elapsed_ms() + absl::ToInt64Milliseconds(elapsed));
  return SaveCommitted(next);
}

absl::Status DesiredStore::SetSealed() {
  record::v1::CommittedRecord next = committed_;
  next.set_sealed(true);
  next.clear_pending_floor();
  next.clear_previous();
  return SaveCommitted(next);
}

}  // namespace tandem::cm
