#include "fleet/rollout/attempt_machine.h"

#include <algorithm>
#include <array>

namespace tandem::fleet {
namespace {

using S = AttemptState;
using E = AttemptEvent;

constexpr std::array<std::string_view, kAttemptStates> kStateNames = {
    "queued", "offline", "asked",    "updating",   "provisional", "applied",
    "passed", "failed",  "excluded", "superseded", "cancelled"};

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

      {{S::kOffline, S::kAsked, S::kUpdating, S::kProvisional, S::kApplied},
       E::kMismatch,
       S::kFailed,
       {},
       "says that it is done, and runs something else"},
      {{S::kOffline, S::kAsked, S::kUpdating, S::kProvisional, S::kApplied},
       E::kGaveUp,
       S::kFailed,
       {},
       "refused it, or went back by itself"},
      {{S::kApplied, S::kPassed}, E::kFellBack, S::kFailed, {}, "had it, and runs something else now"},

      {{S::kApplied},
       E::kScoreTime,
       S::kPassed,
       {.stop_clock = true, .score = AttemptScore::kPass},
       "still runs it at its age"},
      {{S::kAsked, S::kUpdating, S::kProvisional},
       E::kScoreTime,
       S::kFailed,
       {.stop_clock = true, .score = AttemptScore::kFail},
       "silent, or not done, at its age"},
      // It failed before its age: statistical gates count it only now.
      {{S::kFailed},
       E::kScoreTime,
       S::kFailed,
       {.stop_clock = true, .score = AttemptScore::kFail},
       "failed before its age"},

      {{S::kQueued}, E::kNotEligible, S::kExcluded, {}, "may not have the release"},
      {{S::kQueued}, E::kCancel, S::kCancelled, {}, "the rollout ended before its turn"},
      {{S::kQueued, S::kOffline, S::kAsked, S::kUpdating, S::kProvisional, S::kApplied},
       E::kSupersede,
       S::kSuperseded,
       {.stop_clock = true},
       "a newer order took its place"},
      {{S::kFailed, S::kExcluded},
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
      return true;
    default:
      return false;
  }
}

bool MayHaveRelease(AttemptState state) { return IsOpen(state) || state == S::kPassed || state == S::kFailed; }

std::string_view Name(AttemptState state) { return kStateNames.at(static_cast<size_t>(state)); }

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
  const auto found = std::ranges::find(kStateNames, name);
  if (found == kStateNames.end()) return std::nullopt;
  return static_cast<AttemptState>(found - kStateNames.begin());
}

}  // namespace tandem::fleet
