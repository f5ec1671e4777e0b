// The running update on disk: written before the actions it asks for.
#ifndef TANDEM_CM_UPDATE_RECORDS_UPDATE_RECORD_H_
#define TANDEM_CM_UPDATE_RECORDS_UPDATE_RECORD_H_

#include "absl/status/statusor.h"
#include "cm/update/machine/unit_update.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {

// Everything durable; what is observed is left out.
record::v1::UnitUpdateRecord ToRecord(const UnitUpdate& update);

// FAILED_PRECONDITION when the record names a phase or decision that this version does not know.
absl::StatusOr<UnitUpdate> FromRecord(const record::v1::UnitUpdateRecord& record);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_RECORDS_UPDATE_RECORD_H_
