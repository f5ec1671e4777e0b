#include "fleet/controller/attempt_step.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"

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

}  // namespace

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
  if (step->effects.score != AttemptScore::kNone) {
    attempt.score = step->effects.score;
    RETURN_IF_ERROR(RolloutTable(tx).TouchScored(attempt.rollout, attempt.ring, now));
    if (attempt.control != 0 && attempt.kind == AttemptKind::kForward) {
      ASSIGN_OR_RETURN(attempt.control_score, ScoreControl(tx, attempt, score_age, now));
    }
  }
  RETURN_IF_ERROR(AttemptTable(tx).Save(before, attempt));
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
