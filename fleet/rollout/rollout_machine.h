// The life of a rollout: a pure machine over a declared table. docs/state-tables.md prints it.
//
//   ASSIGN_OR_RETURN(RolloutStep step, Step({.state = RolloutState::kRolling}, RolloutEvent::kAbort));
//   step.to == RolloutState::kAborting;
//
// Pause is a flag beside the state: a paused rollout gives no new orders and is not promoted; what was ordered runs on,
// and a failure still aborts it.
#ifndef TANDEM_FLEET_ROLLOUT_ROLLOUT_MACHINE_H_
#define TANDEM_FLEET_ROLLOUT_ROLLOUT_MACHINE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem::fleet {

// Stored: never renumber.
enum class RolloutState {
  kScheduled = 0,
  // The members of the current ring are being determined.
  kFilling = 1,
  // Members are ordered, within the limits; the gate looks at the scores.
  kRolling = 2,
  // Units are ordered back.
  kAborting = 3,
  kAborted = 4,
  // Every ring was promoted. New units of the target still get the release.
  kComplete = 5,
  kSuperseded = 6,
};
inline constexpr int kRolloutStates = 7;

enum class RolloutEvent {
  // Of time and counters.
  kStartDue,
  kFilled,
  kGatePromote,
  kGateAbort,
  // Everything that goes back was ordered back, and the broker has the orders.
  kTakenBack,
  kSupersede,
  // A unit failed the release's diagnostics, and it is taken back from all.
  kVerificationFailed,
  // Verbs of operators.
  kPause,
  kResume,
  kPromote,
  kRetry,
  kAbort,
};

struct RolloutCondition {
  RolloutState state = RolloutState::kScheduled;
  bool paused = false;
  // The current ring is the last one.
  bool last_ring = false;
};

struct RolloutEffects {
  bool next_ring = false;
  // Queued attempts are cancelled.
  bool cancel_queued = false;
  // The current ring's gate is told that a person promotes.
  bool promote_asked = false;
  // Failed attempts are queued again.
  bool retry_failed = false;
  std::optional<bool> paused;
};

struct RolloutRule {
  std::vector<RolloutState> from;
  RolloutEvent event;
  // Unset: in any case.
  std::optional<bool> paused;
  std::optional<bool> last_ring;
  // Unset: it stays.
  std::optional<RolloutState> to;
  RolloutEffects effects;
  std::string_view why;
};

struct RolloutStep {
  RolloutState to;
  RolloutEffects effects;
  std::string_view why;
};

// Searched in order.
std::span<const RolloutRule> RolloutRules();

// FAILED_PRECONDITION: no row has it; says what the rollout is, and which verbs it would take.
absl::StatusOr<RolloutStep> Step(const RolloutCondition& condition, RolloutEvent event);

bool IsOver(RolloutState state);
// The verbs that this condition takes, in the order of RolloutEvent.
std::vector<RolloutEvent> VerbsOf(const RolloutCondition& condition);

std::string_view Name(RolloutState state);
// Verbs as operators write them.
std::string_view Name(RolloutEvent event);
std::optional<RolloutEvent> ParseVerb(std::string_view name);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_ROLLOUT_MACHINE_H_
