// Desired states: verified, accepted, planned, begun.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cm/artifacts/bundle.h"
#include "cm/update/coordinator.h"
#include "cm/update/records/update_record.h"
#include "cm/update/status_view.h"
#include "common/crypto/dsse.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

constexpr absl::Duration kBeginRetry = absl::Seconds(5);

DesiredEnvelopes ToEnvelopes(const DesiredDocuments& documents) {
  return {.assignment = documents.assignment,
          .releases = documents.releases,
          .release_list = documents.release_list,
          .key_sets = documents.key_sets};
}

std::string NameOf(const AcceptedDesired& desired) {
  std::vector<std::string> ids;
  for (const AcceptedRelease& release : desired.releases) ids.push_back(release.release.release_id());
  return absl::StrJoin(ids, " + ");
}

bool NamesWholeTypes(const AcceptedDesired& desired) {
  return std::ranges::any_of(desired.releases, [](const AcceptedRelease& release) {
    return std::ranges::any_of(release.release.components(),
                               [](const auto& component) { return component.component_id().empty(); });
  });
}

// What does not run what the unit is committed to, such as a part that was replaced; empty: nothing.
std::string DriftText(const Plan& plan) {
  std::vector<std::string> drifted;
  for (const Participant& participant : plan.participants) {
    for (const Target& target : participant.targets) {
      drifted.push_back(absl::StrCat(target.component_id, " of ", participant.node_id, " runs ",
                                     target.previous_version, " instead of ", target.version));
    }
  }
  if (drifted.empty()) return "";
  return absl::StrCat(absl::StrJoin(drifted, ", "), "; an assignment with a higher attempt installs it");
}

// The same text again within this time is no news to the cloud: a retained document comes with every connection.
constexpr absl::Duration kRefusedAgain = absl::Hours(1);

}  // namespace

void Coordinator::OnDesired(const DesiredDocuments& documents) {
  const Incoming incoming{.documents = documents, .bundle_path = {}};
  if (const absl::Status taken = TakeDesired(incoming); !taken.ok()) Refuse(incoming, taken);
  Changed();
}

bool Coordinator::WaitingForUms() {
  return !parts_.ums.AllSeen() && parts_.clock.Monotonic() - started_ < limits_.registration;
}

absl::Status Coordinator::TakeDesired(const Incoming& incoming) {
  // The versions that run are part of the checks, so the UMs come first.
  if (WaitingForUms()) {
    waiting_ = incoming;
    KeepTicking();
    return absl::OkStatus();
  }
  const absl::Time now = parts_.trust.TrustedNow(parts_.clock.Now());
  if (parts_.config.trust().require_trusted_time() && parts_.clock.Now() < now) {
    waiting_ = incoming;
    idle_reason_ =
        absl::StrCat("waits for a clock: it says ", absl::FormatTime(parts_.clock.Now(), absl::UTCTimeZone()),
                     ", it must be later than ", absl::FormatTime(now, absl::UTCTimeZone()));
    KeepTicking();
    return absl::OkStatus();
  }
  UnitFacts facts{.unit_id = parts_.config.unit_id(),
                  .name_space = parts_.config.namespace_(),
                  .hardware = parts_.config.hardware(),
                  .installed = {},
                  .now = now};
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    const std::vector<InstalledVersion> installed = InstalledOf(um.last);
    facts.installed.insert(facts.installed.end(), installed.begin(), installed.end());
  }
  ASSIGN_OR_RETURN(const AcceptedDesired accepted, VerifyDesired(incoming.documents, facts, parts_.trust.record()));
  for (const AcceptedRelease& release : accepted.releases) {
    const auto& probes = release.release.health().probes();
    RETURN_IF_ERROR(
        Annotate(CheckProbes({probes.begin(), probes.end()}), absl::StrCat("release ", release.release.release_id())));
  }
  const auto& preconditions = accepted.assignment.preconditions();
  RETURN_IF_ERROR(
      Annotate(CheckProbes({preconditions.begin(), preconditions.end()}), "the assignment's preconditions"));
  return Accept(accepted, incoming);
}

absl::Status Coordinator::Accept(const AcceptedDesired& accepted, const Incoming& incoming) {
  const release::v1::Assignment& assignment = accepted.assignment;
  const absl::StatusOr<StoredDesired> stored = store_->desired();
  const bool known = stored.ok() && stored->accepted.assignment.sequence() == assignment.sequence() &&
                     stored->accepted.assignment.attempt() == assignment.attempt();
  if (accepted.repeated && known && incoming.bundle_path.empty()) {
    const auto tried = store_->FindTried(accepted);
    if (update_.phase == Phase::kIdle && tried.has_value())
      ReportOf(AboutOf(assignment), tried->outcome, tried->reason);
    MaybeBegin();
    return absl::OkStatus();
  }
  // First what must never be accepted again, then what to do about it.
  RETURN_IF_ERROR(parts_.trust.Accept(accepted));
  RETURN_IF_ERROR(store_->SetDesired(accepted, ToEnvelopes(incoming.documents), incoming.bundle_path));
  last_refused_.clear();
  idle_reason_.clear();
  LogInfo("desired state accepted", {{"sequence", absl::StrCat(assignment.sequence())},
                                     {"attempt", absl::StrCat(assignment.attempt())},
                                     {"release", NameOf(accepted)}});
  if (update_.phase == Phase::kIdle) {
    ReportTried(accepted);
    MaybeBegin();
    PublishReported();
  } else {
    SupersedeWith(accepted);
  }
  return absl::OkStatus();
}

// Nothing will begin, so nothing else would tell the cloud how its releases did here.
void Coordinator::ReportTried(const AcceptedDesired& accepted) {
  const auto tried = store_->FindTried(accepted);
  if (update_.phase != Phase::kIdle || !tried.has_value()) return;
  ReportOf(AboutOf(accepted.assignment), tried->outcome, tried->reason);
}

void Coordinator::SupersedeWith(const AcceptedDesired& accepted) {
  // The same releases with the same attempt are a refresh: nothing starts anew.
  const bool refresh = active_.has_value() && update_.attempt == accepted.assignment.attempt() &&
                       PlanesAndDigests(active_->accepted.assignment) == PlanesAndDigests(accepted.assignment);
  if (refresh) {
    RefreshActive();
    return;
  }
  Handle({.kind = Event::Kind::kNewAssignmentWaits, .elapsed = {}, .node_id = {}, .text = {}});
  Handle({.kind = Event::Kind::kAbort,
          .elapsed = {},
          .node_id = {},
          .text = absl::StrCat("superseded by assignment ", accepted.assignment.sequence())});
}

// The artifacts may be elsewhere now; what is already there is not fetched again.
void Coordinator::RefreshActive() {
  absl::Status status = store_->SetActive();
  absl::StatusOr<StoredDesired> active = store_->active();
  if (status.ok()) status = active.status();
  if (!status.ok()) {
    LogError("cannot take the refreshed assignment over", {{"error", ToPersonText(status)}});
    return;
  }
  const auto urls = [](const StoredDesired& desired) {
    return std::vector<std::string>(desired.accepted.assignment.base_urls().begin(),
                                    desired.accepted.assignment.base_urls().end());
  };
  const bool moved = urls(*active_) != urls(*active) || active_->bundle_path != active->bundle_path;
  active_ = *std::move(active);
  if (moved) Handle({.kind = Event::Kind::kSourcesChanged, .elapsed = {}, .node_id = {}, .text = {}});
}

void Coordinator::Refuse(const Incoming& incoming, const absl::Status& why) {
  const std::string text = ToPersonText(why);
  // Not trusted: it only tells the sender what this is about.
  release::v1::Assignment assignment;
  const absl::StatusOr<DsseEnvelope> envelope = ParseDsse(incoming.documents.assignment);
  if (!envelope.ok() || !assignment.ParseFromString(envelope->payload)) assignment.Clear();
  // A broker may deliver it once more after its successor. The cloud knows how it ended, and must not hear otherwise.
  if (store_->WasLast(assignment) && assignment.sequence() < parts_.trust.record().sequence()) {
    LogInfo("the assignment before came again", {{"error", text}});
    return;
  }
  idle_reason_ = absl::StrCat("the desired state was refused: ", text);
  // The text may name the time of day, so it does not tell whether this is the same refusal.
  const std::string key = absl::StrCat(incoming.documents.assignment, static_cast<int>(why.code()));
  const absl::Duration now = parts_.clock.Monotonic();
  if (key == last_refused_ && now - last_refused_at_ < kRefusedAgain) return;
  last_refused_ = key;
  last_refused_at_ = now;
  LogWarning("desired state refused", {{"error", text}});
  ReportOf(AboutOf(assignment), "refused", text);
}

void Coordinator::MaybeBegin() {
  if (update_.phase != Phase::kIdle || !store_->has_desired() || WaitingForUms()) {
    if (update_.phase == Phase::kIdle && store_->has_desired()) KeepTicking();
    return;
  }
  const absl::StatusOr<StoredDesired> desired = store_->desired();
  if (!desired.ok()) {
    idle_reason_ = ToPersonText(desired.status());
    return;
  }
  const auto tried = store_->FindTried(desired->accepted);
  if (tried.has_value() && tried->outcome != Name(Outcome::kApplied)) {
    idle_reason_ = absl::StrCat("release ", NameOf(desired->accepted), " failed here (", tried->reason,
                                "); an assignment with a higher attempt tries it again");
    return;
  }
  const std::string strays = UnsettledStrays();
  waits_for_strays_ = !strays.empty();
  if (waits_for_strays_) {
    idle_reason_ = absl::StrCat("waits for ", strays, ", still in an update that is over");
    return;
  }
  std::vector<PlanUm> ums;
  std::vector<std::string> unseen;
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    if (um.seen) {
      ums.push_back(ToPlanUm(um));
    } else {
      unseen.push_back(node_id);
    }
  }
  absl::StatusOr<Plan> plan = MakePlan(desired->accepted, ums, limits_, GateTime(desired->accepted));
  if (tried.has_value()) {
    idle_reason_ = plan.ok() ? DriftText(*plan) : "";
    return;
  }
  absl::Status begun = plan.status();
  // A UM that comes late un-sticks it.
  std::string waits;
  if (plan.ok() && !plan->missing.empty()) {
    waits = absl::StrCat("no UM owns ", absl::StrJoin(plan->missing, ", "), "; waiting for one to register");
  } else if (plan.ok() && !unseen.empty() && NamesWholeTypes(desired->accepted)) {
    waits = absl::StrCat("waits for ", absl::StrJoin(unseen, ", "),
                         " to register: the release names every component of a type, and may mean theirs");
  }
  if (!waits.empty()) {
    if (idle_reason_ != waits) ReportOf(AboutOf(desired->accepted.assignment), "waiting", waits);
    idle_reason_ = waits;
    return;
  }
  if (plan.ok()) begun = BeginUpdate(*desired, std::move(plan->participants));
  if (begun.ok()) {
    idle_reason_.clear();
    return;
  }
  const std::string reason = ToPersonText(begun);
  if (idle_reason_ != reason) ReportOf(AboutOf(desired->accepted.assignment), "refused", reason);
  idle_reason_ = reason;
  if (plan.ok()) {
    // Not durable: nothing was sent, and it is tried again.
    parts_.loop.PostAfter(kBeginRetry, [this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) MaybeBegin();
    });
  }
}

absl::Status Coordinator::BeginUpdate(const StoredDesired& desired, std::vector<Participant> participants) {
  const release::v1::Assignment& assignment = desired.accepted.assignment;
  MaybeSeal(/*next_update_begins=*/true);
  RETURN_IF_ERROR(store_->SetActive());
  UnitUpdate next;
  next.update_id = absl::StrCat(assignment.sequence(), ".", assignment.attempt());
  next.correlation_id = assignment.correlation_id().empty() ? next.update_id : assignment.correlation_id();
  next.key_set_version = parts_.trust.record().key_set_version();
  next.sequence = assignment.sequence();
  next.attempt = assignment.attempt();
  for (const AcceptedRelease& release : desired.accepted.releases) {
    next.release_ids.push_back(release.release.release_id());
  }
  next.started_at = parts_.clock.Now();
  next.needs_approval = parts_.config.needs_approval() || assignment.needs_approval();
  next.verify_before_commit = assignment.commit_on() == release::v1::VERIFIED;
  next.paused = store_->paused();
  if (participants.empty()) {
    // Everything runs already.
    next.outcome = Outcome::kApplied;
    const Step step{.update = next, .actions = {{Action::Kind::kFinished, "", UmCommand::kNone}}};
    active_ = desired;
    RETURN_IF_ERROR(MakeDurable(step));
    update_ = step.update;
    Finished();
    return absl::OkStatus();
  }
  for (Participant& participant : participants) {
    const UmInfo& um = parts_.ums.ums().at(participant.node_id);
    participant.connected = um.connected;
    participant.reported = um.connected;
    participant.state = StateOf(um.last);
    participant.installing = IsInstalling(um.last);
    participant.error = ErrorOf(um.last);
    participant.resend_after = limits_.resend_first;
  }
  const Step step = Advance(Begin(next, std::move(participants)), {.elapsed = {}, .node_id = {}, .text = {}}, limits_);
  active_ = desired;
  if (const absl::Status durable = MakeDurable(step); !durable.ok()) {
    active_.reset();
    return Annotate(durable, "cannot make the update durable");
  }
  update_ = step.update;
  EnterPhase();
  Perform(step.actions);
  return absl::OkStatus();
}

void Coordinator::OnKeySets(const std::vector<std::string>& key_sets) {
  const absl::StatusOr<int> taken =
      parts_.trust.UpdateKeySets(key_sets, parts_.config.namespace_(), parts_.trust.TrustedNow(parts_.clock.Now()));
  if (!taken.ok()) {
    LogWarning("key sets refused", {{"error", ToPersonText(taken.status())}});
    ReportOf({}, "refused", absl::StrCat("key sets: ", ToPersonText(taken.status())));
    return;
  }
  if (*taken == 0) return;
  LogInfo("newer key set", {{"version", absl::StrCat(parts_.trust.record().key_set_version())}});
  CheckKeysOfRunningUpdate();
}

absl::StatusOr<std::string> Coordinator::ApplyBundle(const std::string& path) {
  ASSIGN_OR_RETURN(const Bundle bundle, OpenBundle(path));
  const Incoming incoming{.documents = bundle.documents, .bundle_path = path};
  if (update_.phase != Phase::kIdle) {
    return absl::FailedPreconditionError(absl::StrCat("update ", update_.update_id, " is running (",
                                                      std::string(Name(update_.phase)),
                                                      "); wait for it, or abort it first"));
  }
  if (WaitingForUms()) {
    return absl::FailedPreconditionError(
        "not all UMs have registered yet; try again in a moment, or see tandemctl status");
  }
  RETURN_IF_ERROR(TakeDesired(incoming));
  Changed();
  if (update_.phase != Phase::kIdle) return absl::StrCat("update ", update_.update_id, " has begun");
  if (!idle_reason_.empty()) return absl::FailedPreconditionError(idle_reason_);
  return "the unit runs these versions already";
}

}  // namespace tandem::cm
