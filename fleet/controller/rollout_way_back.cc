// Orders back: a release that is taken back, and the rehearsal of it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/rollout_planes.h"
#include "fleet/controller/rollout_runner.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

constexpr char kWaysBack[] = "; ways back: ";

}  // namespace

absl::Status RolloutRunner::Rehearse(View& view, const v1::RingSpec& ring, int64_t now) {
  return store_.Write("rehearse a rollback", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(RolloutTable(tx).Lock(view.rollout));
    const int64_t rollout = view.rollout.number;
    const int64_t number = view.rollout.ring;
    AttemptTable attempts(tx);
    ASSIGN_OR_RETURN(const auto counts, Counters(tx, RingCounterPrefix(rollout, number)));
    // Back: the first that passed, and that have something to go back to.
    int64_t begun = 0;
    for (int state = 0; state < kAttemptStates; ++state) {
      begun += At(counts, absl::StrCat("rehearsal_back/", std::string(Name(static_cast<AttemptState>(state)))));
    }
    ASSIGN_OR_RETURN(
        const std::vector<AttemptRow> passed,
        attempts.InState(rollout, number, AttemptKind::kForward, AttemptState::kPassed, 0, kMembersLookedAt));
    for (const AttemptRow& attempt : passed) {
      if (begun >= ring.gate().rehearse_rollback()) break;
      ASSIGN_OR_RETURN(const std::optional<AttemptRow> newest, attempts.OfUnitInRollout(attempt.unit, rollout));
      if (!newest.has_value() || newest->number != attempt.number) continue;
      const bool has_previous = WithPlanes({}, view.rollout.planes, attempt.before) != PlaneReleases{};
      if (!has_previous || AllAt(attempt.before, view.rollout.planes, view.rollout.release)) continue;
      RETURN_IF_ERROR(OrderBack(tx, view, attempt, AttemptKind::kRehearsalBack, now).status());
      ++begun;
    }
    // And forward again: those that are back.
    ASSIGN_OR_RETURN(const std::vector<AttemptRow> back, attempts.InState(rollout, number, AttemptKind::kRehearsalBack,
                                                                          AttemptState::kApplied, 0, kMembersLookedAt));
    for (AttemptRow attempt : back) {
      RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kScoreTime, "back on the release before", now).status());
      RETURN_IF_ERROR(OrderBack(tx, view, attempt, AttemptKind::kRehearsalAgain, now).status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<bool> RolloutRunner::TakeBack(View& view, int64_t now) {
  std::vector<AttemptState> states = {AttemptState::kOffline, AttemptState::kAsked, AttemptState::kUpdating,
                                      AttemptState::kProvisional, AttemptState::kFailed,
                                      // The other plane's way back, say, ended the attempt, and not what was ordered.
                                      AttemptState::kSuperseded};
  if (view.rollout.on_abort == v1::TAKE_BACK) {
    states.push_back(AttemptState::kApplied);
    states.push_back(AttemptState::kPassed);
  }
  int64_t left = 0;
  // Not through all that are on their way back already, for each batch.
  const int64_t from = take_back_after_[view.rollout.number];
  int64_t last = 0;
  const absl::Status written = store_.Write("take a release back", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(RolloutTable(tx).Lock(view.rollout));
    AttemptTable attempts(tx);
    ASSIGN_OR_RETURN(const std::vector<AttemptRow> forward,
                     attempts.ToTakeBack(view.rollout.number, states, from, kOrdersAtOnce));
    left = static_cast<int64_t>(forward.size());
    for (const AttemptRow& attempt : forward) {
      last = attempt.number;
      ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(attempt.unit, /*lock=*/true));
      // A newer rollout has ordered it, elsewhere or to the same release again: there is nothing to take back.
      int64_t taken_back_by = unit.attempt;
      ASSIGN_OR_RETURN(const bool by_another, OrderedByAnother(tx, view, unit));
      if (AllAt(unit.desired, view.rollout.planes, view.rollout.release) && !by_another && !unit.revoked) {
        ASSIGN_OR_RETURN(taken_back_by, OrderBack(tx, view, attempt, AttemptKind::kRollback, now));
      }
      // Its own step in OrderBack() may have changed it.
      ASSIGN_OR_RETURN(const AttemptRow before, attempts.Get(attempt.number, /*lock=*/true));
      AttemptRow after = before;
      after.rolled_back_by = taken_back_by;
      RETURN_IF_ERROR(attempts.Save(before, after));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  take_back_after_[view.rollout.number] = left == 0 ? 0 : last;
  // Once more from the beginning, so that none was passed over.
  if (left != 0 || from != 0) return true;
  // Why it was aborted, which stays when it is over.
  const std::string cause = view.rollout.reason.substr(0, view.rollout.reason.find(kWaysBack));
  int64_t unpublished = 0;
  const absl::Status read = store_.Read("see whether the ways back are published", [&](StoreTransaction& tx) {
    return tx.sql.Query(
        "SELECT COUNT(*) FROM attempts JOIN publish_queue ON publish_queue.unit = attempts.unit WHERE rollout = ?1 AND "
        "kind = 3",
        {view.rollout.number}, [&](const SqlRow& row) { unpublished = row.Int(0); });
  });
  RETURN_IF_ERROR(read);
  if (unpublished != 0) {
    const std::string reason = absl::StrCat(cause, kWaysBack, unpublished, " to be published");
    if (reason == view.rollout.reason) return false;
    const absl::Status told = store_.Write("tell why an abort takes time", [&](StoreTransaction& tx) {
      return RolloutTable(tx).Tell(view.rollout, reason, now);
    });
    RETURN_IF_ERROR(told);
    return false;
  }
  const absl::Status written_2 = store_.Write("end an abort", [&](StoreTransaction& tx) {
    View copy = view;
    return Step(tx, copy, RolloutEvent::kTakenBack, cause, now);
  });
  RETURN_IF_ERROR(written_2);
  return true;
}

absl::StatusOr<int64_t> RolloutRunner::OrderBack(StoreTransaction& tx, const View& view, const AttemptRow& forward,
                                                 AttemptKind kind, int64_t now) {
  UnitTable units(tx);
  AttemptTable attempts(tx);
  ASSIGN_OR_RETURN(const UnitRow before, units.Get(forward.unit, /*lock=*/true));
  UnitRow unit = before;
  if (unit.attempt != 0) {
    ASSIGN_OR_RETURN(AttemptRow open, attempts.Get(unit.attempt, /*lock=*/true));
    RETURN_IF_ERROR(StepAttempt(tx, open, AttemptEvent::kSupersede,
                                kind == AttemptKind::kRollback ? "the release is taken back" : "rehearsal", now)
                        .status());
  }
  const bool again = kind == AttemptKind::kRehearsalAgain;
  AttemptRow attempt{.rollout = forward.rollout,
                     .ring = forward.ring,
                     .unit = forward.unit,
                     .kind = kind,
                     .tries = forward.tries,
                     .before = forward.before,
                     .created_at = now,
                     .changed_at = now};
  ASSIGN_OR_RETURN(const std::optional<int64_t> number, attempts.Add(attempt));
  if (!number.has_value()) {
    return absl::InternalError(absl::StrCat("unit ", unit.unit_id, " was ordered back already"));
  }
  attempt.number = *number;
  ASSIGN_OR_RETURN(const PlaneReleases back, WhereBack(tx, view, forward, now));
  const PlaneReleases planes = again ? WithRelease(unit.desired, view.rollout.planes, view.rollout.release)
                                     : WithPlanes(unit.desired, view.rollout.planes, back);
  // The conditions for going forward do not hold a unit from going back.
  RETURN_IF_ERROR(orders_.Give(tx, unit,
                               {.planes = planes,
                                .spec = again ? &view.spec : nullptr,
                                .rollback_of = again ? "" : view.release->digest,
                                .correlation_id = CorrelationId(view.rollout.number, attempt.number)},
                               now));
  const AttemptRow queued = attempt;
  attempt.sequence = unit.desired_sequence;
  RETURN_IF_ERROR(attempts.Save(queued, attempt));
  if (!again && back == PlaneReleases{}) {
    // What it has not begun it will not find any more; what it has, it keeps.
    const std::string why = forward.state == AttemptState::kOffline
                                ? "the order was taken away before the unit saw it"
                                : "nothing that it had before may be ordered: it keeps what it runs";
    RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kNotEligible, why, now).status());
  } else {
    RETURN_IF_ERROR(StepAttempt(tx, attempt, OrderedEvent(unit), "", now).status());
  }
  unit.attempt = attempt.number;
  RETURN_IF_ERROR(units.Save(before, unit));
  return attempt.number;
}

absl::StatusOr<PlaneReleases> RolloutRunner::WhereBack(StoreTransaction& tx, const View& view,
                                                       const AttemptRow& forward, int64_t now) {
  PlaneReleases back = WithPlanes({}, view.rollout.planes, forward.before);
  for (int64_t& release : back) {
    if (release == 0) continue;
    ASSIGN_OR_RETURN(const ReleaseRow head, ReleaseTable(tx).Head(release));
    ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> opened, documents_.Release(tx, release));
    // Units would refuse it, or nobody may have it any more.
    if (head.frozen || !documents_.CheckAssignable(*opened, now).ok()) release = 0;
  }
  return back;
}

absl::StatusOr<bool> RolloutRunner::OrderedByAnother(StoreTransaction& tx, const View& view, const UnitRow& unit) {
  if (unit.attempt == 0) return false;
  ASSIGN_OR_RETURN(const AttemptRow newest, AttemptTable(tx).Get(unit.attempt, /*lock=*/false));
  if (newest.rollout == view.rollout.number) return false;
  ASSIGN_OR_RETURN(const RolloutRow other, RolloutTable(tx).Get(newest.rollout));
  return (other.planes & view.rollout.planes) != 0;
}

}  // namespace tandem::fleet
