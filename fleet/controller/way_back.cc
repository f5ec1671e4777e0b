#include "fleet/controller/way_back.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/rollout_planes.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {

absl::StatusOr<bool> WayBack::MayBeOrdered(StoreTransaction& tx, int64_t release, int64_t now) {
  if (release == 0) return false;
  ASSIGN_OR_RETURN(const ReleaseRow head, ReleaseTable(tx).Head(release));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> opened, documents_.Release(tx, release));
  // Units would refuse it, or nobody may have it any more.
  return !head.frozen && head.verdict != ReleaseVerdict::kFailed && documents_.CheckAssignable(*opened, now).ok();
}

absl::StatusOr<PlaneReleases> WayBack::Where(StoreTransaction& tx, const AttemptRow& forward, int64_t release,
                                             PlaneSet planes, int64_t now) {
  PlaneReleases back{};
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (!Has(planes, plane)) continue;
    for (const int64_t candidate : {forward.good[plane], forward.before[plane]}) {
      if (candidate == release) continue;
      ASSIGN_OR_RETURN(const bool may, MayBeOrdered(tx, candidate, now));
      if (!may) continue;
      back[plane] = candidate;
      break;
    }
  }
  return back;
}

absl::StatusOr<int64_t> WayBack::Order(StoreTransaction& tx, const Request& request, int64_t now) {
  const AttemptRow& forward = request.forward;
  UnitTable units(tx);
  AttemptTable attempts(tx);
  ASSIGN_OR_RETURN(const UnitRow before, units.Get(forward.unit, /*lock=*/true));
  UnitRow unit = before;
  if (unit.attempt != 0) {
    ASSIGN_OR_RETURN(AttemptRow open, attempts.Get(unit.attempt, /*lock=*/true));
    RETURN_IF_ERROR(StepAttempt(tx, open, AttemptEvent::kSupersede, request.why, now).status());
  }
  const bool again = request.kind == AttemptKind::kRehearsalAgain;
  AttemptRow attempt{.rollout = forward.rollout,
                     .ring = forward.ring,
                     .unit = forward.unit,
                     .kind = request.kind,
                     .tries = forward.tries,
                     .before = forward.before,
                     .created_at = now,
                     .changed_at = now,
                     .good = forward.good};
  ASSIGN_OR_RETURN(const std::optional<int64_t> number, attempts.Add(attempt));
  if (!number.has_value()) {
    return absl::InternalError(absl::StrCat("unit ", unit.unit_id, " was ordered back already"));
  }
  attempt.number = *number;
  ASSIGN_OR_RETURN(const PlaneReleases back, Where(tx, forward, request.rollout.release, request.planes, now));
  const PlaneReleases planes = again ? WithRelease(unit.desired, request.planes, request.rollout.release)
                                     : WithPlanes(unit.desired, request.planes, back);
  // The conditions for going forward do not hold a unit from going back.
  RETURN_IF_ERROR(orders_.Give(tx, unit,
                               {.planes = planes,
                                .spec = again ? &request.spec : nullptr,
                                .rollback_of = again ? "" : request.release.digest,
                                .correlation_id = CorrelationId(forward.rollout, attempt.number)},
                               now));
  const AttemptRow queued = attempt;
  attempt.sequence = unit.desired_sequence;
  RETURN_IF_ERROR(attempts.Save(queued, attempt));
  const bool nowhere = !again && back == PlaneReleases{};
  if (nowhere) {
    // What it has not begun it will not find any more; what it has, it keeps.
    const std::string reason = forward.state == AttemptState::kOffline
                                   ? "the order was taken away before the unit saw it"
                                   : "nothing that it had before may be ordered: it keeps what it runs";
    RETURN_IF_ERROR(StepAttempt(tx, attempt, AttemptEvent::kNotEligible, reason, now).status());
  } else {
    RETURN_IF_ERROR(StepAttempt(tx, attempt, OrderedEvent(unit), "", now).status());
  }
  unit.attempt = attempt.number;
  RETURN_IF_ERROR(units.Save(before, unit));
  std::vector<std::string> kept;
  for (int plane = 0; plane < kPlanes && !again; ++plane) {
    if (Has(request.planes, plane) && back[plane] == 0) kept.emplace_back(kPlaneNames[plane]);
  }
  if (request.automatic && !nowhere && !kept.empty()) {
    RETURN_IF_ERROR(Audit(tx, {.at = now,
                               .actor = kControllerActor,
                               .event = "unit.release.no_predecessor",
                               .severity = 3,
                               .object = absl::StrCat("unit/", unit.unit_id),
                               .old_value = AuditJson({{"release", request.release.row.release_id}}),
                               .new_value = AuditJson({{"planes", absl::StrJoin(kept, ", ")},
                                                       {"attempt", absl::StrCat(attempt.number)}})}));
  }
  if (request.automatic) {
    RETURN_IF_ERROR(Audit(tx, {.at = now,
                               .actor = kControllerActor,
                               .event = nowhere ? "unit.release.no_predecessor" : "unit.release.auto_rolled_back",
                               .severity = 3,
                               .object = absl::StrCat("unit/", unit.unit_id),
                               .old_value = AuditJson({{"release", request.release.row.release_id}}),
                               .new_value = AuditJson({{"rollout", absl::StrCat(forward.rollout)},
                                                       {"attempt", absl::StrCat(attempt.number)},
                                                       {"takes_back", absl::StrCat(forward.number)},
                                                       {"reason", request.why}})}));
  }
  return attempt.number;
}

}  // namespace tandem::fleet
