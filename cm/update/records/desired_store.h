// The durable desired and committed state of the unit, beside the running update's record.
#ifndef TANDEM_CM_UPDATE_RECORDS_DESIRED_STORE_H_
#define TANDEM_CM_UPDATE_RECORDS_DESIRED_STORE_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/trust/verifier.h"
#include "cm/update/machine/unit_update.h"
#include "common/crypto/desired_documents.h"
#include "common/storage/durable_record.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {

// An accepted desired state as the coordinator works with it.
struct StoredDesired {
  AcceptedDesired accepted;
  DesiredEnvelopes envelopes;
  std::string bundle_path;
};

// What is assigned, as "PLANE digest": two desired states are the same when these are.
std::set<std::string> PlanesAndDigests(const release::v1::Assignment& assignment);

// Owned by the event thread. After OK from a Set… call the change survives a power cut; after an error nothing changed.
// A damaged record falls back to its previous copy with a log line: the cloud, or the bundle, brings the newest again.
class DesiredStore {
 public:
  // `hardware` chooses a release's components, as the verifier does.
  static absl::StatusOr<DesiredStore> Load(FileSystem& fs, const std::string& folder, const std::string& hardware);

  bool has_desired() const { return !record_.desired().assignment().empty(); }
  bool has_active() const { return !record_.active().assignment().empty(); }
  // FAILED_PRECONDITION when there is none; the documents were verified before they were stored.
  absl::StatusOr<StoredDesired> desired() const;
  absl::StatusOr<StoredDesired> active() const;

  absl::Status SetDesired(const AcceptedDesired& accepted, const DesiredEnvelopes& envelopes,
                          const std::string& bundle_path);
  // The desired state is what the running update is made from.
  absl::Status SetActive();
  // How the update that tried `accepted` ended.
  absl::Status SetDone(const AcceptedDesired& accepted, const std::string& outcome, const std::string& reason);
  absl::Status SetPaused(bool paused);
  bool paused() const { return record_.paused(); }

  // How an update to the same releases, with this attempt or a higher one, ended; nullopt: it was not tried yet.
  struct Tried {
    std::string outcome;
    std::string reason;
  };
  std::optional<Tried> FindTried(const AcceptedDesired& accepted) const;
  // It is the assignment of the last update that ended, as far as its numbers and releases tell.
  bool WasLast(const release::v1::Assignment& assignment) const;
  // Of the last update.
  const std::string& outcome() const { return record_.done_outcome(); }
  const std::string& reason() const { return record_.done_reason(); }

  // --- committed ---
  const record::v1::CommittedRecord& committed() const { return committed_; }
  // What of it is for this unit.
  std::vector<AcceptedRelease> CommittedReleases() const;
  // These releases are what the unit runs now, but for the leftovers of `update`; their security versions become floors
  // at Seal.
  absl::Status SetCommitted(const StoredDesired& desired, const UnitUpdate& update);
  // The same of an update whose documents cannot be read any more: who is left over is known all the same.
  absl::Status SetLeftovers(const UnitUpdate& update);
  // It brings a security version below one that is committed, but not sealed yet: a rollback.
  bool GoesBehindCommitted(const AcceptedDesired& desired) const;
  // SHA-256 of every artifact of what is committed, and of what was before until that is sealed: a rollback needs them.
  std::set<std::string> ArtifactsToKeep() const;
  absl::Status AddWindowTime(absl::Duration elapsed);
  absl::Status SetSealed();

 private:
  DesiredStore(FileSystem& fs, const std::string& folder, std::string hardware);
  absl::Status Save(const record::v1::DesiredRecord& next);
  bool IsCommitted(const AcceptedDesired& accepted) const;
  absl::Status SaveCommitted(const record::v1::CommittedRecord& next);

  std::string hardware_;
  DurableRecord file_;
  DurableRecord committed_file_;
  record::v1::DesiredRecord record_;
  record::v1::CommittedRecord committed_;
  // As read from record_, once somebody asked: whatever a UM says leads to that.
  mutable std::optional<absl::StatusOr<StoredDesired>> desired_;
  mutable std::optional<absl::StatusOr<StoredDesired>> active_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_RECORDS_DESIRED_STORE_H_
