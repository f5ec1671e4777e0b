// What follows when a unit fails its diagnostics: the release's verdict, the storm guard, and the ways back.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/rollout_planes.h"
#include "fleet/controller/rollout_runner.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "fleet/store/verification_table.h"

namespace tandem::fleet {
namespace {

std::string TimeText(int64_t time) {
  return absl::FormatTime("%Y-%m-%d %H:%M UTC", absl::FromUnixSeconds(time), absl::UTCTimeZone());
}

std::string WhyOff(const StormGuard& guard) {
  if (!guard.switched_on) return "automatic rollback is switched off";
  return absl::StrCat("the storm guard has switched automatic rollback off until ", TimeText(guard.disabled_until));
}

absl::Status AuditStorm(StoreTransaction& tx, const StormGuard& guard, int64_t now) {
  return Audit(tx, {.at = now,
                    .actor = kControllerActor,
                    .event = "project.auto_rollback.storm_disabled",
                    .severity = 3,
                    .object = "project",
                    .old_value = AuditJson({{"auto_rollback", "on"}}),
                    .new_value = AuditJson({{"auto_rollback", "off"},
                                            {"verification_storm_disabled_until", TimeText(guard.disabled_until)},
                                            {"failures_in_a_row", absl::StrCat(guard.streak.size())}})});
}

}  // namespace

absl::StatusOr<bool> RolloutRunner::LookAtFailures(int64_t now, int limit) {
  std::vector<int64_t> failures;
  const absl::Status read = store_.Read("look for failed verifications", [&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(failures, VerificationFailureTable(tx).List(limit));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  bool acted = false;
  absl::Status failed;
  for (const int64_t number : failures) {
    const absl::Status written = store_.Write("act upon a failed verification",
                                              [&](StoreTransaction& tx) { return ActUponFailure(tx, number, now); });
    acted = acted || written.ok();
    // The others must not wait for it.
    failed.Update(Annotate(written, absl::StrCat("attempt ", number)));
  }
  if (!acted) RETURN_IF_ERROR(failed);
  return acted;
}

absl::Status RolloutRunner::ActUponFailure(StoreTransaction& tx, int64_t number, int64_t now) {
  RETURN_IF_ERROR(VerificationFailureTable(tx).Remove(number));
  AttemptTable attempts(tx);
  ASSIGN_OR_RETURN(const AttemptRow seen, attempts.Get(number, /*lock=*/false));
  View view;
  ASSIGN_OR_RETURN(view.rollout, RolloutTable(tx).Get(seen.rollout));
  ASSIGN_OR_RETURN(view.spec, ReadSpec(view.rollout));
  ASSIGN_OR_RETURN(view.release, documents_.Release(tx, view.rollout.release));
  // Whatever became of the attempt since, such as a retry: it has failed.
  if (IsRollback(seen.kind)) return OrderNextRung(tx, view, seen, now);
  // A rehearsal's way back tells of the release before; its ring's gate looks at it.
  if (seen.kind == AttemptKind::kRehearsalBack) return absl::OkStatus();
  return FailRelease(tx, view, seen, now);
}

absl::Status RolloutRunner::OrderNextRung(StoreTransaction& tx, const View& view, const AttemptRow& back, int64_t now) {
  AttemptTable attempts(tx);
  ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(back.unit, /*lock=*/true));
  ASSIGN_OR_RETURN(const std::optional<AttemptRow> forward,
                   attempts.Find(back.rollout, back.unit, AttemptKind::kForward, back.tries));
  // Somebody has ordered it elsewhere meanwhile.
  if (unit.attempt != back.number || !forward.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const StormGuard guard, StormGuardTable(tx, options_.auto_rollback).Get(/*lock=*/false));
  // It stays on the rung it is on, and an operator decides.
  if (!MayRollBack(guard, now)) return absl::OkStatus();
  const std::vector<uint32_t> ladder = LadderOf(view.release->document, view.rollout.planes);
  const size_t rung = RungOf(back.kind) + 1;
  if (rung >= ladder.size()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t number, way_back_.Order(tx,
                                                         {.rollout = view.rollout,
                                                          .spec = view.spec,
                                                          .release = *view.release,
                                                          .forward = *forward,
                                                          .kind = KindOfRung(rung),
                                                          .planes = static_cast<PlaneSet>(ladder[rung]),
                                                          .automatic = true,
                                                          .why = "what went back so far did not help"},
                                                         now));
  ASSIGN_OR_RETURN(const AttemptRow before, attempts.Get(back.number, /*lock=*/true));
  AttemptRow after = before;
  after.rolled_back_by = number;
  return attempts.Save(before, after);
}

absl::Status RolloutRunner::FailRelease(StoreTransaction& tx, const View& view, const AttemptRow& failed, int64_t now) {
  ReleaseTable releases(tx);
  // Rollouts first, then their release: as those who give orders do.
  ASSIGN_OR_RETURN(const std::vector<RolloutRow> rollouts, RolloutTable(tx).OfRelease(view.rollout.release));
  for (const RolloutRow& rollout : rollouts) RETURN_IF_ERROR(RolloutTable(tx).Lock(rollout));
  // From here on nobody orders a unit to it: who does locks the same row.
  ASSIGN_OR_RETURN(ReleaseRow release, releases.Head(view.rollout.release, /*lock=*/true));
  // It goes back from everybody already.
  if (release.auto_rolled_back) return absl::OkStatus();
  const bool first = release.verdict != ReleaseVerdict::kFailed;
  ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(failed.unit, /*lock=*/false));
  const ReleaseVerdict before = release.verdict;
  if (first) {
    release.verdict = ReleaseVerdict::kFailed;
    release.failed_at = now;
    release.failed_unit = failed.unit;
    release.failed_reason = failed.reason;
  }
  const bool scored = view.spec.on_verification_failure() == v1::SCORE;
  StormGuardTable guards(tx, options_.auto_rollback);
  ASSIGN_OR_RETURN(const StormGuard guard, guards.Get(/*lock=*/true));
  const StormStep step = first ? AfterFailure(guard, release.number, now) : StormStep{.guard = AfterTime(guard, now)};
  RETURN_IF_ERROR(guards.Save(guard, step.guard));
  if (step.tripped) RETURN_IF_ERROR(AuditStorm(tx, step.guard, now));
  release.auto_rolled_back = !scored && MayRollBack(step.guard, now);
  RETURN_IF_ERROR(releases.SaveVerdict(release));
  const std::string why = absl::StrCat("unit ", unit.unit_id, " failed its verification: ", failed.reason);
  if (first || release.auto_rolled_back)
    RETURN_IF_ERROR(
        Audit(tx, {.at = now,
                   .actor = kControllerActor,
                   .event = "release.verification_failed",
                   .severity = 3,
                   .object = absl::StrCat("release/", release.release_id),
                   .old_value = AuditJson({{"verified", before == ReleaseVerdict::kVerified ? "true" : "false"}}),
                   .new_value = AuditJson({{"digest", release.digest},
                                           {"automatic_rollback", release.auto_rolled_back ? "true" : "false"},
                                           {"reason", why}})}));
  if (scored) return absl::OkStatus();
  if (release.auto_rolled_back) {
    RETURN_IF_ERROR(releases.SetFrozen(release.number, true, why));
    return StepAll(tx, rollouts, RolloutEvent::kVerificationFailed, why, now);
  }
  return StepAll(tx, rollouts, RolloutEvent::kPause,
                 absl::StrCat(why, "; nothing goes back by itself: ", WhyOff(step.guard),
                              ". Abort takes the release back, resume goes on"),
                 now);
}

absl::Status RolloutRunner::StepAll(StoreTransaction& tx, const std::vector<RolloutRow>& rollouts, RolloutEvent event,
                                    const std::string& reason, int64_t now) {
  for (const RolloutRow& rollout : rollouts) {
    const RolloutCondition condition{.state = rollout.state, .paused = rollout.paused};
    if (!fleet::Step(condition, event).ok()) continue;
    const bool ended = rollout.state == RolloutState::kAborting || rollout.state == RolloutState::kAborted;
    // Its units go back already, or are back.
    if (ended && rollout.on_abort == v1::TAKE_BACK) continue;
    View view{.rollout = rollout};
    ASSIGN_OR_RETURN(view.spec, ReadSpec(rollout));
    RETURN_IF_ERROR(Step(tx, view, event, reason, now));
  }
  return absl::OkStatus();
}

absl::Status RolloutRunner::NoteVerified(StoreTransaction& tx, const View& view, int64_t now) {
  if (view.verified == 0 || view.verifying != 0 || view.verification_failed != 0) return absl::OkStatus();
  ReleaseTable releases(tx);
  ASSIGN_OR_RETURN(ReleaseRow release, releases.Head(view.rollout.release, /*lock=*/true));
  if (release.verdict != ReleaseVerdict::kNone) return absl::OkStatus();
  release.verdict = ReleaseVerdict::kVerified;
  RETURN_IF_ERROR(releases.SaveVerdict(release));
  StormGuardTable guards(tx, options_.auto_rollback);
  ASSIGN_OR_RETURN(const StormGuard guard, guards.Get(/*lock=*/true));
  RETURN_IF_ERROR(guards.Save(guard, AfterForwardVerified(guard)));
  return Audit(tx, {.at = now,
                    .actor = kControllerActor,
                    .event = "release.verified",
                    .object = absl::StrCat("release/", release.release_id),
                    .new_value = AuditJson({{"digest", release.digest},
                                            {"units", absl::StrCat(view.verified)},
                                            {"failures_in_a_row_before", absl::StrCat(guard.streak.size())}})});
}

}  // namespace tandem::fleet
