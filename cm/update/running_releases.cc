#include "cm/update/running_releases.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/status/status.h"

namespace tandem::cm {

absl::StatusOr<TrustedKeys> KeysInForce(const TrustStore& trust, const std::string& name_space) {
  const auto& chain = trust.record().key_sets();
  return LoadKeySetChain({chain.begin(), chain.end()}, name_space);
}

absl::StatusOr<release::v1::Release> FindRunningRelease(const std::string& digest, const UnitUpdate& update,
                                                        const StoredDesired* documents, const DesiredStore& desired) {
  std::vector<AcceptedRelease> running;
  std::set<int> replaced;
  const bool on_trial = documents != nullptr && !update.compensating && update.decision != Decision::kAbort &&
                        (update.phase == Phase::kTrial || update.phase == Phase::kCommitting);
  if (on_trial) {
    running = documents->accepted.releases;
    for (const auto& plane : documents->accepted.assignment.planes()) replaced.insert(plane.plane());
  }
  for (const auto& plane : desired.committed().planes()) {
    if (replaced.contains(plane.plane())) continue;
    for (const AcceptedRelease& release : desired.CommittedReleases()) {
      if (release.digest == plane.release_digest()) running.push_back(release);
    }
  }
  std::set<std::string> names;
  for (const AcceptedRelease& release : running) {
    if (release.digest == digest) return release.release;
    names.insert(release.release.release_id());
  }
  return absl::NotFoundError(absl::StrCat("the unit does not run the release ", HexEncode(digest).substr(0, 12),
                                          "…, but ", names.empty() ? "none" : absl::StrJoin(names, ", ")));
}

absl::Status CheckStillSigned(const StoredDesired& documents, const absl::StatusOr<TrustedKeys>& keys) {
  RETURN_IF_ERROR(keys.status());
  for (const std::string& release : documents.envelopes.releases) {
    RETURN_IF_ERROR(OpenRelease(release, *keys).status());
  }
  return absl::OkStatus();
}

}  // namespace tandem::cm
