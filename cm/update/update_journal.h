// The running update on disk: what must be durable before anything follows from a step.
#ifndef TANDEM_CM_UPDATE_UPDATE_JOURNAL_H_
#define TANDEM_CM_UPDATE_UPDATE_JOURNAL_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/trust/trust_store.h"
#include "cm/update/machine/unit_update.h"
#include "cm/update/records/desired_store.h"
#include "common/storage/durable_record.h"

namespace tandem::cm {

// Owned by the event thread. After OK from Save() the step survives a power cut; after an error the step before does.
class UpdateJournal {
 public:
  // All must outlive it. The record is {state_dir}/update.rec.
  UpdateJournal(FileSystem& fs, const std::string& state_dir, DesiredStore& desired, TrustStore& trust);

  struct Loaded {
    UnitUpdate update;
    // Why nothing is known of what ran, for people; empty when the record could be read, or what the UMs report decides
    // (Phase::kRecovering).
    std::string lost;
  };
  // A damaged record is kept aside, and the copy before it names the participants; its decision may be outdated, so it
  // does not count. FAILED_PRECONDITION: a newer version wrote the record.
  absl::StatusOr<Loaded> Load();

  // The update's outcome, if `step` is its end, and the update itself, in this order. `documents` are the update's, or
  // nullptr when they cannot be read: then what the unit is committed to stays as it is known. Writes nothing when
  // nothing changed but time, and that by less than a reader would care for.
  absl::Status Save(const Step& step, const StoredDesired* documents);

 private:
  DurableRecord file_;
  DesiredStore& desired_;
  TrustStore& trust_;
  std::string last_saved_;
};

// The step ends its update.
bool HasFinished(const Step& step);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_UPDATE_JOURNAL_H_
