#include "fleet/controller/attempt_step.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

// How the unit without the release did over the same time: silent all of it is a failure.
absl::StatusOr<AttemptScore> ScoreControl(StoreTransaction& tx, const AttemptRow& attempt, int64_t score_age,
                                          int64_t now) {
  ASSIGN_OR_RETURN(const UnitRow control, UnitTable(tx).Get(attempt.control, /*lock=*/false));
  // It got the release itself meanwhile, so it is no control any more.
  if (control.attempt > attempt.number) return AttemptScore::kNone;
  return control.last_seen < now - score_age ? AttemptScore::kFail : AttemptScore::kPass;
}

// The release that an attempt takes back: planes that are still at it are nothing to go back to. 0: none.
int64_t LeftBehind(const AttemptRow& attempt, const RolloutRow& rollout) {
  return IsRollback(attempt.kind) || attempt.kind == AttemptKind::kRehearsalBack ? rollout.release : 0;
}

// Every step of a verification, for whoever asks later why a unit is where it is.
absl::Status AuditVerification(StoreTransaction& tx, const AttemptRow& before, const AttemptRow& after, int64_t now) {
  const auto is_of_it = [](AttemptState state) {
    return IsVerifying(state) || state == AttemptState::kCleared || state == AttemptState::kVerified ||
           state == AttemptState::kVerificationFailed || state == AttemptState::kVerificationStorm;
  };
  if (before.run_id.empty() || before.state == after.state || (!is_of_it(before.state) && !is_of_it(after.state))) {
    return absl::OkStatus();
  }
  int64_t severity = 1;
  if (after.state == AttemptState::kVerificationFailed) severity = 2;
  if (after.state == AttemptState::kVerificationStorm) severity = 3;
  ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(after.unit, /*lock=*/false));
  return Audit(tx, {.at = now,
                    .actor = kControllerActor,
                    .event = absl::StrCat("unit.release.", std::string(Name(after.state))),
                    .severity = severity,
                    .object = absl::StrCat("unit/", unit.unit_id),
                    .old_value = AuditJson({{"state", std::string(Name(before.state))}}),
                    .new_value = AuditJson({{"state", std::string(Name(after.state))},
                                            {"rollout", absl::StrCat(after.rollout)},
                                            {"attempt", absl::StrCat(after.number)},
                                            {"run_id", after.run_id},
                                            {"reason", after.reason}})});
}

}  // namespace

absl::Status NoteGood(StoreTransaction& tx, const AttemptRow& attempt, UnitRow& unit) {
  ASSIGN_OR_RETURN(const RolloutRow rollout, RolloutTable(tx).Get(attempt.rollout));
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (!Has(rollout.planes, plane) || unit.runs[plane] == 0 || unit.runs[plane] != unit.desired[plane]) continue;
    if (unit.runs[plane] == LeftBehind(attempt, rollout)) continue;
    unit.good[plane] = unit.runs[plane];
  }
  return absl::OkStatus();
}

std::string CorrelationId(int64_t rollout, int64_t attempt) { return absl::StrCat("r", rollout, "-a", attempt); }

absl::StatusOr<bool> StepAttempt(StoreTransaction& tx, AttemptRow& attempt, AttemptEvent event,
                                 const std::string& reason, int64_t now) {
  const std::optional<AttemptStep> step = Step(attempt.state, event);
  if (!step.has_value()) return false;
  const AttemptRow before = attempt;
  int64_t score_age = 0;
  if (step->effects.start_clock || step->effects.score != AttemptScore::kNone) {
    ASSIGN_OR_RETURN(const RolloutRow rollout, RolloutTable(tx).Get(attempt.rollout));
    ASSIGN_OR_RETURN(const v1::RolloutSpec spec, ReadSpec(rollout));
    score_age = spec.score_age().seconds();
  }
  AttemptScore score = step->effects.score;
  if (attempt.state == AttemptState::kVerificationFailed && score == AttemptScore::kFail) {
    // What follows from it was decided when it failed; a gate must not decide it once more, later.
    ASSIGN_OR_RETURN(const RolloutRow rollout, RolloutTable(tx).Get(attempt.rollout));
    ASSIGN_OR_RETURN(const v1::RolloutSpec spec, ReadSpec(rollout));
    if (spec.on_verification_failure() != v1::SCORE) score = AttemptScore::kNone;
  }
  attempt.state = step->to;
  attempt.changed_at = now;
  // What failed first stays the reason when it is scored later.
  if (before.state != attempt.state || !reason.empty()) {
    attempt.reason = reason.empty() ? std::string(step->why) : reason;
  }
  if (step->effects.start_clock) attempt.score_at = now + score_age;
  if (step->effects.stop_clock) attempt.score_at = 0;
  if (step->effects.new_try) {
    attempt.tries += 1;
    attempt.score = AttemptScore::kNone;
    attempt.control_score = AttemptScore::kNone;
    attempt.order = {};
  }
  if (score != AttemptScore::kNone) {
    attempt.score = score;
    RETURN_IF_ERROR(RolloutTable(tx).TouchScored(attempt.rollout, attempt.ring, now));
    if (attempt.control != 0 && attempt.kind == AttemptKind::kForward) {
      ASSIGN_OR_RETURN(attempt.control_score, ScoreControl(tx, attempt, score_age, now));
    }
  }
  RETURN_IF_ERROR(AttemptTable(tx).Save(before, attempt));
  // A newer order, an operator, or the unit itself was quicker than its diagnostics.
  if (IsVerifying(before.state) && !IsVerifying(attempt.state)) {
    RETURN_IF_ERROR(
        DiagnosticRunTable(tx).ClosePending(attempt.run_id, RunState::kSuperseded, attempt.reason, now).status());
  }
  if (attempt.state == AttemptState::kPassed) {
    ASSIGN_OR_RETURN(const RolloutRow rollout, RolloutTable(tx).Get(attempt.rollout));
    RETURN_IF_ERROR(UnitTable(tx).SetGood(attempt.unit, rollout.planes, LeftBehind(attempt, rollout)));
  }
  RETURN_IF_ERROR(AuditVerification(tx, before, attempt, now));
  if (attempt.state == AttemptState::kFailed && before.state != AttemptState::kFailed) {
    tx.AfterCommit([attempt] {
      LogInfo("attempt failed", {{"correlation_id", CorrelationId(attempt.rollout, attempt.number)},
                                 {"rollout", absl::StrCat(attempt.rollout)},
                                 {"unit_number", absl::StrCat(attempt.unit)},
                                 {"reason", attempt.reason}});
    });
  }
  return true;
}

}  // namespace tandem::fleet
