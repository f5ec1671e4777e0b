#include "fleet/controller/rollout_runner.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "fleet/controller/applied_check.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/ring_filler.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"
#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleet {
namespace {

// Orders, or ways back, in one transaction: about a tenth of a second.
constexpr int kBatch = 250;
// Members that are looked at for one batch, when many wait for something.
constexpr int kSearch = 1000;
// Of a unit, newest first: more rollouts than pass over one unit at a time.
constexpr int kAttemptsLookedAt = 20;
constexpr int64_t kMilli = 1000;
constexpr char kWaysBack[] = "; ways back: ";

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

int64_t At(const std::map<std::string, int64_t>& counts, const std::string& name) {
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : std::max<int64_t>(found->second, 0);
}

int64_t InFlight(const std::map<std::string, int64_t>& counts, const std::string& prefix = "") {
  return At(counts, prefix + "asked") + At(counts, prefix + "updating") + At(counts, prefix + "provisional");
}

// The rings up to the rollout's own whose units wait for their turn: an earlier one, when it was promoted before all of
// it had theirs, or when one of its units is tried again. `counts`: of all rings of the rollout.
std::vector<int64_t> QueuedRings(const std::map<std::string, int64_t>& counts, const RolloutRow& rollout) {
  std::vector<int64_t> rings;
  for (int64_t ring = 0; ring <= rollout.ring; ++ring) {
    if (At(counts, absl::StrCat(ring, "/queued")) != 0) rings.push_back(ring);
  }
  return rings;
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

// A unit that went without a goodbye is away as one that said it.
AttemptEvent OrderedEvent(const UnitRow& unit) {
  return unit.online && !unit.stale ? AttemptEvent::kOrdered : AttemptEvent::kOrderedOffline;
}

PlaneReleases WithPlanes(PlaneReleases planes, PlaneSet which, const PlaneReleases& from) {
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (Has(which, plane)) planes[plane] = from[plane];
  }
  return planes;
}

PlaneReleases WithRelease(PlaneReleases planes, PlaneSet which, int64_t release) {
  return WithPlanes(planes, which, {release, release, release});
}

bool AllAt(const PlaneReleases& planes, PlaneSet which, int64_t release) {
  return planes == WithRelease(planes, which, release);
}

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

absl::StatusOr<RingCounts> CountsOf(StoreTransaction& tx, const RolloutRow& rollout, const RingRow& ring, int64_t now) {
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
  result.failed = at("failed");
  result.controls = at("controls");
  result.pairs = {.n00 = at("pair/00"), .n01 = at("pair/01"), .n10 = at("pair/10"), .n11 = at("pair/11")};
  result.rehearsals_done = static_cast<uint32_t>(at("rehearsal_again/applied") + at("rehearsal_again/passed"));
  result.rehearsals_failed = static_cast<uint32_t>(at("rehearsal_again/failed") + at("rehearsal_back/failed"));
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
  } else if (event == RolloutEvent::kGateAbort) {
    ring_after.state = RingState::kAborted;
    ring_after.ended_at = now;
  }
  RETURN_IF_ERROR(table.SaveRing(ring, ring_after));
  if (step.effects.next_ring) after.ring += 1;
  if (event == RolloutEvent::kTakenBack) RETURN_IF_ERROR(table.Reinstate(before.number));
  if (step.effects.cancel_queued) {
    RETURN_IF_ERROR(CancelQueued(tx, before.number, view.spec.rings_size(), AttemptEvent::kCancel,
                                 absl::StrCat("the rollout ended: ", reason), now));
  }
  RETURN_IF_ERROR(table.Save(before, after));
  const bool bad = event == RolloutEvent::kGateAbort;
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
  } else {
    waits_for = "paused";
  }
  if (view.rollout.state == RolloutState::kComplete) return given != 0;
  const v1::RingSpec& ring = view.spec.rings(static_cast<int>(view.rollout.ring));
  if (ring.gate().rehearse_rollback() != 0 && !view.rollout.paused) RETURN_IF_ERROR(Rehearse(view, ring, now));
  ASSIGN_OR_RETURN(const bool decided, DecideGate(view, waits_for, now));
  return decided || given != 0;
}

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
    ASSIGN_OR_RETURN(const ReleaseRow head, ReleaseTable(tx).Head(rollout.release));
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
    int64_t budget = kBatch;
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
      ASSIGN_OR_RETURN(
          const std::vector<AttemptRow> queued,
          attempts.InState(rollout.number, ring, AttemptKind::kForward, AttemptState::kQueued, cursor, kSearch));
      // From the beginning again: what waited there may wait no more.
      if (queued.size() < kSearch) cursor = 0;
      int64_t of_ring = 0;
      for (const AttemptRow& attempt : queued) {
        if (of_ring >= room) break;
        if (queued.size() == kSearch) cursor = attempt.number;
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
    ASSIGN_OR_RETURN(const std::vector<AttemptRow> passed,
                     attempts.InState(rollout, number, AttemptKind::kForward, AttemptState::kPassed, 0, kSearch));
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
                                                                          AttemptState::kApplied, 0, kSearch));
    for (AttemptRow attempt : back) {
      RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kScoreTime, "back on the release before", now).status());
      RETURN_IF_ERROR(OrderBack(tx, view, attempt, AttemptKind::kRehearsalAgain, now).status());
    }
    return absl::OkStatus();
  });
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
    ASSIGN_OR_RETURN(const RingCounts counts, CountsOf(tx, view.rollout, finding.ring, now));
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
    finding.reason = decision.reason;
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
    ASSIGN_OR_RETURN(const int64_t failed, Counter(tx, RingCounterPrefix(view.rollout.number, ring) + "failed"));
    if (failed < policy.failure_threshold) continue;
    return absl::StrCat("ring ", view.spec.rings(ring).name(), ", promoted before, has ", failed,
                        failed == 1 ? " failed unit by now; " : " failed units by now; ", policy.failure_threshold,
                        " aborts");
  }
  return std::string();
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

absl::StatusOr<bool> RolloutRunner::OrderedByAnother(StoreTransaction& tx, const View& view, const UnitRow& unit) {
  if (unit.attempt == 0) return false;
  ASSIGN_OR_RETURN(const AttemptRow newest, AttemptTable(tx).Get(unit.attempt, /*lock=*/false));
  if (newest.rollout == view.rollout.number) return false;
  ASSIGN_OR_RETURN(const RolloutRow other, RolloutTable(tx).Get(newest.rollout));
  return (other.planes & view.rollout.planes) != 0;
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
                     attempts.ToTakeBack(view.rollout.number, states, from, kBatch));
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
      attempt.score_at = 0;
      RETURN_IF_ERROR(AttemptTable(tx).Save(before, attempt));
    }
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(written);
  return scored;
}

}  // namespace tandem::fleet
