#include "fleet/controller/rollout_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/ring_filler.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/controller/rollout_planes.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/verification/run_outcome.h"
#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {
namespace {

std::string Evidence(const GateDecision& decision, const RingCounts& counts, const GatePolicy& policy) {
  v1::GateEvidence evidence;
  evidence.set_scored(decision.evidence.scored);
  evidence.set_required(decision.evidence.required);
  evidence.set_passed(counts.passed);
  evidence.set_failed(counts.failed);
  if (policy.failure_policy == GatePolicy::FailurePolicy::kStatistical) {
    evidence.set_log_likelihood_ratio(decision.evidence.llr);
    evidence.set_abort_at(decision.evidence.abort_bound);
    evidence.set_promote_at(decision.evidence.promote_bound);
    evidence.set_control_e_value(decision.evidence.shock.log_shock);
    evidence.set_paired_e_value(decision.evidence.shock.log_blame);
    evidence.set_controls(counts.controls);
    evidence.set_controls_failed(counts.pairs.n01 + counts.pairs.n11);
  }
  return evidence.SerializeAsString();
}

}  // namespace

absl::StatusOr<RingCounts> CountsOf(StoreTransaction& tx, const RolloutRow& rollout, const RingRow& ring,
                                    bool verification_counts, int64_t now) {
  ASSIGN_OR_RETURN(const auto counts, Counters(tx, RingCounterPrefix(rollout.number, ring.ring)));
  const auto at = [&](const char* name) { return static_cast<uint64_t>(At(counts, name)); };
  RingCounts result;
  for (int state = 0; state < kAttemptStates; ++state) {
    result.members += at(std::string(Name(static_cast<AttemptState>(state))).c_str());
  }
  result.queued = at("queued");
  result.in_flight = static_cast<uint64_t>(InFlight(counts)) + at("applied");
  result.offline_waiting = at("offline");
  result.excluded = at("excluded") + at("cancelled");
  result.superseded = at("superseded");
  result.passed = at("score/pass");
  result.scored_failed = at("score/fail");
  result.failed = at("failed") + (verification_counts ? at("verification_failed") : 0);
  result.controls = at("controls");
  result.pairs = {.n00 = at("pair/00"), .n01 = at("pair/01"), .n10 = at("pair/10"), .n11 = at("pair/11")};
  result.rehearsals_done = static_cast<uint32_t>(at("rehearsal_again/applied") + at("rehearsal_again/passed") +
                                                 at("rehearsal_again/verified"));
  result.rehearsals_failed =
      static_cast<uint32_t>(at("rehearsal_again/failed") + at("rehearsal_back/failed") +
                            at("rehearsal_again/verification_failed") + at("rehearsal_back/verification_failed"));
  result.since_last_score = absl::Seconds(now - std::max(ring.scored_at, ring.started_at));
  result.filled = ring.state == RingState::kRolling || ring.state == RingState::kPromoted;
  result.promote_asked = rollout.promote_asked;
  return result;
}

absl::StatusOr<RolloutRunner::View> RolloutRunner::Read(int64_t rollout) {
  View view;
  const absl::Status read = store_.Read("read a rollout", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(view.rollout, RolloutTable(tx).Get(rollout));
    ASSIGN_OR_RETURN(view.spec, ReadSpec(view.rollout));
    ASSIGN_OR_RETURN(view.release, documents_.Release(tx, view.rollout.release));
    ASSIGN_OR_RETURN(const auto counts, Counters(tx, AllRingsCounterPrefix(rollout)));
    view.queued = !QueuedRings(counts, view.rollout).empty();
    for (int ring = 0; ring < view.spec.rings_size(); ++ring) {
      const std::string prefix = absl::StrCat(ring, "/");
      view.verifying +=
          At(counts, prefix + "verifying") + At(counts, prefix + "verifying_trial") + At(counts, prefix + "cleared");
      view.verified += At(counts, prefix + "verified");
      view.verification_failed += At(counts, prefix + "verification_failed");
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  return view;
}

absl::StatusOr<bool> RolloutRunner::Look(int64_t rollout, int64_t now) {
  ASSIGN_OR_RETURN(View view, Read(rollout));
  switch (view.rollout.state) {
    case RolloutState::kScheduled:
      return Start(view, now);
    case RolloutState::kFilling:
      return Fill(view, now);
    case RolloutState::kRolling:
    case RolloutState::kComplete:
      return Roll(view, now);
    case RolloutState::kAborting:
      return TakeBack(view, now);
    case RolloutState::kAborted:
    case RolloutState::kSuperseded:
      return false;
  }
  return false;
}

absl::Status RolloutRunner::Step(StoreTransaction& tx, View& view, RolloutEvent event, const std::string& reason,
                                 int64_t now) {
  RolloutTable table(tx);
  const RolloutRow& before = view.rollout;
  ASSIGN_OR_RETURN(const RolloutStep step, fleet::Step({.state = before.state,
                                                        .paused = before.paused,
                                                        .last_ring = before.ring + 1 == view.spec.rings_size()},
                                                       event));
  RolloutRow after = before;
  after.state = step.to;
  after.reason = reason;
  after.changed_at = now;
  if (step.effects.paused.has_value()) after.paused = *step.effects.paused;
  ASSIGN_OR_RETURN(const RingRow ring, table.GetRing(before.number, before.ring));
  RingRow ring_after = ring;
  if (event == RolloutEvent::kGatePromote) {
    ring_after.state = RingState::kPromoted;
    ring_after.ended_at = now;
    after.promote_asked = false;
  } else if (event == RolloutEvent::kGateAbort || event == RolloutEvent::kVerificationFailed) {
    ring_after.state = RingState::kAborted;
    ring_after.ended_at = now;
  }
  RETURN_IF_ERROR(table.SaveRing(ring, ring_after));
  // Every unit that received it goes back, whatever an abort by hand would do.
  if (event == RolloutEvent::kVerificationFailed) after.on_abort = v1::TAKE_BACK;
  if (step.effects.next_ring) after.ring += 1;
  if (event == RolloutEvent::kTakenBack) RETURN_IF_ERROR(table.Reinstate(before.number));
  if (step.effects.cancel_queued) {
    RETURN_IF_ERROR(CancelQueued(tx, before.number, view.spec.rings_size(), AttemptEvent::kCancel,
                                 absl::StrCat("the rollout ended: ", reason), now));
  }
  RETURN_IF_ERROR(table.Save(before, after));
  if (after.state == RolloutState::kComplete && before.state != RolloutState::kComplete) {
    RETURN_IF_ERROR(NoteVerified(tx, view, now));
  }
  const bool bad = event == RolloutEvent::kGateAbort || event == RolloutEvent::kVerificationFailed;
  RETURN_IF_ERROR(Audit(
      tx, {.at = now,
           .actor = kControllerActor,
           .event = absl::StrCat("rollout.", std::string(Name(after.state))),
           .severity = bad ? 3 : 1,
           .object = absl::StrCat("rollout/", before.number),
           .old_value = AuditJson({{"state", std::string(Name(before.state))}, {"ring", absl::StrCat(before.ring)}}),
           .new_value = AuditJson(
               {{"state", std::string(Name(after.state))}, {"ring", absl::StrCat(after.ring)}, {"reason", reason}})}));
  view.rollout = after;
  return absl::OkStatus();
}

absl::StatusOr<bool> RolloutRunner::Start(View& view, int64_t now) {
  if (view.rollout.paused) return false;
  if (view.spec.has_start() && view.spec.start().seconds() > now) return false;
  const absl::Status written = store_.Write("start a rollout", [&](StoreTransaction& tx) {
    View copy = view;
    return Step(tx, copy, RolloutEvent::kStartDue, "", now);
  });
  RETURN_IF_ERROR(written);
  return true;
}

absl::StatusOr<bool> RolloutRunner::Fill(View& view, int64_t now) {
  ASSIGN_OR_RETURN(const FilledRing filled, FillRing(store_, view.rollout, view.spec, view.release->row.digest, now));
  const absl::Status written = store_.Write("begin a ring", [&](StoreTransaction& tx) -> absl::Status {
    RolloutTable table(tx);
    RETURN_IF_ERROR(table.Lock(view.rollout));
    // Who came after the fleet was read; who comes after this transaction joins by itself.
    ASSIGN_OR_RETURN(const int64_t joined, JoinNewcomers(tx, view.rollout, view.spec, filled.last_unit, now));
    const int64_t members = filled.members + joined;
    ASSIGN_OR_RETURN(const RingRow ring, table.GetRing(view.rollout.number, view.rollout.ring));
    RingRow after = ring;
    after.state = RingState::kRolling;
    after.members = members;
    after.started_at = now;
    RETURN_IF_ERROR(table.SaveRing(ring, after));
    View copy = view;
    return Step(tx, copy, RolloutEvent::kFilled,
                absl::StrCat("ring ", view.spec.rings(static_cast<int>(view.rollout.ring)).name(), " begins with ",
                             members, members == 1 ? " unit" : " units"),
                now);
  });
  RETURN_IF_ERROR(written);
  return true;
}

absl::StatusOr<bool> RolloutRunner::Roll(View& view, int64_t now) {
  std::string waits_for;
  int given = 0;
  if (!view.rollout.paused) {
    ASSIGN_OR_RETURN(given, GiveOrders(view, now, waits_for));
  }
  if (view.rollout.state == RolloutState::kComplete) return given != 0;
  const v1::RingSpec& ring = view.spec.rings(static_cast<int>(view.rollout.ring));
  if (ring.gate().rehearse_rollback() != 0 && !view.rollout.paused) RETURN_IF_ERROR(Rehearse(view, ring, now));
  ASSIGN_OR_RETURN(const bool decided, DecideGate(view, waits_for, now));
  return decided || given != 0;
}

absl::StatusOr<bool> RolloutRunner::DecideGate(View& view, const std::string& waits_for, int64_t now) {
  const v1::RingSpec& ring_spec = view.spec.rings(static_cast<int>(view.rollout.ring));
  const GatePolicy policy = PolicyOf(ring_spec.gate());
  struct Finding {
    RingRow ring;
    RingRow ring_after;
    GateOutcome outcome = GateOutcome::kHold;
    // Why it stands still, or what it waits for.
    std::string reason;
  };
  const auto find = [&](StoreTransaction& tx) -> absl::StatusOr<Finding> {
    Finding finding;
    ASSIGN_OR_RETURN(finding.ring, RolloutTable(tx).GetRing(view.rollout.number, view.rollout.ring));
    ASSIGN_OR_RETURN(const RingCounts counts,
                     CountsOf(tx, view.rollout, finding.ring, view.spec.on_verification_failure() == v1::SCORE, now));
    const GateDecision decision = Decide(policy, counts);
    finding.ring_after = finding.ring;
    finding.ring_after.verdict = std::string(Name(decision.outcome));
    finding.ring_after.reason = decision.reason;
    finding.ring_after.evidence = Evidence(decision, counts, policy);
    finding.outcome = decision.outcome;
    ASSIGN_OR_RETURN(const std::string late, FailedAfterPromotion(tx, view));
    if (!late.empty()) {
      finding.outcome = GateOutcome::kAbort;
      finding.ring_after.reason = late;
    }
    // Paused: it waits for an operator.
    if (finding.outcome == GateOutcome::kPromote && view.rollout.paused) finding.outcome = GateOutcome::kHold;
    // Why it was paused is what people ask.
    finding.reason = view.rollout.paused ? view.rollout.reason : decision.reason;
    if (!waits_for.empty()) absl::StrAppend(&finding.reason, "; no further orders: ", waits_for);
    return finding;
  };
  Finding finding;
  const absl::Status looked = store_.Read("look at a gate", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(finding, find(tx));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(looked);
  if (finding.outcome == GateOutcome::kHold && finding.ring == finding.ring_after &&
      finding.reason == view.rollout.reason) {
    return false;
  }
  const absl::Status written = store_.Write("decide a gate", [&](StoreTransaction& tx) -> absl::Status {
    RolloutTable table(tx);
    RETURN_IF_ERROR(table.Lock(view.rollout));
    ASSIGN_OR_RETURN(finding, find(tx));
    RETURN_IF_ERROR(table.SaveRing(finding.ring, finding.ring_after));
    if (finding.outcome == GateOutcome::kHold) return table.Tell(view.rollout, finding.reason, now);
    View current = view;
    return Step(tx, current,
                finding.outcome == GateOutcome::kPromote ? RolloutEvent::kGatePromote : RolloutEvent::kGateAbort,
                absl::StrCat("ring ", ring_spec.name(), ": ", finding.ring_after.reason), now);
  });
  RETURN_IF_ERROR(written);
  return finding.outcome != GateOutcome::kHold;
}

absl::StatusOr<std::string> RolloutRunner::FailedAfterPromotion(StoreTransaction& tx, const View& view) {
  for (int ring = 0; ring < view.rollout.ring; ++ring) {
    const GatePolicy policy = PolicyOf(view.spec.rings(ring).gate());
    if (policy.failure_policy != GatePolicy::FailurePolicy::kAny) continue;
    ASSIGN_OR_RETURN(int64_t failed, Counter(tx, RingCounterPrefix(view.rollout.number, ring) + "failed"));
    if (view.spec.on_verification_failure() == v1::SCORE) {
      ASSIGN_OR_RETURN(const int64_t unverified,
                       Counter(tx, RingCounterPrefix(view.rollout.number, ring) + "verification_failed"));
      failed += unverified;
    }
    if (failed < policy.failure_threshold) continue;
    return absl::StrCat("ring ", view.spec.rings(ring).name(), ", promoted before, has ", failed,
                        failed == 1 ? " failed unit by now; " : " failed units by now; ", policy.failure_threshold,
                        " aborts");
  }
  return std::string();
}

absl::StatusOr<int> RolloutRunner::ScoreDue(int64_t now, int limit) {
  int scored = 0;
  bool any = false;
  const absl::Status looked = store_.Read("look for attempts to score", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(any, AttemptTable(tx).HasDue(now));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(looked);
  if (!any) return 0;
  const absl::Status written = store_.Write("score attempts", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(std::vector<AttemptRow> due, AttemptTable(tx).Due(now, limit));
    scored = static_cast<int>(due.size());
    for (AttemptRow& attempt : due) {
      ASSIGN_OR_RETURN(const bool stepped, StepAttempt(tx, attempt, AttemptEvent::kScoreTime, "", now));
      if (stepped) continue;
      const AttemptRow before = attempt;
      // Its diagnostics end by themselves, in time; they decide.
      attempt.score_at = IsVerifying(attempt.state) ? now + kReapSeconds : 0;
      RETURN_IF_ERROR(AttemptTable(tx).Save(before, attempt));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return scored;
}

}  // namespace tandem::fleet
