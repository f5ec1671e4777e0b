// Orders forward: who may be ordered to a release now, and how many.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status.h"
#include "fleet/controller/applied_check.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/rollout_planes.h"
#include "fleet/controller/rollout_runner.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

// Of a unit, newest first: more rollouts than pass over one unit at a time.
constexpr int kAttemptsLookedAt = 20;
constexpr int64_t kMilli = 1000;

using Stops = std::vector<std::pair<int64_t, TargetExpression>>;

absl::StatusOr<Stops> StopsInForce(StoreTransaction& tx) {
  ASSIGN_OR_RETURN(const std::vector<StopRow> rows, StopTable(tx).List());
  Stops stops;
  for (const StopRow& row : rows) {
    ASSIGN_OR_RETURN(TargetExpression target,
                     Annotate(TargetExpression::Parse(row.target), absl::StrCat("stop ", row.number)));
    stops.emplace_back(row.number, std::move(target));
  }
  return stops;
}

// How many orders the rate allows now; what is not used adds up to one minute's worth.
int64_t RefillTokens(RolloutRow& rollout, double per_minute, int64_t now) {
  const auto burst = static_cast<int64_t>(std::max(1.0, per_minute) * kMilli);
  if (rollout.tokens_at == 0) {
    // The first one goes at once.
    rollout.tokens_milli = kMilli;
  } else {
    const auto gained = static_cast<int64_t>(static_cast<double>(now - rollout.tokens_at) * per_minute * kMilli / 60);
    if (gained == 0) return rollout.tokens_milli / kMilli;
    rollout.tokens_milli = std::min(burst, rollout.tokens_milli + gained);
  }
  rollout.tokens_at = now;
  return rollout.tokens_milli / kMilli;
}

}  // namespace

absl::StatusOr<int> RolloutRunner::GiveOrders(View& view, int64_t now, std::string& reason) {
  int given = 0;
  // A finished rollout is looked at for ever: for nothing it writes nothing.
  if (!view.queued) return given;
  RingCursors& cursors = cursors_[view.rollout.number];
  const RingCursors begin = cursors;
  RolloutRow saved;
  const absl::Status written = store_.Write("give orders", [&](StoreTransaction& tx) -> absl::Status {
    given = 0;
    cursors = begin;
    reason.clear();
    RolloutRow rollout = view.rollout;
    // An operator may have paused it since it was read.
    RETURN_IF_ERROR(RolloutTable(tx).Lock(rollout));
    AttemptTable attempts(tx);
    ASSIGN_OR_RETURN(const auto counts, Counters(tx, AllRingsCounterPrefix(rollout.number)));
    saved = rollout;
    const std::vector<int64_t> rings = QueuedRings(counts, rollout);
    if (rings.empty()) return absl::OkStatus();
    // Locked: after a failed verification nobody is ordered to it any more.
    ASSIGN_OR_RETURN(const ReleaseRow head, ReleaseTable(tx).Head(rollout.release, /*lock=*/true));
    if (head.frozen) {
      reason = absl::StrCat("release ", head.release_id, " is frozen: ", head.frozen_reason);
      return absl::OkStatus();
    }
    if (const absl::Status assignable = documents_.CheckAssignable(*view.release, now); !assignable.ok()) {
      reason = std::string(assignable.message());
      return absl::OkStatus();
    }
    if (!InWindow(view.spec, now)) {
      reason = "outside of the rollout's daily windows";
      return absl::OkStatus();
    }
    int64_t budget = kOrdersAtOnce;
    const auto limit = [&](int64_t room, const std::string& why) {
      if (room >= budget) return;
      budget = std::max<int64_t>(room, 0);
      reason = why;
    };
    if (view.spec.max_in_flight() != 0) {
      ASSIGN_OR_RETURN(const int64_t open, attempts.CountOpen(rollout.number));
      limit(view.spec.max_in_flight() - open,
            absl::StrCat(view.spec.max_in_flight(), " units are at it, the most at a time"));
    }
    if (view.spec.units_per_minute() > 0) {
      limit(RefillTokens(rollout, view.spec.units_per_minute(), now),
            absl::StrCat("at most ", view.spec.units_per_minute(), " units a minute"));
    }
    ASSIGN_OR_RETURN(const Stops stops, StopsInForce(tx));
    std::map<std::string, int> waiting;
    bool room_left = false;
    for (const int64_t ring : rings) {
      int64_t room = budget - given;
      if (const int64_t most = view.spec.rings(static_cast<int>(ring)).max_in_flight(); most != 0) {
        const int64_t free = std::max<int64_t>(most - InFlight(counts, absl::StrCat(ring, "/")), 0);
        if (free < room) reason = absl::StrCat(most, " units are at it, the most at a time in this ring");
        room = std::min(room, free);
      }
      if (room <= 0) continue;
      int64_t& cursor = cursors[ring];
      ASSIGN_OR_RETURN(const std::vector<AttemptRow> queued,
                       attempts.InState(rollout.number, ring, AttemptKind::kForward, AttemptState::kQueued, cursor,
                                        kMembersLookedAt));
      // From the beginning again: what waited there may wait no more.
      if (queued.size() < kMembersLookedAt) cursor = 0;
      int64_t of_ring = 0;
      for (const AttemptRow& attempt : queued) {
        if (of_ring >= room) break;
        if (queued.size() == kMembersLookedAt) cursor = attempt.number;
        ASSIGN_OR_RETURN(const bool ordered, OrderOne(tx, view, attempt, stops, now, waiting));
        of_ring += ordered ? 1 : 0;
      }
      if (of_ring > 0) cursor = 0;
      room_left = room_left || of_ring < room;
      given += static_cast<int>(of_ring);
    }
    if (view.spec.units_per_minute() > 0) rollout.tokens_milli -= given * kMilli;
    if (!waiting.empty() && room_left) {
      reason = absl::StrJoin(waiting, "; ", [](std::string* out, const auto& entry) {
        absl::StrAppend(out, entry.second, entry.second == 1 ? " unit " : " units ", entry.first);
      });
    }
    RETURN_IF_ERROR(RolloutTable(tx).SaveTokens(rollout));
    saved = rollout;
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  view.rollout = saved;
  return given;
}

absl::StatusOr<bool> RolloutRunner::OrderOne(StoreTransaction& tx, const View& view, AttemptRow attempt,
                                             const Stops& stops, int64_t now, std::map<std::string, int>& waiting) {
  UnitTable units(tx);
  AttemptTable attempts(tx);
  ASSIGN_OR_RETURN(const UnitRow before, units.Get(attempt.unit, /*lock=*/true));
  ASSIGN_OR_RETURN(const UnitRecord record, units.GetRecord(attempt.unit));
  const auto exclude = [&](const std::string& why) -> absl::StatusOr<bool> {
    RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kNotEligible, why, now).status());
    return false;
  };
  if (before.revoked) return exclude("the unit is revoked");
  if (!before.storm.empty() || !before.held.empty()) {
    ++waiting[before.storm.empty() ? "held back by an operator" : "stopped by the loop guard"];
    return false;
  }
  for (const auto& [number, target] : stops) {
    if (!target.Matches(record.attributes)) continue;
    ++waiting[absl::StrCat("held by stop ", number)];
    return false;
  }
  if (AllAt(before.runs, view.rollout.planes, view.rollout.release) &&
      AllAt(before.desired, view.rollout.planes, view.rollout.release)) {
    return exclude("it runs the release already");
  }
  unit::v1::Reported reported;
  ASSIGN_OR_RETURN(const std::string bytes, units.Reported(attempt.unit));
  if (!reported.ParseFromString(bytes)) {
    return absl::DataLossError(absl::StrCat("the stored report of unit ", before.unit_id, " cannot be read"));
  }
  const std::string& hardware = record.attributes.hardware.empty() ? reported.hardware() : record.attributes.hardware;
  if (const absl::Status eligible = CheckEligible(view.release->document, hardware, reported.components());
      !eligible.ok()) {
    return exclude(std::string(eligible.message()));
  }
  UnitRow unit = before;
  ASSIGN_OR_RETURN(const int64_t newer, NewerRollout(tx, view, attempt.unit));
  if (newer != 0) {
    RETURN_IF_ERROR(
        StepAttempt(tx, attempt, AttemptEvent::kSupersede, absl::StrCat("rollout ", newer, " is newer"), now).status());
    return false;
  }
  if (unit.attempt != 0) {
    ASSIGN_OR_RETURN(AttemptRow open, attempts.Get(unit.attempt, /*lock=*/true));
    if (IsOpen(open.state)) {
      ASSIGN_OR_RETURN(const RolloutRow other, RolloutTable(tx).Get(open.rollout));
      const bool same_planes = (other.planes & view.rollout.planes) != 0;
      if (!same_planes) {
        ++waiting[absl::StrCat("busy with rollout ", other.number)];
        return false;
      }
      RETURN_IF_ERROR(StepAttempt(tx, open, AttemptEvent::kSupersede,
                                  absl::StrCat("rollout ", view.rollout.number, " took its place"), now)
                          .status());
    }
  }
  const AttemptRow queued = attempt;
  attempt.good = unit.good;
  attempt.before = unit.desired;
  // What it runs without an order of ours counts as well.
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (attempt.before[plane] == 0) attempt.before[plane] = unit.runs[plane];
  }
  RETURN_IF_ERROR(orders_.Give(tx, unit,
                               {.planes = WithRelease(unit.desired, view.rollout.planes, view.rollout.release),
                                .spec = &view.spec,
                                .correlation_id = CorrelationId(view.rollout.number, attempt.number)},
                               now));
  attempt.sequence = unit.desired_sequence;
  RETURN_IF_ERROR(attempts.Save(queued, attempt));
  RETURN_IF_ERROR(StepAttempt(tx, attempt, OrderedEvent(unit), "", now).status());
  unit.attempt = attempt.number;
  RETURN_IF_ERROR(units.Save(before, unit));
  return true;
}

absl::StatusOr<int64_t> RolloutRunner::NewerRollout(StoreTransaction& tx, const View& view, int64_t unit) {
  ASSIGN_OR_RETURN(const std::vector<AttemptRow> attempts, AttemptTable(tx).OfUnit(unit, kAttemptsLookedAt));
  for (const AttemptRow& attempt : attempts) {
    if (attempt.rollout <= view.rollout.number || attempt.kind != AttemptKind::kForward) continue;
    if (!MayHaveRelease(attempt.state)) continue;
    ASSIGN_OR_RETURN(const RolloutRow other, RolloutTable(tx).Get(attempt.rollout));
    const bool taken_back = other.state == RolloutState::kAborting || other.state == RolloutState::kAborted;
    if ((other.planes & view.rollout.planes) != 0 && !taken_back) return other.number;
  }
  return 0;
}

}  // namespace tandem::fleet
