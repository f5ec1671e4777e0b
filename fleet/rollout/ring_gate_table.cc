// The rules of the gate, with the conditions and texts they are made of.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/status.h"
#include "fleet/rollout/ring_gate.h"

namespace tandem::fleet {
namespace {

// --- conditions ---

bool IsAny(const GateView& v) { return v.policy.failure_policy == GatePolicy::FailurePolicy::kAny; }
bool IsStatistical(const GateView& v) { return !IsAny(v); }
bool IsAsked(const GateView& v) { return v.counts.promote_asked; }
bool HasMembers(const GateView& v) { return v.counts.members > 0; }

uint64_t Unscored(const GateView& v) {
  return v.evidence.eligible > v.evidence.scored ? v.evidence.eligible - v.evidence.scored : 0;
}

bool PolicyWrong(const GateView& v) { return !Check(v.policy).ok(); }
bool RehearsalFailed(const GateView& v) { return v.counts.rehearsals_failed > 0; }
bool TooManyFailures(const GateView& v) { return IsAny(v) && v.evidence.failed >= v.policy.failure_threshold; }

bool CountsWrong(const GateView& v) {
  return v.evidence.scored + v.counts.excluded + v.counts.superseded > v.counts.members ||
         v.counts.pairs.Total() > v.evidence.scored || v.counts.pairs.n10 + v.counts.pairs.n11 > v.counts.scored_failed;
}

bool TestAborts(const GateView& v) { return IsStatistical(v) && v.evidence.llr >= v.evidence.abort_bound; }

Blame BlameOf(const GateView& v) {
  return v.evidence.guarded ? Attribute(v.policy.sprt, v.evidence.shock) : Blame::kRelease;
}

bool Regression(const GateView& v) { return TestAborts(v) && BlameOf(v) == Blame::kRelease; }
bool Shock(const GateView& v) { return TestAborts(v) && BlameOf(v) == Blame::kShock && !IsAsked(v); }
bool Unattributed(const GateView& v) { return TestAborts(v) && BlameOf(v) == Blame::kUnknown && !IsAsked(v); }

bool Filling(const GateView& v) { return !v.counts.filled; }
bool TooSmall(const GateView& v) { return HasMembers(v) && v.evidence.eligible < v.policy.min_units; }
bool TooFewScored(const GateView& v) { return HasMembers(v) && v.evidence.scored < v.policy.min_units; }

bool Passed(const GateView& v) { return IsAny(v) && HasMembers(v) && v.counts.passed >= v.evidence.required; }
bool NotPassed(const GateView& v) { return IsAny(v) && HasMembers(v) && !Passed(v) && !IsAsked(v); }
bool CannotPass(const GateView& v) { return NotPassed(v) && v.counts.passed + Unscored(v) < v.evidence.required; }

bool Accepted(const GateView& v) {
  return IsStatistical(v) && HasMembers(v) && v.evidence.llr <= v.evidence.promote_bound;
}
bool NotAccepted(const GateView& v) { return IsStatistical(v) && HasMembers(v) && !Accepted(v) && !IsAsked(v); }
bool Exhausted(const GateView& v) { return NotAccepted(v) && Unscored(v) == 0; }

bool RehearsalsLeft(const GateView& v) { return v.counts.rehearsals_done < v.policy.rehearsals; }
bool Settling(const GateView& v) {
  return HasMembers(v) && !IsAsked(v) && v.counts.since_last_score < v.policy.stability_window;
}
bool Unapproved(const GateView& v) { return v.policy.needs_approval && !IsAsked(v); }
bool Empty(const GateView& v) { return !HasMembers(v); }
bool Always(const GateView&) { return true; }

// --- texts ---

constexpr std::string_view kOperatorMay = "promote by hand, widen the ring, or abort";

std::string Progress(const GateView& v) {
  std::string text = absl::StrCat(v.evidence.scored, " of ", v.evidence.eligible, " units scored");
  const auto add = [&](uint64_t count, std::string_view what) {
    if (count > 0) absl::StrAppend(&text, "; ", count, count == 1 ? " is " : " are ", std::string(what));
  };
  add(v.counts.offline_waiting, "offline");
  add(v.counts.in_flight, "in flight");
  add(v.counts.queued, "queued");
  add(v.counts.excluded, "excluded");
  add(v.counts.superseded, "superseded");
  return text;
}

std::string Llr(const GateView& v) {
  return absl::StrFormat("%d of %d scored units failed, llr %.2f", v.counts.scored_failed, v.evidence.scored,
                         v.evidence.llr);
}

std::string Pairs(const GateView& v) {
  const PairCounts& pairs = v.counts.pairs;
  return absl::StrFormat("of %d pairs %d units and %d controls failed", pairs.Total(), pairs.n10 + pairs.n11,
                         pairs.n01 + pairs.n11);
}

std::string SayPolicy(const GateView& v) {
  return absl::StrCat("the gate's policy is not valid: ", std::string(Check(v.policy).message()));
}
std::string SayRehearsalFailed(const GateView& v) {
  return absl::StrCat(v.counts.rehearsals_failed, " of ", v.policy.rehearsals, " rehearsed rollbacks failed");
}
std::string SayFailures(const GateView& v) {
  return absl::StrCat(v.evidence.failed, " of ", v.counts.members, " units failed; ", v.policy.failure_threshold,
                      v.policy.failure_threshold == 1 ? " aborts" : " abort");
}
std::string SayCounts(const GateView& v) {
  return absl::StrCat("the ring's counters do not add up (", Progress(v), "; ", v.counts.pairs.Total(),
                      " pairs): rebuild them from the rows");
}
std::string SayRegression(const GateView& v) {
  return absl::StrCat(Llr(v), absl::StrFormat(" >= %.2f", v.evidence.abort_bound),
                      v.evidence.guarded ? absl::StrCat("; ", Pairs(v)) : "; too few controls to rule out a shock");
}
std::string SayShock(const GateView& v) {
  return absl::StrCat(Llr(v), ", but the controls without the release fail too (", Pairs(v), "): a fleet-wide shock; ",
                      std::string(kOperatorMay));
}
std::string SayUnattributed(const GateView& v) {
  const uint64_t pairs = v.counts.pairs.Total();
  const bool more = pairs < v.counts.controls && Unscored(v) > 0;
  return absl::StrCat(Llr(v), ", but it is not shown that the controls are well (", Pairs(v), "); ",
                      more ? "waits for more pairs" : std::string(kOperatorMay));
}
std::string SayFilling(const GateView& v) { return absl::StrCat("the ring is still being filled; ", Progress(v)); }
std::string SayTooSmall(const GateView& v) {
  return absl::StrCat("the ring has ", v.evidence.eligible, " units that can be scored, needs ", v.policy.min_units,
                      "; widen the ring, or abort");
}
std::string SayTooFew(const GateView& v) { return absl::StrCat(Progress(v), "; needs ", v.evidence.required); }
std::string SayCannotPass(const GateView& v) {
  return absl::StrCat(v.counts.passed, " units passed, ", v.evidence.failed, " failed; ", v.evidence.required,
                      " passes are out of reach; ", std::string(kOperatorMay));
}
std::string SayNotPassed(const GateView& v) {
  return absl::StrCat(Progress(v), ", ", v.counts.passed, " passed; needs ", v.evidence.required);
}
std::string SayExhausted(const GateView& v) {
  return absl::StrCat("all ", v.evidence.scored, " units are scored and nothing is decided: ", Llr(v),
                      absl::StrFormat(" between %.2f and %.2f; ", v.evidence.promote_bound, v.evidence.abort_bound),
                      std::string(kOperatorMay));
}
std::string SayNotAccepted(const GateView& v) {
  return absl::StrCat(Progress(v), "; ", Llr(v), absl::StrFormat(", promotes at %.2f", v.evidence.promote_bound),
                      "; needs ", v.evidence.required - v.evidence.scored, " more passes");
}
std::string SayRehearsals(const GateView& v) {
  return absl::StrCat(v.counts.rehearsals_done, " of ", v.policy.rehearsals, " rehearsed rollbacks done",
                      HasMembers(v) ? "" : ", and the ring has no unit for them; widen the ring, or abort");
}
std::string SaySettling(const GateView& v) {
  return absl::StrCat("stable for ", absl::FormatDuration(v.counts.since_last_score), " of ",
                      absl::FormatDuration(v.policy.stability_window));
}
std::string SayUnapproved(const GateView& v) {
  return absl::StrCat("the gate is passed (", Progress(v), "); waits for an operator to promote");
}
std::string SayEmpty(const GateView&) { return "no unit of the target is left for this ring"; }
std::string SayPassed(const GateView& v) {
  return absl::StrCat(v.counts.passed, " of ", v.evidence.eligible, " units passed; needed ", v.evidence.required);
}
std::string SayAccepted(const GateView& v) {
  return absl::StrCat(Llr(v), absl::StrFormat(" <= %.2f", v.evidence.promote_bound));
}
std::string SayByHand(const GateView& v) { return absl::StrCat("promoted by hand: ", Progress(v)); }
std::string SayNothing(const GateView& v) { return absl::StrCat("no rule decides; ", Progress(v)); }

// Searched from the top; the first row that holds decides.
constexpr GateRow kRows[] = {
    {"policy", "the policy is not valid", PolicyWrong, GateOutcome::kHold, SayPolicy},
    {"rehearsal failed", "a rehearsed rollback failed", RehearsalFailed, GateOutcome::kAbort, SayRehearsalFailed},
    {"failures", "any: failure_threshold units failed, scored or not", TooManyFailures, GateOutcome::kAbort,
     SayFailures},
    {"counters", "the counters do not add up", CountsWrong, GateOutcome::kHold, SayCounts},
    {"regression", "statistical: llr at the abort bound, and the controls blame the release, or are too few to ask",
     Regression, GateOutcome::kAbort, SayRegression},
    {"shock", "statistical: llr at the abort bound, the controls fail too; not promoted by hand", Shock,
     GateOutcome::kHold, SayShock},
    {"unattributed", "statistical: llr at the abort bound, too few pairs to tell; not promoted by hand", Unattributed,
     GateOutcome::kHold, SayUnattributed},
    {"filling", "members may still be added", Filling, GateOutcome::kHold, SayFilling},
    {"too small", "the ring can never score min_units", TooSmall, GateOutcome::kHold, SayTooSmall},
    {"too few scored", "fewer than min_units are scored", TooFewScored, GateOutcome::kHold, SayTooFew},
    {"out of reach", "any: success_percent cannot be reached any more; not promoted by hand", CannotPass,
     GateOutcome::kHold, SayCannotPass},
    {"not passed", "any: fewer than success_percent passed; not promoted by hand", NotPassed, GateOutcome::kHold,
     SayNotPassed},
    {"exhausted", "statistical: all are scored, llr between the bounds; not promoted by hand", Exhausted,
     GateOutcome::kHold, SayExhausted},
    {"undecided", "statistical: llr between the bounds; not promoted by hand", NotAccepted, GateOutcome::kHold,
     SayNotAccepted},
    {"rehearsals", "rehearsed rollbacks are not done", RehearsalsLeft, GateOutcome::kHold, SayRehearsals},
    {"stability window", "the last score is younger than the stability window; not promoted by hand", Settling,
     GateOutcome::kHold, SaySettling},
    {"approval", "an operator must promote, and has not", Unapproved, GateOutcome::kHold, SayUnapproved},
    {"empty", "no member, and none will be added", Empty, GateOutcome::kPromote, SayEmpty},
    {"passed", "any: success_percent passed", Passed, GateOutcome::kPromote, SayPassed},
    {"accepted", "statistical: llr at the promote bound", Accepted, GateOutcome::kPromote, SayAccepted},
    {"by hand", "an operator promotes, min_units are scored", IsAsked, GateOutcome::kPromote, SayByHand},
    {"otherwise", "no row above", Always, GateOutcome::kHold, SayNothing},
};

}  // namespace

std::span<const GateRow> GateRows() { return kRows; }

}  // namespace tandem::fleet
