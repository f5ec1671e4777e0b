#include "cm/update/desired_intake.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cm/trust/unit_policy.h"
#include "cm/update/conditions.h"
#include "cm/update/machine/events.h"
#include "cm/update/status_view.h"
#include "cm/update/um_events.h"
#include "common/crypto/dsse.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

// After an error of this machine.
constexpr absl::Duration kFirstRetry = absl::Seconds(2);
constexpr absl::Duration kLastRetry = absl::Minutes(1);
// The same text again within this time is no news to the cloud: a retained document comes with every connection.
constexpr absl::Duration kRefusedAgain = absl::Hours(1);

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

absl::Status CheckAllProbes(const AcceptedDesired& accepted, const config::v1::CmConfig& config) {
  for (const AcceptedRelease& release : accepted.releases) {
    const std::string where = absl::StrCat("release ", release.release.release_id());
    const auto& probes = release.release.health().probes();
    RETURN_IF_ERROR(Annotate(CheckProbes({probes.begin(), probes.end()}), where));
    const auto& conditions = release.release.conditions();
    RETURN_IF_ERROR(Annotate(CheckProbes({conditions.begin(), conditions.end()}), where));
  }
  const auto& preconditions = accepted.assignment.preconditions();
  RETURN_IF_ERROR(
      Annotate(CheckProbes({preconditions.begin(), preconditions.end()}), "the assignment's preconditions"));
  return AssignedConditions(accepted, config).status();
}

// What MaybeBegin() looks at of the UMs: who is there, in which state, with which versions.
std::string InventoryText(const UmRegistry& ums) {
  std::string text;
  for (const auto& [node_id, um] : ums.ums()) {
    absl::StrAppend(&text, node_id, um.connected ? "+" : "-", um.seen ? "s" : "u", std::string(Name(StateOf(um.last))),
                    IsInstalling(um.last) ? "*" : "");
    for (const InstalledVersion& installed : InstalledOf(um.last)) {
      absl::StrAppend(&text, "|", installed.component_id, "|", installed.component_type, "|", installed.version);
    }
    text.push_back('\n');
  }
  return text;
}

}  // namespace

DesiredIntake::DesiredIntake(DesiredIntakeParts parts)
    : parts_(parts), started_(parts_.clock.Monotonic()), retry_after_(kFirstRetry), scope_(parts_.loop) {}

// --- taking ---

void DesiredIntake::OnDesired(const DesiredEnvelopes& documents) {
  TakeOrKeep({.documents = documents, .bundle_path = {}});
}

void DesiredIntake::TakeOrKeep(const Incoming& incoming) {
  const absl::Status taken = Take(incoming);
  if (taken.ok()) {
    retry_after_ = kFirstRetry;
    return;
  }
  if (!IsLocal(taken)) return Refuse(incoming, taken);
  LogError("the desired state cannot be recorded yet; it is tried again", {{"error", ToPersonText(taken)}});
  Keep(incoming, absl::StrCat("the desired state cannot be recorded yet, it is tried again: ", ToPersonText(taken)));
  waiting_until_ = parts_.clock.Monotonic() + retry_after_;
  retry_after_ = std::min(2 * retry_after_, kLastRetry);
}

void DesiredIntake::Keep(const Incoming& incoming, const std::string& why) {
  waiting_ = incoming;
  waiting_until_ = parts_.clock.Monotonic();
  // Who asked is told once; what waits is told again whenever it waits for something else.
  if (reason_ == why) return;
  reason_ = why;
  parts_.reporter.TellOnce(UpdateReport::kWaiting, why);
}

void DesiredIntake::TakeWaiting() {
  if (!waiting_.has_value() || WaitsForUms() || parts_.clock.Monotonic() < waiting_until_) return;
  TakeOrKeep(*std::exchange(waiting_, std::nullopt));
  parts_.update.Changed();
}

void DesiredIntake::Tick() {
  TakeWaiting();
  if (held_ == Hold::kUmsRegister) MaybeBegin();
}

bool DesiredIntake::WaitsForUms() const {
  return !parts_.ums.AllSeen() && parts_.clock.Monotonic() - started_ < parts_.limits.registration;
}

UnitFacts DesiredIntake::FactsOfUnit() const {
  UnitFacts facts{.unit_id = parts_.config.unit_id(),
                  .name_space = parts_.config.namespace_(),
                  .hardware = parts_.config.hardware(),
                  .installed = {},
                  .installed_is_complete = parts_.ums.AllSeen(),
                  .now = parts_.trust.TrustedNow(parts_.clock.Now())};
  const Ownership ownership(parts_.ums.ums());
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    const std::vector<InstalledVersion> installed = ownership.Of(node_id);
    facts.installed.insert(facts.installed.end(), installed.begin(), installed.end());
  }
  return facts;
}

absl::Status DesiredIntake::Take(const Incoming& incoming) {
  // The versions that run are part of the checks, so the UMs come first.
  if (WaitsForUms()) {
    waiting_ = incoming;
    return absl::OkStatus();
  }
  const UnitFacts facts = FactsOfUnit();
  if (parts_.config.trust().require_trusted_time() && parts_.clock.Now() < facts.now) {
    // Not with the time of day in it: it would be news each second.
    Keep(incoming,
         absl::StrCat("waits for a clock that is later than ", absl::FormatTime(facts.now, absl::UTCTimeZone()),
                      ", which was read from a signed document"));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const AcceptedDesired accepted, VerifyDesired(incoming.documents, facts, parts_.trust.record()));
  RETURN_IF_ERROR(CheckAllProbes(accepted, parts_.config));
  return Accept(accepted, incoming);
}

absl::Status DesiredIntake::Accept(const AcceptedDesired& accepted, const Incoming& incoming) {
  const release::v1::Assignment& assignment = accepted.assignment;
  const absl::StatusOr<StoredDesired> stored = parts_.desired.desired();
  const bool known = stored.ok() && stored->accepted.assignment.sequence() == assignment.sequence() &&
                     stored->accepted.assignment.attempt() == assignment.attempt();
  if (accepted.repeated && known && incoming.bundle_path.empty()) {
    TellTried(accepted);
    MaybeBegin();
    return absl::OkStatus();
  }
  // First what must never be accepted again, then what to do about it.
  RETURN_IF_ERROR(parts_.trust.Accept(accepted));
  RETURN_IF_ERROR(parts_.desired.SetDesired(accepted, incoming.documents, incoming.bundle_path));
  refused_.clear();
  reason_.clear();
  LogInfo("desired state accepted", {{"sequence", absl::StrCat(assignment.sequence())},
                                     {"attempt", absl::StrCat(assignment.attempt())},
                                     {"release", NameOf(accepted)}});
  if (parts_.update.update().phase != Phase::kIdle) {
    SupersedeWith(accepted);
    return absl::OkStatus();
  }
  TellTried(accepted);
  MaybeBegin();
  parts_.reporter.PublishReported(parts_.update.update(), reason());
  return absl::OkStatus();
}

void DesiredIntake::TellTried(const AcceptedDesired& accepted) {
  if (parts_.update.update().phase != Phase::kIdle) return;
  const auto tried = parts_.desired.FindTried(accepted);
  if (!tried.has_value()) return;
  const std::optional<Outcome> outcome = ParseOutcome(tried->outcome);
  if (!outcome.has_value()) return;
  parts_.reporter.Tell(SubjectOf(accepted.assignment), *ReportOf(*outcome), tried->reason);
}

void DesiredIntake::SupersedeWith(const AcceptedDesired& accepted) {
  const StoredDesired* documents = parts_.update.documents();
  // The same releases with the same attempt are a refresh: nothing starts anew.
  const bool refresh = documents != nullptr && parts_.update.update().attempt == accepted.assignment.attempt() &&
                       PlanesAndDigests(documents->accepted.assignment) == PlanesAndDigests(accepted.assignment);
  if (refresh) return RefreshDocuments();
  parts_.update.Handle(UnitEvent(Event::Kind::kNewAssignmentWaits));
  parts_.update.Handle(
      UnitEvent(Event::Kind::kAbort, absl::StrCat("superseded by assignment ", accepted.assignment.sequence())));
}

void DesiredIntake::ResumeNewer() {
  const absl::StatusOr<StoredDesired> desired = parts_.desired.desired();
  if (desired.ok() && parts_.update.documents() != nullptr) SupersedeWith(desired->accepted);
}

// The artifacts may be elsewhere now; what is already there is not fetched again.
void DesiredIntake::RefreshDocuments() {
  const StoredDesired* before = parts_.update.documents();
  if (before == nullptr) return;
  absl::Status status = parts_.desired.SetActive();
  absl::StatusOr<StoredDesired> now = parts_.desired.active();
  if (status.ok()) status = now.status();
  if (!status.ok()) {
    LogError("cannot take the refreshed assignment over", {{"error", ToPersonText(status)}});
    if (IsLocal(status)) RetryLater(&DesiredIntake::RefreshDocuments);
    return;
  }
  const auto urls = [](const StoredDesired& desired) {
    return std::vector<std::string>(desired.accepted.assignment.base_urls().begin(),
                                    desired.accepted.assignment.base_urls().end());
  };
  const bool moved = urls(*before) != urls(*now) || before->bundle_path != now->bundle_path;
  parts_.update.ReplaceDocuments(*std::move(now));
  if (moved) parts_.update.Handle(UnitEvent(Event::Kind::kSourcesChanged));
}

void DesiredIntake::RetryLater(void (DesiredIntake::*what)()) {
  scope_.PostAfter(kFirstRetry, [this, what] {
    (this->*what)();
    parts_.update.Changed();
  });
}

void DesiredIntake::Refuse(const Incoming& incoming, const absl::Status& why) {
  const std::string text = ToPersonText(why);
  // Not trusted: it only tells the sender what this is about.
  release::v1::Assignment assignment;
  const absl::StatusOr<DsseEnvelope> envelope = ParseDsse(incoming.documents.assignment);
  if (!envelope.ok() || !assignment.ParseFromString(envelope->payload)) assignment.Clear();
  // A broker may deliver it once more after its successor. The cloud knows how it ended, and must not hear otherwise.
  if (parts_.desired.WasLast(assignment) && assignment.sequence() < parts_.trust.record().sequence()) {
    LogInfo("the assignment before came again", {{"error", text}});
    return;
  }
  reason_ = absl::StrCat("the desired state was refused: ", text);
  // The text may name the time of day, so it does not tell whether this is the same refusal.
  const std::string key = absl::StrCat(incoming.documents.assignment, static_cast<int>(why.code()));
  const absl::Duration now = parts_.clock.Monotonic();
  if (key == refused_ && now - refused_at_ < kRefusedAgain) return;
  refused_ = key;
  refused_at_ = now;
  LogWarning("desired state refused", {{"error", text}});
  parts_.reporter.Tell(SubjectOf(assignment), UpdateReport::kRefused, text);
}

absl::Status DesiredIntake::OnKeySets(const std::vector<std::string>& key_sets) {
  const absl::StatusOr<int> taken =
      parts_.trust.UpdateKeySets(key_sets, parts_.config.namespace_(), parts_.trust.TrustedNow(parts_.clock.Now()));
  if (!taken.ok()) {
    if (IsLocal(taken.status())) {
      LogError("the key sets cannot be recorded yet; they are tried again", {{"error", ToPersonText(taken.status())}});
      scope_.PostAfter(kFirstRetry, [this, key_sets] { OnKeySets(key_sets).IgnoreError(); });
      return taken.status();
    }
    LogWarning("key sets refused", {{"error", ToPersonText(taken.status())}});
    parts_.reporter.Tell({}, UpdateReport::kRefused, absl::StrCat("key sets: ", ToPersonText(taken.status())));
    return taken.status();
  }
  if (*taken > 0) LogInfo("newer key set", {{"version", absl::StrCat(parts_.trust.record().key_sets_size())}});
  return absl::OkStatus();
}

absl::StatusOr<std::string> DesiredIntake::ApplyBundle(const std::string& path, const Bundle& bundle) {
  const UnitUpdate& update = parts_.update.update();
  // What cannot be brought back waits for just this.
  if (update.phase != Phase::kIdle && update.phase != Phase::kNeedsService) {
    return absl::FailedPreconditionError(absl::StrCat("update ", update.update_id, " is running (",
                                                      std::string(Name(update.phase)),
                                                      "); wait for it, or abort it first"));
  }
  if (WaitsForUms()) {
    return absl::FailedPreconditionError(
        "not all UMs have registered yet; try again in a moment, or see tandemctl status");
  }
  RETURN_IF_ERROR(Take({.documents = bundle.documents, .bundle_path = path}));
  parts_.update.Changed();
  if (parts_.update.update().phase == Phase::kNeedsService) {
    return "the desired state is accepted; it begins as soon as every component is known";
  }
  if (parts_.update.update().phase != Phase::kIdle) {
    return absl::StrCat("update ", parts_.update.update().update_id, " has begun");
  }
  if (!reason_.empty()) return absl::FailedPreconditionError(reason_);
  return "the unit runs these versions already";
}

// --- beginning ---

void DesiredIntake::OnInventory() {
  if (parts_.update.update().phase != Phase::kIdle) return;
  if (InventoryText(parts_.ums) == looked_at_) return;
  TakeWaiting();
  MaybeBegin();
}

BeginFacts DesiredIntake::Facts(const absl::StatusOr<StoredDesired>& desired) const {
  BeginFacts facts{.has_desired = parts_.desired.has_desired(),
                   .readable = desired.status(),
                   .waits_for_ums = WaitsForUms(),
                   .release_name = {},
                   .tried = {},
                   .leftovers = parts_.leftovers.Unsettled()};
  const Ownership ownership(parts_.ums.ums());
  std::vector<PlanUm> ums;
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    if (um.seen) {
      ums.push_back(ToPlanUm(um, ownership));
    } else {
      facts.unseen.push_back(node_id);
    }
  }
  if (!desired.ok() || facts.waits_for_ums) return facts;
  const AcceptedDesired& accepted = desired->accepted;
  facts.release_name = NameOf(accepted);
  facts.tried = parts_.desired.FindTried(accepted);
  facts.names_whole_types = NamesWholeTypes(accepted);
  const auto& left = parts_.desired.committed().leftovers();
  facts.left_behind.assign(left.begin(), left.end());
  // A UM may have come since it was accepted.
  const UnitFacts unit = FactsOfUnit();
  facts.way_back = CheckFloors(accepted.releases, parts_.trust.record());
  if (facts.way_back.ok()) {
    facts.way_back = CheckWayBack(accepted.assignment, accepted.releases, unit, parts_.trust.record());
  }
  facts.requirements = CheckRequirements(accepted.releases, unit);
  facts.plan = MakePlan(accepted, ums, parts_.limits, parts_.gates.TimeToPass(accepted.releases));
  return facts;
}

void DesiredIntake::MaybeBegin() {
  if (parts_.update.update().phase != Phase::kIdle) return;
  looked_at_ = InventoryText(parts_.ums);
  const absl::StatusOr<StoredDesired> desired =
      parts_.desired.has_desired() ? parts_.desired.desired() : absl::FailedPreconditionError("nothing is desired");
  BeginFacts facts = Facts(desired);
  const BeginDecision decision = DecideBegin(facts);
  held_ = decision.hold;
  if (decision.verdict != BeginVerdict::kBegin) {
    if (held_ == Hold::kNothingDesired) return;
    reason_ = decision.text;
    if (desired.ok()) TellHold(desired->accepted, decision);
    return;
  }
  const absl::Status begun = Begin(*desired, std::move(facts.plan->participants), decision.completes);
  if (begun.ok()) {
    reason_.clear();
    told_ = {};
    return;
  }
  // Nothing was sent, and it is tried again.
  reason_ = absl::StrCat("the update cannot begin yet, it is tried again: ", ToPersonText(begun));
  parts_.reporter.TellOnce(UpdateReport::kWaiting, reason_);
  RetryLater(&DesiredIntake::MaybeBegin);
}

void DesiredIntake::TellHold(const AcceptedDesired& accepted, const BeginDecision& decision) {
  const bool refused = decision.verdict == BeginVerdict::kRefuse;
  const bool waits = decision.hold == Hold::kNoOwner || decision.hold == Hold::kUnseenUms;
  if (!refused && !waits) return;
  const ReportSubject subject = SubjectOf(accepted.assignment);
  Told told{.update_id = subject.update_id, .verdict = decision.verdict, .hold = decision.hold, .who = decision.who};
  if (told == told_) return;
  told_ = std::move(told);
  if (refused) LogWarning("desired state refused", {{"error", decision.text}});
  parts_.reporter.Tell(subject, refused ? UpdateReport::kRefused : UpdateReport::kWaiting, decision.text);
}

absl::Status DesiredIntake::Begin(const StoredDesired& desired, std::vector<Participant> participants, bool completes) {
  const release::v1::Assignment& assignment = desired.accepted.assignment;
  parts_.window.NextUpdateBegins();
  RETURN_IF_ERROR(parts_.desired.SetActive());
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
  // COMMIT was decided for what was left behind: people and the fleet have been asked.
  next.needs_approval = !completes && (parts_.config.needs_approval() || assignment.needs_approval());
  next.verify_before_commit = !completes && assignment.commit_on() == release::v1::VERIFIED;
  next.paused = parts_.desired.paused();
  if (participants.empty()) {
    // Everything runs already.
    next.outcome = Outcome::kApplied;
    return parts_.update.Begin({.update = next, .actions = {{Action::Kind::kFinished, "", UmCommand::kNone}}}, desired);
  }
  next = cm::Begin(std::move(next), std::move(participants));
  for (Participant& participant : next.participants) {
    const UmInfo& um = parts_.ums.ums().at(participant.node_id);
    if (um.connected) ObserveStatus(participant, StatusEvent(next, parts_.desired, um, /*registered=*/true));
    participant.resend_after = parts_.limits.resend_first;
  }
  return parts_.update.Begin(Advance(next, TickEvent(absl::ZeroDuration()), parts_.limits), desired);
}

std::string DesiredIntake::reason() const {
  if (!reason_.empty() || (!waiting_.has_value() && !parts_.desired.has_desired())) return reason_;
  std::vector<std::string> unseen;
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    if (!um.seen) unseen.push_back(node_id);
  }
  if (unseen.empty()) return "";
  return absl::StrCat("waits for these UMs to register: ", absl::StrJoin(unseen, ", "));
}

}  // namespace tandem::cm
