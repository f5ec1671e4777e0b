#include "fleet/rollout/ring_gate.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

uint64_t Less(uint64_t from, uint64_t what) { return from > what ? from - what : 0; }

uint64_t RequiredPasses(const GatePolicy& policy, uint64_t eligible) {
  // A hair less, so that 5 % of 20 is 1 although 0.05 is no binary number.
  const double share = policy.success_percent * static_cast<double>(eligible) / 100 - 1e-9;
  return std::max<uint64_t>(static_cast<uint64_t>(std::ceil(std::max(share, 0.0))), policy.min_units);
}

void WeighStatistics(const GatePolicy& policy, const RingCounts& counts, GateEvidence& evidence) {
  const Sprt sprt(policy.sprt);
  evidence.llr = sprt.Llr(static_cast<double>(counts.passed), static_cast<double>(counts.scored_failed));
  evidence.abort_bound = sprt.abort_bound();
  evidence.promote_bound = sprt.promote_bound();
  evidence.required = std::max<uint64_t>(
      evidence.scored + CleanPassesToPromote(policy.sprt, counts.passed, counts.scored_failed), policy.min_units);
  evidence.guarded = counts.controls > 0 && counts.controls >= counts.members - counts.members / 2;
  evidence.shock = Weigh(policy.sprt, counts.pairs);
}

GateEvidence WeighRing(const GatePolicy& policy, const RingCounts& counts) {
  GateEvidence evidence;
  evidence.eligible = Less(counts.members, counts.excluded + counts.superseded);
  evidence.scored = counts.passed + counts.scored_failed;
  evidence.failed = std::max(counts.failed, counts.scored_failed);
  if (!Check(policy).ok()) return evidence;
  if (policy.failure_policy == GatePolicy::FailurePolicy::kStatistical) {
    WeighStatistics(policy, counts, evidence);
  } else {
    evidence.required = RequiredPasses(policy, evidence.eligible);
  }
  return evidence;
}

}  // namespace

absl::Status Check(const GatePolicy& policy) {
  if (policy.min_units == 0) return absl::InvalidArgumentError("min_units = 0: no gate promotes unseen; at least 1");
  if (policy.stability_window < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("stability_window is negative: write 0s for none");
  }
  if (policy.failure_policy == GatePolicy::FailurePolicy::kStatistical) return Annotate(Check(policy.sprt), "sprt");
  if (policy.failure_threshold == 0) {
    return absl::InvalidArgumentError("failure_threshold = 0: the number of failures that abort is at least 1");
  }
  if (!(policy.success_percent > 0 && policy.success_percent <= 100)) {
    return absl::InvalidArgumentError(
        absl::StrCat("success_percent = ", policy.success_percent, ": write a percentage above 0 and up to 100"));
  }
  return absl::OkStatus();
}

std::string_view Name(GateOutcome outcome) {
  switch (outcome) {
    case GateOutcome::kPromote:
      return "Promote";
    case GateOutcome::kAbort:
      return "Abort";
    case GateOutcome::kHold:
      break;
  }
  return "Hold";
}

GateDecision Decide(const GatePolicy& policy, const RingCounts& counts) {
  GateDecision decision;
  decision.evidence = WeighRing(policy, counts);
  const GateView view{policy, counts, decision.evidence};
  const auto rows = GateRows();
  const auto row = std::ranges::find_if(rows, [&](const GateRow& r) { return r.holds(view); });
  decision.outcome = row->outcome;
  decision.row = row->name;
  decision.reason = row->reason(view);
  return decision;
}

}  // namespace tandem::fleet
