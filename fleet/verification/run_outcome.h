// What the diagnostics of one unit come to: pure rules over the states of their runs (FLEET items 9 to 12).
//
//   Decide({RunState::kPassed, RunState::kPending})    // kPending: wait
//   Decide({RunState::kPassed, RunState::kTimeout})    // kFailed
#ifndef TANDEM_FLEET_VERIFICATION_RUN_OUTCOME_H_
#define TANDEM_FLEET_VERIFICATION_RUN_OUTCOME_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tandem::fleet {

// Of one diagnostic on one unit. Stored: never renumber.
enum class RunState {
  // Ordered; the unit has not answered.
  kPending = 0,
  kPassed = 1,
  kFailed = 2,
  // No answer by its deadline, or the unit ended it at its time-out.
  kTimeout = 3,
  // It could not be run.
  kError = 4,
  // Something newer took its place: it decides nothing.
  kSuperseded = 5,
};
inline constexpr int kRunStates = 6;

std::string_view Name(RunState state);
// What a unit says: passed, failed, timeout, error.
std::optional<RunState> ParseOutcome(std::string_view outcome);

enum class VerificationOutcome { kPending, kPassed, kFailed };

// Of all runs of one run_id. Nothing is decided while one is pending; then any that did not pass fails the unit. No
// runs, or superseded ones only: kPending, for there is nothing to decide by.
VerificationOutcome Decide(std::span<const RunState> runs);

// How often the reaper looks, in seconds.
inline constexpr int64_t kReapSeconds = 30;
// When what is pending becomes kTimeout: max(timeout_secs) x 1.5 after `created_at`, in seconds, rounded up.
int64_t DeadlineOf(int64_t created_at, int64_t max_timeout_secs);

// A deadline that has come, of a unit that is known to be away: how many seconds it is put off, until the next look;
// 0: not any more. `extended`: by how much it was put off before; `grace`: at most.
int64_t ExtensionFor(bool away, int64_t extended, int64_t grace);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_VERIFICATION_RUN_OUTCOME_H_
