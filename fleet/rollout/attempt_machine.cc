#include "fleet/rollout/attempt_machine.h"

#include <algorithm>
#include <array>

namespace tandem::fleet {
namespace {

using S = AttemptState;
using E = AttemptEvent;

constexpr std::array<std::string_view, kAttemptStates> kAttemptStateNames = {"queued",
                                                                             "offline",
                                                                             "asked",
                                                                             "updating",
                                                                             "provisional",
                                                                             "applied",
                                                                             "passed",
                                                                             "failed",
                                                                             "excluded",
                                                                             "superseded",
                                                                             "cancelled",
                                                                             "verifying",
                                                                             "verified",
                                                                             "verification_failed",
                                                                             "verification_storm",
                                                                             "verifying_trial",
                                                                             "cleared"};

const std::vector<AttemptRule>& Rules() {
  static const auto& rules = *new std::vector<AttemptRule>{
      {{S::kQueued}, E::kOrdered, S::kAsked, {.start_clock = true}, "its turn has come"},
      {{S::kQueued}, E::kOrderedOffline, S::kOffline, {}, "ordered while away: the order waits at the broker"},
      {{S::kOffline}, E::kOnline, S::kAsked, {.start_clock = true}, "back: it has the order now"},

      {{S::kOffline}, E::kProgress, S::kUpdating, {.start_clock = true}, "it says what it does"},
      {{S::kAsked, S::kUpdating}, E::kProgress, S::kUpdating, {}, "it says what it does"},
      {{S::kOffline}, E::kProvisional, S::kProvisional, {.start_clock = true}, "healthy, waits for the verdict"},
      {{S::kAsked, S::kUpdating}, E::kProvisional, S::kProvisional, {}, "healthy, waits for the verdict"},
      {{S::kOffline}, E::kApplied, S::kApplied, {.start_clock = true}, "runs what was ordered"},
      {{S::kAsked, S::kUpdating, S::kProvisional}, E::kApplied, S::kApplied, {}, "runs what was ordered"},

      {{S::kCleared}, E::kApplied, S::kVerified, {}, "committed what passed its diagnostics"},

      {{S::kApplied, S::kVerifying}, E::kVerify, S::kVerifying, {}, "its diagnostics run"},
      {{S::kProvisional, S::kVerifyingTrial},
       E::kVerify,
       S::kVerifyingTrial,
       {},
       "its diagnostics run before it commits"},
      // It did not wait.
      {{S::kVerifyingTrial}, E::kApplied, S::kVerifying, {}, "committed while its diagnostics run"},
      {{S::kVerifying}, E::kDiagnosticsPassed, S::kVerified, {}, "all diagnostics passed"},
      {{S::kVerifyingTrial}, E::kDiagnosticsPassed, S::kCleared, {}, "all diagnostics passed: it may commit"},
      {{S::kVerifying, S::kVerifyingTrial},
       E::kDiagnosticsFailed,
       S::kVerificationFailed,
       {},
       "a diagnostic did not pass"},
      {{S::kVerifying, S::kVerifyingTrial},
       E::kStorm,
       S::kVerificationStorm,
       {.stop_clock = true},
       "what it was taken back to does not pass its diagnostics either"},

      {{S::kOffline, S::kAsked, S::kUpdating, S::kProvisional, S::kApplied, S::kVerifying, S::kVerifyingTrial,
        S::kCleared},
       E::kMismatch,
       S::kFailed,
       {},
       "says that it is done, and runs something else"},
      {{S::kOffline, S::kAsked, S::kUpdating, S::kProvisional, S::kApplied, S::kVerifying, S::kVerifyingTrial,
        S::kCleared},
       E::kGaveUp,
       S::kFailed,
       {},
       "refused it, or went back by itself"},
      {{S::kApplied, S::kPassed, S::kVerifying, S::kVerified},
       E::kFellBack,
       S::kFailed,
       {},
       "had it, and runs something else now"},
      {{S::kApplied, S::kPassed, S::kVerifying, S::kVerified}, E::kAnomaly, S::kFailed, {}, "has it, and is not well"},

      {{S::kApplied},
       E::kScoreTime,
       S::kPassed,
       {.stop_clock = true, .score = AttemptScore::kPass},
       "still runs it at its age"},
      {{S::kVerified},
       E::kScoreTime,
       S::kVerified,
       {.stop_clock = true, .score = AttemptScore::kPass},
       "still runs it, verified, at its age"},
      {{S::kAsked, S::kUpdating, S::kProvisional},
       E::kScoreTime,
       S::kFailed,
       {.stop_clock = true, .score = AttemptScore::kFail},
       "silent, or not done, at its age"},
      {{S::kCleared},
       E::kScoreTime,
       S::kFailed,
       {.stop_clock = true, .score = AttemptScore::kFail},
       "not committed at its age"},
      // It failed before its age: statistical gates count it only now.
      {{S::kFailed},
       E::kScoreTime,
       S::kFailed,
       {.stop_clock = true, .score = AttemptScore::kFail},
       "failed before its age"},
      {{S::kVerificationFailed},
       E::kScoreTime,
       S::kVerificationFailed,
       {.stop_clock = true, .score = AttemptScore::kFail},
       "failed before its age"},

      {{S::kQueued}, E::kNotEligible, S::kExcluded, {}, "may not have the release"},
      {{S::kQueued}, E::kCancel, S::kCancelled, {}, "the rollout ended before its turn"},
      {{S::kQueued, S::kOffline, S::kAsked, S::kUpdating, S::kProvisional, S::kApplied, S::kVerifying,
        S::kVerifyingTrial, S::kCleared},
       E::kSupersede,
       S::kSuperseded,
       {.stop_clock = true},
       "a newer order took its place"},
      {{S::kFailed, S::kExcluded, S::kVerificationFailed},
       E::kRetry,
       S::kQueued,
       {.stop_clock = true, .new_try = true},
       "an operator wants it tried again"},
  };
  return rules;
}

}  // namespace

std::span<const AttemptRule> AttemptRules() { return Rules(); }

std::optional<AttemptStep> Step(AttemptState state, AttemptEvent event) {
  for (const AttemptRule& rule : Rules()) {
    if (rule.event == event && std::ranges::find(rule.from, state) != rule.from.end()) {
      return AttemptStep{.to = rule.to, .effects = rule.effects, .why = rule.why};
    }
  }
  return std::nullopt;
}

bool IsOpen(AttemptState state) {
  switch (state) {
    case S::kOffline:
    case S::kAsked:
    case S::kUpdating:
    case S::kProvisional:
    case S::kApplied:
    case S::kVerifying:
    case S::kVerifyingTrial:
    case S::kCleared:
      return true;
    default:
      return false;
  }
}

bool MayHaveRelease(AttemptState state) {
  return IsOpen(state) || state == S::kPassed || state == S::kFailed || state == S::kVerified ||
         state == S::kVerificationFailed || state == S::kVerificationStorm;
}

bool IsVerifying(AttemptState state) { return state == S::kVerifying || state == S::kVerifyingTrial; }

bool IsRollback(AttemptKind kind) {
  return kind == AttemptKind::kRollback || kind == AttemptKind::kRollbackSecond || kind == AttemptKind::kRollbackThird;
}

std::string_view Name(AttemptState state) { return kAttemptStateNames.at(static_cast<size_t>(state)); }

std::string_view Name(AttemptKind kind) {
  switch (kind) {
    case AttemptKind::kForward:
      return "forward";
    case AttemptKind::kRehearsalBack:
      return "rehearsal_back";
    case AttemptKind::kRehearsalAgain:
      return "rehearsal_again";
    case AttemptKind::kRollback:
      return "rollback";
    case AttemptKind::kRollbackSecond:
      return "rollback_second";
    case AttemptKind::kRollbackThird:
      return "rollback_third";
  }
  return "?";
}

std::string_view Name(AttemptEvent event) {
  switch (event) {
    case E::kOrdered:
      return "ordered";
    case E::kOrderedOffline:
      return "ordered while away";
    case E::kOnline:
      return "online";
    case E::kProgress:
      return "progress";
    case E::kProvisional:
      return "provisional";
    case E::kApplied:
      return "applied";
    case E::kMismatch:
      return "mismatch";
    case E::kGaveUp:
      return "gave up";
    case E::kScoreTime:
      return "score time";
    case E::kFellBack:
      return "fell back";
    case E::kAnomaly:
      return "anomaly";
    case E::kVerify:
      return "verify";
    case E::kDiagnosticsPassed:
      return "diagnostics passed";
    case E::kDiagnosticsFailed:
      return "diagnostics failed";
    case E::kStorm:
      return "storm";
    case E::kNotEligible:
      return "not eligible";
    case E::kSupersede:
      return "supersede";
    case E::kCancel:
      return "cancel";
    case E::kRetry:
      return "retry";
  }
  return "?";
}

std::optional<AttemptState> ParseAttemptState(std::string_view name) {
  const auto found = std::ranges::find(kAttemptStateNames, name);
  if (found == kAttemptStateNames.end()) return std::nullopt;
  return static_cast<AttemptState>(found - kAttemptStateNames.begin());
}

}  // namespace tandem::fleet
