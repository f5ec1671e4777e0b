// Orders back: a release that is taken back, and the rehearsal of it.
#include <algorithm>
#include <map>
#include <string>
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

// Of the rollout's current ring, oldest first in each state.
absl::StatusOr<std::vector<AttemptRow>> InStates(AttemptTable& attempts, const RolloutRow& rollout, AttemptKind kind,
                                                 std::initializer_list<AttemptState> states) {
  std::vector<AttemptRow> found;
  for (const AttemptState state : states) {
    ASSIGN_OR_RETURN(const std::vector<AttemptRow> some,
                     attempts.InState(rollout.number, rollout.ring, kind, state, 0, kMembersLookedAt));
    found.insert(found.end(), some.begin(), some.end());
  }
  return found;
}

}  // namespace

PlaneSet RolloutRunner::PlanesToTakeBack(const View& view, const AttemptRow& attempt, const UnitRow& unit,
                                         bool by_itself) {
  PlaneSet at = 0;
  for (int plane = 0; plane < kPlanes; ++plane) {
    const bool has = Has(view.rollout.planes, plane) && unit.desired[plane] == view.rollout.release;
    if (has) at |= PlaneSet{1} << plane;
  }
  // Only a unit that has committed the release can climb: any other would be ordered to the rest of it for the first
  // time, or once more.
  const bool committed = attempt.state == AttemptState::kApplied || attempt.state == AttemptState::kPassed ||
                         attempt.state == AttemptState::kVerifying || attempt.state == AttemptState::kVerified ||
                         attempt.state == AttemptState::kVerificationFailed;
  if (!by_itself || !committed || view.spec.commit_on() == release::v1::VERIFIED) return at;
  const auto first = static_cast<PlaneSet>(LadderOf(view.release->document, view.rollout.planes).front());
  return (first & at) == 0 ? at : first & at;
}

absl::Status RolloutRunner::Rehearse(View& view, const v1::RingSpec& ring, int64_t now) {
  return store_.Write("rehearse a rollback", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(RolloutTable(tx).Lock(view.rollout));
    const int64_t rollout = view.rollout.number;
    const int64_t number = view.rollout.ring;
    AttemptTable attempts(tx);
    const auto rehearse = [&](const AttemptRow& attempt, AttemptKind kind) {
      return way_back_.Order(tx,
                             {.rollout = view.rollout,
                              .spec = view.spec,
                              .release = *view.release,
                              .forward = attempt,
                              .kind = kind,
                              .planes = view.rollout.planes,
                              .why = "rehearsal"},
                             now);
    };
    ASSIGN_OR_RETURN(const auto counts, Counters(tx, RingCounterPrefix(rollout, number)));
    // Back: the first that passed, and that have something to go back to.
    int64_t begun = 0;
    for (int state = 0; state < kAttemptStates; ++state) {
      begun += At(counts, absl::StrCat("rehearsal_back/", std::string(Name(static_cast<AttemptState>(state)))));
    }
    ASSIGN_OR_RETURN(const std::vector<AttemptRow> passed, InStates(attempts, view.rollout, AttemptKind::kForward,
                                                                    {AttemptState::kPassed, AttemptState::kVerified}));
    for (const AttemptRow& attempt : passed) {
      if (begun >= ring.gate().rehearse_rollback()) break;
      // Verified, and not at its age yet.
      if (attempt.score != AttemptScore::kPass) continue;
      ASSIGN_OR_RETURN(const std::optional<AttemptRow> newest, attempts.OfUnitInRollout(attempt.unit, rollout));
      if (!newest.has_value() || newest->number != attempt.number) continue;
      const bool has_previous = WithPlanes({}, view.rollout.planes, attempt.before) != PlaneReleases{};
      if (!has_previous || AllAt(attempt.before, view.rollout.planes, view.rollout.release)) continue;
      RETURN_IF_ERROR(rehearse(attempt, AttemptKind::kRehearsalBack).status());
      ++begun;
    }
    // And forward again: those that are back.
    ASSIGN_OR_RETURN(const std::vector<AttemptRow> back, InStates(attempts, view.rollout, AttemptKind::kRehearsalBack,
                                                                  {AttemptState::kApplied, AttemptState::kVerified}));
    for (AttemptRow attempt : back) {
      // It has a score: it went forward again already.
      if (attempt.score != AttemptScore::kNone) continue;
      RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kScoreTime, "back on the release before", now).status());
      RETURN_IF_ERROR(rehearse(attempt, AttemptKind::kRehearsalAgain).status());
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<bool> RolloutRunner::TakeBack(View& view, int64_t now) {
  std::vector<AttemptState> states = {AttemptState::kOffline, AttemptState::kAsked, AttemptState::kUpdating,
                                      AttemptState::kProvisional, AttemptState::kVerifying,
                                      AttemptState::kVerifyingTrial, AttemptState::kCleared,
                                      AttemptState::kVerificationFailed, AttemptState::kFailed,
                                      // The other plane's way back, say, ended the attempt, and not what was ordered.
                                      AttemptState::kSuperseded,
                                      // To be tried again, when the rollout ended.
                                      AttemptState::kCancelled, AttemptState::kExcluded};
  if (view.rollout.on_abort == v1::TAKE_BACK) {
    states.push_back(AttemptState::kApplied);
    states.push_back(AttemptState::kPassed);
    states.push_back(AttemptState::kVerified);
  }
  int64_t left = 0;
  // Not through all that are on their way back already, for each batch.
  const int64_t from = take_back_after_[view.rollout.number];
  int64_t last = 0;
  const absl::Status written = store_.Write("take a release back", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(RolloutTable(tx).Lock(view.rollout));
    AttemptTable attempts(tx);
    ASSIGN_OR_RETURN(const ReleaseRow release, ReleaseTable(tx).Head(view.rollout.release));
    ASSIGN_OR_RETURN(const std::vector<AttemptRow> forward,
                     attempts.ToTakeBack(view.rollout.number, states, from, kOrdersAtOnce));
    left = static_cast<int64_t>(forward.size());
    // Units are locked in the order of their ids, as those who take messages do.
    std::map<std::string, const AttemptRow*> by_unit;
    for (const AttemptRow& attempt : forward) {
      last = attempt.number;
      ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(attempt.unit, /*lock=*/false));
      by_unit[unit.unit_id] = &attempt;
    }
    for (const auto& [unit_id, attempt_of] : by_unit) {
      const AttemptRow& attempt = *attempt_of;
      ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(attempt.unit, /*lock=*/true));
      // A newer rollout has ordered it, elsewhere or to the same release again: there is nothing to take back.
      int64_t taken_back_by = unit.attempt;
      ASSIGN_OR_RETURN(const bool by_another, OrderedByAnother(tx, view, unit));
      const PlaneSet planes = PlanesToTakeBack(view, attempt, unit, release.auto_rolled_back);
      if (planes != 0 && !by_another && !unit.revoked) {
        ASSIGN_OR_RETURN(taken_back_by, way_back_.Order(tx,
                                                        {.rollout = view.rollout,
                                                         .spec = view.spec,
                                                         .release = *view.release,
                                                         .forward = attempt,
                                                         .planes = planes,
                                                         .automatic = release.auto_rolled_back,
                                                         .why = "the release is taken back"},
                                                        now));
      }
      // Its own step on the way back may have changed it.
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
        "kind >= 3",
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

absl::StatusOr<bool> RolloutRunner::OrderedByAnother(StoreTransaction& tx, const View& view, const UnitRow& unit) {
  if (unit.attempt == 0) return false;
  ASSIGN_OR_RETURN(const AttemptRow newest, AttemptTable(tx).Get(unit.attempt, /*lock=*/false));
  if (newest.rollout == view.rollout.number || newest.rolled_back_by != 0) return false;
  const bool goes_forward = newest.kind == AttemptKind::kForward || newest.kind == AttemptKind::kRehearsalAgain;
  ASSIGN_OR_RETURN(const RolloutRow other, RolloutTable(tx).Get(newest.rollout));
  return goes_forward && other.release == view.rollout.release;
}

}  // namespace tandem::fleet
