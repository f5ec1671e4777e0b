#include "fleet/controller/rollout_operations.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "fleet/controller/attempt_step.h"
#include "fleet/controller/audit.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

constexpr int kPage = 1000;

std::string StateText(const RolloutRow& rollout) {
  return absl::StrCat(std::string(Name(rollout.state)), rollout.paused ? ", paused" : "");
}

// Whether the targets of two rollouts share a unit. Stops at the first.
absl::StatusOr<bool> Overlap(StoreTransaction& tx, const v1::RolloutSpec& a, const v1::RolloutSpec& b) {
  ASSIGN_OR_RETURN(const TargetExpression one, TargetExpression::Parse(a.target()));
  ASSIGN_OR_RETURN(const TargetExpression other, TargetExpression::Parse(b.target()));
  UnitTable units(tx);
  bool shared = one.text() == other.text();
  int64_t after = 0;
  for (bool more = true; more && !shared;) {
    more = false;
    RETURN_IF_ERROR(units.Scan(after, kPage, [&](UnitRecord&& unit) {
      more = true;
      after = unit.row.number;
      shared = shared || (one.Matches(unit.attributes) && other.Matches(unit.attributes));
    }));
  }
  return shared;
}

void SetSeconds(google::protobuf::Timestamp* timestamp, int64_t seconds) {
  if (seconds != 0) timestamp->set_seconds(seconds);
}

std::string_view RingStateName(const RolloutRow& rollout, const RingRow& ring) {
  switch (ring.state) {
    case RingState::kPending:
      return ring.ring == rollout.ring && rollout.state == RolloutState::kFilling ? "filling" : "pending";
    case RingState::kFilling:
      return "filling";
    case RingState::kRolling:
      return "rolling";
    case RingState::kPromoted:
      return "promoted";
    case RingState::kAborted:
      return "aborted";
  }
  return "?";
}

}  // namespace

absl::Status CancelQueued(StoreTransaction& tx, int64_t rollout, int rings, AttemptEvent event,
                          const std::string& reason, int64_t now) {
  const std::optional<AttemptStep> step = Step(AttemptState::kQueued, event);
  if (!step.has_value()) return absl::InternalError("queued attempts cannot be ended by this");
  return AttemptTable(tx).CloseQueued(rollout, rings, step->to, reason, now);
}

absl::StatusOr<int64_t> RolloutOperations::Create(StoreTransaction& tx, const v1::RolloutSpec& asked,
                                                  const std::string& actor, int64_t now) {
  ASSIGN_OR_RETURN(v1::RolloutSpec spec, CompleteSpec(asked));
  RETURN_IF_ERROR(documents_.Refresh(tx));
  ASSIGN_OR_RETURN(const ReleaseRow release, ReleaseTable(tx).Find(spec.release()));
  if (release.frozen) {
    return absl::FailedPreconditionError(
        absl::StrCat("release ", release.release_id, " is frozen: ", release.frozen_reason));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> opened, documents_.Release(tx, release.number));
  RETURN_IF_ERROR(documents_.CheckAssignable(*opened, now));
  if (spec.base_urls().empty() && release.base_urls.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("nobody says where the artifacts of ", release.release_id,
                                                      " are: give base_urls here, or import the release with them"));
  }
  spec.set_release(release.digest);
  RolloutTable table(tx);
  ASSIGN_OR_RETURN(const int64_t number, table.Create({.spec = spec.SerializeAsString(),
                                                       .release = release.number,
                                                       .planes = release.planes,
                                                       .on_abort = spec.on_abort(),
                                                       .created_at = now,
                                                       .created_by = actor},
                                                      spec.rings_size()));
  RETURN_IF_ERROR(Audit(tx, {.at = now,
                             .actor = actor,
                             .event = "rollout.created",
                             .object = absl::StrCat("rollout/", number),
                             .new_value = AuditJson({{"name", spec.name()},
                                                     {"release", release.release_id},
                                                     {"digest", release.digest},
                                                     {"target", spec.target()}})}));
  RETURN_IF_ERROR(SupersedeOlder(tx, number, spec, release.planes, now));
  return number;
}

absl::Status RolloutOperations::SupersedeOlder(StoreTransaction& tx, int64_t number, const v1::RolloutSpec& spec,
                                               PlaneSet planes, int64_t now) {
  RolloutTable table(tx);
  ASSIGN_OR_RETURN(const std::vector<RolloutRow> active, table.Active());
  for (const RolloutRow& older : active) {
    if (older.number == number || (older.planes & planes) == 0 || older.state == RolloutState::kAborting) continue;
    ASSIGN_OR_RETURN(const v1::RolloutSpec older_spec, ReadSpec(older));
    ASSIGN_OR_RETURN(const bool overlap, Overlap(tx, spec, older_spec));
    if (!overlap) continue;
    ASSIGN_OR_RETURN(const RolloutStep step,
                     Step({.state = older.state, .paused = older.paused}, RolloutEvent::kSupersede));
    RolloutRow after = older;
    after.state = step.to;
    after.superseded_by = number;
    after.changed_at = now;
    after.reason = absl::StrCat("rollout ", number, " took its place");
    if (older.state == RolloutState::kComplete) after.reason = older.reason;
    RETURN_IF_ERROR(CancelQueued(tx, older.number, older_spec.rings_size(), AttemptEvent::kSupersede,
                                 absl::StrCat("rollout ", number, " took its place"), now));
    RETURN_IF_ERROR(table.Save(older, after));
    RETURN_IF_ERROR(Audit(tx, {.at = now,
                               .actor = kControllerActor,
                               .event = "rollout.superseded",
                               .object = absl::StrCat("rollout/", older.number),
                               .old_value = AuditJson({{"state", StateText(older)}}),
                               .new_value = AuditJson({{"superseded_by", absl::StrCat(number)}})}));
  }
  return absl::OkStatus();
}

absl::Status RolloutOperations::Change(StoreTransaction& tx, const v1::ChangeRolloutRequest& request,
                                       const std::string& actor, int64_t now) {
  const std::optional<RolloutEvent> verb = ParseVerb(request.verb());
  if (!verb.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", request.verb(), "\" is no verb: pause, resume, promote, retry or abort"));
  }
  RolloutTable table(tx);
  ASSIGN_OR_RETURN(const RolloutRow before, table.Get(static_cast<int64_t>(request.id())));
  if (request.has_revision() && static_cast<int64_t>(request.revision()) != before.revision) {
    return absl::AbortedError(absl::StrCat("rollout ", before.number, " is ", StateText(before), " at revision ",
                                           before.revision, ", not ", request.revision(),
                                           ": somebody else changed it; look again"));
  }
  ASSIGN_OR_RETURN(const v1::RolloutSpec spec, ReadSpec(before));
  ASSIGN_OR_RETURN(
      const RolloutStep step,
      Annotate(Step({.state = before.state, .paused = before.paused, .last_ring = before.ring + 1 == spec.rings_size()},
                    *verb),
               absl::StrCat("rollout ", before.number)));
  RolloutRow after = before;
  after.state = step.to;
  after.changed_at = now;
  after.paused = step.effects.paused.value_or(before.paused);
  after.promote_asked = before.promote_asked || step.effects.promote_asked;
  if (request.has_on_abort()) after.on_abort = request.on_abort();
  after.reason = absl::StrCat(std::string(Name(*verb)), " by ", actor,
                              request.reason().empty() ? "" : absl::StrCat(": ", request.reason()));
  if (step.effects.cancel_queued) {
    RETURN_IF_ERROR(
        CancelQueued(tx, before.number, spec.rings_size(), AttemptEvent::kCancel, "the rollout was aborted", now));
  }
  if (step.effects.retry_failed) RETURN_IF_ERROR(Retry(tx, before, request.unit_id(), now));
  RETURN_IF_ERROR(table.Save(before, after));
  const bool abort = *verb == RolloutEvent::kAbort;
  return Audit(tx, {.at = now,
                    .actor = actor,
                    .event = absl::StrCat("rollout.", std::string(Name(*verb))),
                    .severity = abort ? 2 : 1,
                    .object = absl::StrCat("rollout/", before.number),
                    .old_value = AuditJson({{"state", StateText(before)}}),
                    .new_value = AuditJson({{"state", StateText(after)}, {"reason", request.reason()}})});
}

absl::Status RolloutOperations::Retry(StoreTransaction& tx, const RolloutRow& rollout, const std::string& unit_id,
                                      int64_t now) {
  AttemptTable attempts(tx);
  const auto retry = [&](AttemptRow attempt) { return StepAttempt(tx, attempt, AttemptEvent::kRetry, "", now); };
  if (!unit_id.empty()) {
    ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(unit_id, /*lock=*/true));
    ASSIGN_OR_RETURN(const std::optional<AttemptRow> attempt, attempts.OfUnitInRollout(unit.number, rollout.number));
    if (!attempt.has_value()) {
      return absl::NotFoundError(absl::StrCat("unit ", unit_id, " is not in rollout ", rollout.number));
    }
    if (IsVerifying(attempt->state) && unit.attempt == attempt->number) {
      // Its diagnostics once more, by a new run.
      ASSIGN_OR_RETURN(AttemptRow verifying, attempts.Get(attempt->number, /*lock=*/true));
      return verification_.Begin(tx, unit, verifying, now).status();
    }
    if (attempt->kind != AttemptKind::kForward) {
      return absl::FailedPreconditionError(absl::StrCat("the newest attempt of unit ", unit_id, " is ",
                                                        std::string(Name(attempt->kind)),
                                                        "; only what goes forward is tried again"));
    }
    ASSIGN_OR_RETURN(const bool queued, retry(*attempt));
    if (queued) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("unit ", unit_id, " is ", std::string(Name(attempt->state)),
                     "; only what failed, was excluded or is verifying is tried again"));
  }
  for (const AttemptState state : {AttemptState::kFailed, AttemptState::kVerificationFailed}) {
    int64_t after = 0;
    for (bool more = true; more;) {
      ASSIGN_OR_RETURN(const std::vector<AttemptRow> failed,
                       attempts.List(rollout.number, rollout.ring, state, after, kPage));
      more = !failed.empty();
      for (const AttemptRow& attempt : failed) {
        after = attempt.number;
        if (attempt.kind == AttemptKind::kForward) RETURN_IF_ERROR(retry(attempt).status());
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Rollout> RolloutOperations::View(StoreTransaction& tx, const RolloutRow& rollout) {
  v1::Rollout view;
  view.set_id(static_cast<uint64_t>(rollout.number));
  ASSIGN_OR_RETURN(*view.mutable_spec(), ReadSpec(rollout));
  ASSIGN_OR_RETURN(const ReleaseRow release, ReleaseTable(tx).Head(rollout.release));
  view.set_release_id(release.release_id);
  view.set_release_digest(release.digest);
  view.set_state(std::string(Name(rollout.state)));
  view.set_paused(rollout.paused);
  view.set_reason(rollout.reason);
  view.set_ring(static_cast<uint32_t>(rollout.ring));
  SetSeconds(view.mutable_created_at(), rollout.created_at);
  view.set_created_by(rollout.created_by);
  SetSeconds(view.mutable_changed_at(), rollout.changed_at);
  view.set_revision(static_cast<uint64_t>(rollout.revision));
  view.set_superseded_by(static_cast<uint64_t>(rollout.superseded_by));
  ASSIGN_OR_RETURN(const std::vector<RingRow> rings, RolloutTable(tx).Rings(rollout.number));
  for (const RingRow& row : rings) {
    v1::Ring& ring = *view.add_rings();
    ring.set_name(view.spec().rings(static_cast<int>(row.ring)).name());
    ring.set_state(std::string(RingStateName(rollout, row)));
    ASSIGN_OR_RETURN(const auto counts, Counters(tx, RingCounterPrefix(rollout.number, row.ring)));
    for (const auto& [name, value] : counts) {
      if (value > 0) (*ring.mutable_counts())[name] = static_cast<uint64_t>(value);
      if (value > 0 && ParseAttemptState(name).has_value())
        ring.set_members(ring.members() + static_cast<uint64_t>(value));
    }
    ring.set_verdict(row.verdict);
    ring.set_reason(row.reason);
    if (!ring.mutable_evidence()->ParseFromString(row.evidence)) ring.clear_evidence();
    SetSeconds(ring.mutable_started_at(), row.started_at);
    SetSeconds(ring.mutable_ended_at(), row.ended_at);
  }
  return view;
}

}  // namespace tandem::fleet
