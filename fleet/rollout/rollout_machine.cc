#include "fleet/rollout/rollout_machine.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tandem::fleet {
namespace {

constexpr std::array<std::string_view, kRolloutStates> kRolloutStateNames = {
    "scheduled", "filling", "rolling", "aborting", "aborted", "complete", "superseded"};
constexpr std::array<RolloutEvent, 5> kVerbs = {RolloutEvent::kPause, RolloutEvent::kResume, RolloutEvent::kPromote,
                                                RolloutEvent::kRetry, RolloutEvent::kAbort};

const std::vector<RolloutRule>& RolloutRows() {
  using S = RolloutState;
  using E = RolloutEvent;
  static const auto& rules = *new std::vector<RolloutRule>{
      {{S::kScheduled}, E::kStartDue, false, {}, S::kFilling, {}, "its time has come"},
      {{S::kFilling}, E::kFilled, {}, {}, S::kRolling, {}, "the ring's members are known"},
      {{S::kRolling}, E::kGatePromote, false, false, S::kFilling, {.next_ring = true}, "the gate promotes: next ring"},
      {{S::kRolling}, E::kGatePromote, false, true, S::kComplete, {}, "the gate promotes the last ring"},
      {{S::kFilling, S::kRolling}, E::kGateAbort, {}, {}, S::kAborting, {.cancel_queued = true}, "the gate aborts"},
      {{S::kAborting}, E::kTakenBack, {}, {}, S::kAborted, {}, "every unit that had it was ordered back"},
      {{S::kScheduled, S::kFilling, S::kRolling},
       E::kSupersede,
       {},
       {},
       S::kSuperseded,
       {.cancel_queued = true},
       "a newer rollout took its place"},
      {{S::kComplete}, E::kSupersede, {}, {}, {}, {.cancel_queued = true}, "units that join get the newer release"},

      {{S::kScheduled}, E::kVerificationFailed, {}, {}, S::kAborted, {.paused = false}, "nothing was ordered yet"},
      {{S::kFilling, S::kRolling, S::kComplete, S::kSuperseded, S::kAborting, S::kAborted},
       E::kVerificationFailed,
       {},
       {},
       S::kAborting,
       {.cancel_queued = true, .paused = false},
       "every unit that received the release goes back"},

      {{S::kScheduled, S::kFilling, S::kRolling, S::kComplete},
       E::kPause,
       false,
       {},
       {},
       {.paused = true},
       "an operator"},
      {{S::kScheduled, S::kFilling, S::kRolling, S::kComplete},
       E::kResume,
       true,
       {},
       {},
       {.paused = false},
       "an operator"},
      {{S::kScheduled}, E::kPromote, {}, {}, S::kFilling, {.paused = false}, "started by hand before its time"},
      {{S::kRolling}, E::kPromote, {}, {}, {}, {.promote_asked = true, .paused = false}, "promoted by hand"},
      {{S::kFilling, S::kRolling, S::kComplete}, E::kRetry, {}, {}, {}, {.retry_failed = true}, "tried again by hand"},
      {{S::kScheduled}, E::kAbort, {}, {}, S::kAborted, {.paused = false}, "nothing was ordered yet"},
      {{S::kFilling, S::kRolling, S::kComplete},
       E::kAbort,
       {},
       {},
       S::kAborting,
       {.cancel_queued = true, .paused = false},
       "an operator"},
  };
  return rules;
}

bool Fits(const RolloutRule& rule, const RolloutCondition& condition, RolloutEvent event) {
  return rule.event == event && std::ranges::find(rule.from, condition.state) != rule.from.end() &&
         rule.paused.value_or(condition.paused) == condition.paused &&
         rule.last_ring.value_or(condition.last_ring) == condition.last_ring;
}

const RolloutRule* Find(const RolloutCondition& condition, RolloutEvent event) {
  const auto found =
      std::ranges::find_if(RolloutRows(), [&](const RolloutRule& rule) { return Fits(rule, condition, event); });
  return found == RolloutRows().end() ? nullptr : &*found;
}

}  // namespace

std::span<const RolloutRule> RolloutRules() { return RolloutRows(); }

absl::StatusOr<RolloutStep> Step(const RolloutCondition& condition, RolloutEvent event) {
  if (const RolloutRule* rule = Find(condition, event); rule != nullptr) {
    return RolloutStep{.to = rule->to.value_or(condition.state), .effects = rule->effects, .why = rule->why};
  }
  const std::vector<RolloutEvent> verbs = VerbsOf(condition);
  return absl::FailedPreconditionError(
      absl::StrCat("the rollout is ", std::string(Name(condition.state)), condition.paused ? " and paused" : "",
                   ": it takes no ", std::string(Name(event)), verbs.empty() ? "; it is over" : "; it takes ",
                   absl::StrJoin(verbs, ", ", [](std::string* out, RolloutEvent verb) { out->append(Name(verb)); })));
}

bool IsOver(RolloutState state) {
  return state == RolloutState::kAborted || state == RolloutState::kSuperseded || state == RolloutState::kComplete;
}

std::vector<RolloutEvent> VerbsOf(const RolloutCondition& condition) {
  std::vector<RolloutEvent> verbs;
  std::ranges::copy_if(kVerbs, std::back_inserter(verbs),
                       [&](RolloutEvent verb) { return Find(condition, verb) != nullptr; });
  return verbs;
}

std::string_view Name(RolloutState state) { return kRolloutStateNames.at(static_cast<size_t>(state)); }

std::string_view Name(RolloutEvent event) {
  switch (event) {
    case RolloutEvent::kStartDue:
      return "start";
    case RolloutEvent::kFilled:
      return "filled";
    case RolloutEvent::kGatePromote:
      return "promotion by the gate";
    case RolloutEvent::kGateAbort:
      return "abort by the gate";
    case RolloutEvent::kTakenBack:
      return "taken back";
    case RolloutEvent::kSupersede:
      return "supersede";
    case RolloutEvent::kVerificationFailed:
      return "verification failed";
    case RolloutEvent::kPause:
      return "pause";
    case RolloutEvent::kResume:
      return "resume";
    case RolloutEvent::kPromote:
      return "promote";
    case RolloutEvent::kRetry:
      return "retry";
    case RolloutEvent::kAbort:
      return "abort";
  }
  return "?";
}

std::optional<RolloutEvent> ParseVerb(std::string_view name) {
  const auto found = std::ranges::find(kVerbs, name, [](RolloutEvent verb) { return Name(verb); });
  return found == kVerbs.end() ? std::nullopt : std::make_optional(*found);
}

}  // namespace tandem::fleet
