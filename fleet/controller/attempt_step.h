// One step of an attempt in the store: the machine's decision, its clock, its counters and the log of the unit.
#ifndef TANDEM_FLEET_CONTROLLER_ATTEMPT_STEP_H_
#define TANDEM_FLEET_CONTROLLER_ATTEMPT_STEP_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/rollout/attempt_machine.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

// What a unit says is kept for people; a longer text says no more.
inline constexpr size_t kMaxReasonBytes = 2000;

// `attempt` was read, locked, in this transaction, and is what is stored then. `reason` is for people; empty: the
// machine's own words. False: the event means nothing in this state, and nothing was changed.
absl::StatusOr<bool> StepAttempt(StoreTransaction& tx, AttemptRow& attempt, AttemptEvent event,
                                 const std::string& reason, int64_t now);

// What the unit runs of this attempt's planes is what it can go back to from now on; `unit` is changed, not saved.
absl::Status NoteGood(StoreTransaction& tx, const AttemptRow& attempt, UnitRow& unit);

// "r7-a1234": in every log line and message of the attempt, from here to a plugin.
std::string CorrelationId(int64_t rollout, int64_t attempt);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_ATTEMPT_STEP_H_
