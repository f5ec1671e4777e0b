// One unit's attempt at a release: a pure machine over a declared table.
//
//   const AttemptStep step = Step({.state = AttemptState::kAsked, .kind = AttemptKind::kForward},
//   AttemptEvent::kApplied); step.to == AttemptState::kApplied;
//
// Who runs it (fleet/controller) writes the new state by compare-and-set, in the same transaction as whatever led to
// it; so a controller that dies in between has changed nothing, and the event comes again.
#ifndef TANDEM_FLEET_ROLLOUT_ATTEMPT_MACHINE_H_
#define TANDEM_FLEET_ROLLOUT_ATTEMPT_MACHINE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace tandem::fleet {

// Stored: never renumber.
enum class AttemptState {
  // A member of its ring; nothing was ordered.
  kQueued = 0,
  // Ordered; the unit is away, and its clock has not started.
  kOffline = 1,
  // Ordered; the clock runs.
  kAsked = 2,
  // The unit says that it is at it.
  kUpdating = 3,
  // It runs the release, is healthy, and waits for the verdict.
  kProvisional = 4,
  // It says, with the versions that booted, that it is done; not scored yet.
  kApplied = 5,
  kPassed = 6,
  kFailed = 7,
  // It may not have the release: why is in the attempt's reason.
  kExcluded = 8,
  // A newer order took its place.
  kSuperseded = 9,
  // The rollout ended before anything was ordered.
  kCancelled = 10,
  // Applied, and its diagnostics run.
  kVerifying = 11,
  kVerified = 12,
  kVerificationFailed = 13,
  // What it was taken back to failed its diagnostics as well: nothing more is done to the unit by itself.
  kVerificationStorm = 14,
  // Not committed yet (commit_on: verified), and its diagnostics run.
  kVerifyingTrial = 15,
  // They passed: it may commit.
  kCleared = 16,
};
inline constexpr int kAttemptStates = 17;

// Stored: never renumber.
enum class AttemptKind {
  kForward = 0,
  // Goes back on purpose, to prove that it can; then kRehearsalAgain.
  kRehearsalBack = 1,
  kRehearsalAgain = 2,
  // Takes a release back: all planes, or the first ones of the release's rollback order.
  kRollback = 3,
  // The next ones, where that did not help.
  kRollbackSecond = 4,
  kRollbackThird = 5,
};
inline constexpr int kAttemptKinds = 6;

enum class AttemptEvent {
  // The order is durable, and the unit is online / away.
  kOrdered,
  kOrderedOffline,
  // The unit was away and is back.
  kOnline,
  // Any report of a phase that is not an end.
  kProgress,
  kProvisional,
  // Applied, and what it runs is what was ordered.
  kApplied,
  // Applied, and what it runs is something else.
  kMismatch,
  // Refused, reverted, or in need of service.
  kGaveUp,
  // The age at which it is scored.
  kScoreTime,
  // It had applied, and runs something else now.
  kFellBack,
  // It had applied, and says that it crashes or runs short of something.
  kAnomaly,
  // Diagnostics were ordered from it.
  kVerify,
  // All of them passed.
  kDiagnosticsPassed,
  kDiagnosticsFailed,
  // They failed after everything that could be taken back was.
  kStorm,
  // It already runs what would be ordered / may not have it.
  kNotEligible,
  kSupersede,
  kCancel,
  kRetry,
};

enum class AttemptScore { kNone = 0, kPass = 1, kFail = 2 };

// What follows from a step, besides the new state.
struct AttemptEffects {
  // score_at = now + score age.
  bool start_clock = false;
  bool stop_clock = false;
  AttemptScore score = AttemptScore::kNone;
  // A new try: higher `attempt` in the assignment.
  bool new_try = false;
};

struct AttemptRule {
  std::vector<AttemptState> from;
  AttemptEvent event;
  AttemptState to;
  AttemptEffects effects;
  std::string_view why;
};

struct AttemptStep {
  AttemptState to;
  AttemptEffects effects;
  std::string_view why;
};

// Searched in order; what is in no row changes nothing.
std::span<const AttemptRule> AttemptRules();

// Nullopt: the event means nothing in this state.
std::optional<AttemptStep> Step(AttemptState state, AttemptEvent event);

// Ordered and not over: the unit belongs to this attempt, and gets no other order but one that takes its place.
bool IsOpen(AttemptState state);
// The unit may have begun with what was ordered, or have it.
bool MayHaveRelease(AttemptState state);
// Diagnostics of this attempt run.
bool IsVerifying(AttemptState state);
// It takes a release back, on whichever rung.
bool IsRollback(AttemptKind kind);

std::string_view Name(AttemptState state);
std::string_view Name(AttemptKind kind);
std::string_view Name(AttemptEvent event);
std::optional<AttemptState> ParseAttemptState(std::string_view name);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_ATTEMPT_MACHINE_H_
