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
#include "common/time/clock.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {

// Owned by the event thread. After OK from Save() the step survives a power cut; after an error the step before does.
class UpdateJournal {
 public:
  // All must outlive it. The record is {state_dir}/update.rec. `boot_id` tells this boot from the one before.
  UpdateJournal(FileSystem& fs, Clock& clock, const std::string& state_dir, std::string boot_id, DesiredStore& desired,
                TrustStore& trust);

  struct Loaded {
    UnitUpdate update;
    // Why nothing is known of what ran, for people; empty when the record could be read, or what the UMs report decides
    // (Phase::kRecovering).
    std::string lost;
  };
  // What runs on trial has aged since the record was written, if the unit has not booted since.
  //
  // A damaged record is kept aside, and the copy before it names the participants; its decision may be outdated, so it
  // does not count. With both damaged the unit needs service, and nobody is known to take part. FAILED_PRECONDITION: a
  // newer version wrote the record.
  absl::StatusOr<Loaded> Load();

  // The update's outcome, if `step` is its end, and the update itself, in this order. `documents` are the update's, or
  // nullptr when they cannot be read: then what the unit is committed to stays as it is known. Writes nothing when
  // nothing changed but time, and that by less than a reader would care for.
  absl::Status Save(const Step& step, const StoredDesired* documents);

 private:
  absl::StatusOr<UnitUpdate> Parse(const std::string& bytes) const;
  absl::Status Write(const UnitUpdate& update);

  DurableRecord file_;
  Clock& clock_;
  const std::string boot_id_;
  DesiredStore& desired_;
  TrustStore& trust_;
  std::string last_saved_;
};

// The step ends its update.
bool HasFinished(const Step& step);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_UPDATE_JOURNAL_H_
