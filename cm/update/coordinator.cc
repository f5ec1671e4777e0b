// The running update: events, durability, actions. Desired states are in coordinator_desired.cc, preconditions and
// health in coordinator_gates.cc, the rollback window in coordinator_seal.cc, people and reports in
// coordinator_reports.cc.
#include "cm/update/coordinator.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cm/update/machine/participants.h"
#include "cm/update/records/update_record.h"
#include "cm/update/status_view.h"
#include "common/config/yaml_config.h"
#include "common/crypto/dsse.h"
#include "common/crypto/key_set.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {

namespace umv2 = updatemanager::v2;

namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
// Elapsed budget time is written this often; a crash forgets no more of it.
constexpr absl::Duration kElapsedStep = absl::Seconds(10);
constexpr absl::Duration kDurabilityRetry = absl::Seconds(2);
constexpr absl::Duration kStrayRetry = absl::Seconds(10);
constexpr int kStrayTries = 5;

absl::Duration Rounded(absl::Duration time) { return absl::Floor(time, kElapsedStep); }

// What must be on disk before the actions; the same bytes mean that nothing needs to be written.
std::string DurableBytes(UnitUpdate update) {
  update.phase_elapsed = Rounded(update.phase_elapsed);
  update.trial_elapsed = Rounded(update.trial_elapsed);
  for (Participant& participant : update.participants) participant.step_elapsed = Rounded(participant.step_elapsed);
  return ToRecord(update).SerializeAsString();
}

bool HasFinished(const Step& step) {
  return std::ranges::any_of(step.actions, [](const Action& a) { return a.kind == Action::Kind::kFinished; });
}

}  // namespace

Limits LimitsOf(const config::v1::Budgets& budgets) {
  Limits limits;
  limits.registration = DurationOr(budgets.has_registration(), budgets.registration(), limits.registration);
  limits.prepare = DurationOr(budgets.has_prepare(), budgets.prepare(), limits.prepare);
  limits.ready = DurationOr(budgets.has_ready(), budgets.ready(), limits.ready);
  limits.start = DurationOr(budgets.has_start(), budgets.start(), limits.start);
  limits.trial_deadline = DurationOr(budgets.has_trial_deadline(), budgets.trial_deadline(), limits.trial_deadline);
  limits.apply = DurationOr(budgets.has_apply(), budgets.apply(), limits.apply);
  limits.revert = DurationOr(budgets.has_revert(), budgets.revert(), limits.revert);
  if (budgets.forward_attempts() != 0) limits.forward_attempts = budgets.forward_attempts();
  return limits;
}

Coordinator::Coordinator(CoordinatorParts parts)
    : parts_(std::move(parts)),
      limits_(LimitsOf(parts_.config.budgets())),
      update_file_(parts_.fs, JoinPath(parts_.config.state_dir(), "update.rec")),
      started_(parts_.clock.Monotonic()) {}

Coordinator::~Coordinator() { alive_.reset(); }

absl::Status Coordinator::Recover() {
  ASSIGN_OR_RETURN(DesiredStore store,
                   DesiredStore::Load(parts_.fs, parts_.config.state_dir(), parts_.config.hardware()));
  store_.emplace(std::move(store));
  absl::StatusOr<std::string> bytes = update_file_.Read();
  bool lost = false;
  if (absl::IsDataLoss(bytes.status())) {
    LogError("update record damaged; what the UMs report decides", {{"error", ToPersonText(bytes.status())}});
    bytes = update_file_.ReadPrevious();
    lost = true;
  }
  if (bytes.ok()) {
    record::v1::UnitUpdateRecord record;
    if (!record.ParseFromString(*bytes))
      return absl::DataLossError(absl::StrCat(update_file_.path(), " does not parse"));
    ASSIGN_OR_RETURN(update_, Annotate(FromRecord(record), update_file_.path()));
  } else if (!absl::IsNotFound(bytes.status()) && !absl::IsDataLoss(bytes.status())) {
    return bytes.status();
  }
  // The copy before the lost one names the participants; its decision may be outdated, so it does not count.
  if (lost && update_.phase != Phase::kIdle) {
    update_.phase = Phase::kRecovering;
    update_.decision = Decision::kNone;
    for (Participant& participant : update_.participants) participant.prepares = std::max(participant.prepares, 1U);
    // The damaged copy is aside; after another crash nothing else would tell that there is something to recover.
    if (const absl::Status saved = update_file_.Write(ToRecord(update_).SerializeAsString()); !saved.ok()) {
      LogError("cannot write that the update is being recovered", {{"error", ToPersonText(saved)}});
    }
  } else if (lost) {
    idle_reason_ = "the update record was damaged, and nothing tells what ran; see the log";
  }
  update_.paused = store_->paused();
  const auto newest = parts_.history.List(1);
  const bool has_newest = newest.ok() && !newest->empty();
  if (has_newest && newest->front().outcome() != Name(Outcome::kNone)) {
    last_update_ = newest->front();
  } else if (has_newest && update_.phase == Phase::kIdle && newest->front().update_id() == update_.update_id) {
    // CM ended when the outcome was durable, but not yet told.
    for (const Outcome outcome : {Outcome::kApplied, Outcome::kReverted, Outcome::kNeedsService}) {
      if (Name(outcome) == store_->outcome()) update_.outcome = outcome;
    }
    if (update_.outcome != Outcome::kNone) Report(store_->outcome(), store_->reason());
  }
  if (update_.phase != Phase::kIdle) {
    if (absl::StatusOr<StoredDesired> active = store_->active(); active.ok()) active_ = *std::move(active);
    LogInfo("update goes on after a restart",
            {{"update", update_.update_id}, {"phase", std::string(Name(update_.phase))}});
    Report("resumed", absl::StrCat("CM restarted in phase ", std::string(Name(update_.phase))));
    // Whatever was observed before is gone; the gate and the readiness checks start afresh.
    update_.gate_passed = false;
    EnterPhase();
    // A newer assignment may have been accepted just before CM ended.
    const absl::StatusOr<StoredDesired> desired = store_->desired();
    if (desired.ok() && active_.has_value()) SupersedeWith(desired->accepted);
  } else {
    MaybeBegin();
  }
  WatchRollbackWindow();
  parts_.delivery.Keep(store_->ArtifactsToKeep());
  ResumeDelivery();
  if (parts_.phase_changed) parts_.phase_changed();
  PublishReported();
  return absl::OkStatus();
}

// --- events ---

Event Coordinator::StatusEvent(const UmInfo& um, bool registered) const {
  Event event{.kind = Event::Kind::kUmStatus, .elapsed = {}, .node_id = um.node.node_id(), .text = ErrorOf(um.last)};
  event.um_state = StateOf(um.last);
  event.um_installing = IsInstalling(um.last);
  event.um_registered = registered;
  event.um_tells_running = um.last.tells_running();
  for (const Participant& participant : update_.participants) {
    if (participant.node_id != um.node.node_id()) continue;
    event.um_on_target = RunsTargets(um.last, participant.targets);
    event.um_staged_other = HasStagedOther(um.last, participant.targets);
    event.um_bytes_done = BytesDone(um.last);
  }
  return event;
}

Event Coordinator::AsOfNow(const Event& event) const {
  if (event.kind == Event::Kind::kReadiness) {
    // What held when the step could not be recorded need not hold now.
    Event now = event;
    now.flag = event.flag && preconditions_met_;
    return now;
  }
  if (event.kind != Event::Kind::kUmStatus && event.kind != Event::Kind::kUmLost) return event;
  const auto um = parts_.ums.ums().find(event.node_id);
  if (um == parts_.ums.ums().end()) return event;
  if (um->second.connected) return StatusEvent(um->second, event.um_registered);
  return {.kind = Event::Kind::kUmLost, .elapsed = {}, .node_id = event.node_id, .text = {}};
}

void Coordinator::OnUmStatus(const UmInfo& um, bool registered) {
  if (update_.phase != Phase::kIdle) {
    Handle(StatusEvent(um, registered));
  } else {
    HandleStray(um, registered);
    if (registered) SealUms();
    if (registered || waits_for_strays_) {
      if (waiting_.has_value() && !WaitingForUms()) {
        const Incoming incoming = *std::exchange(waiting_, std::nullopt);
        if (const absl::Status taken = TakeDesired(incoming); !taken.ok()) Refuse(incoming, taken);
      }
      MaybeBegin();
    }
  }
  if (registered || um.last.update_state() == umv2::IDLE) PublishReported();
  Changed();
}

void Coordinator::OnUmLost(const UmInfo& um) {
  Handle({.kind = Event::Kind::kUmLost, .elapsed = {}, .node_id = um.node.node_id(), .text = {}});
  Changed();
}

void Coordinator::OnVerdict(const std::string& envelope) {
  const absl::StatusOr<release::v1::Verdict> opened = [&]() -> absl::StatusOr<release::v1::Verdict> {
    ASSIGN_OR_RETURN(const TrustedKeys keys, Keys());
    ASSIGN_OR_RETURN(Signed<release::v1::Verdict> verdict, OpenVerdict(envelope, keys));
    if (verdict.document.unit_id() == parts_.config.unit_id()) return std::move(verdict.document);
    return absl::PermissionDeniedError(absl::StrCat("it is for unit \"", verdict.document.unit_id(), "\""));
  }();
  if (!opened.ok()) return RefuseFromCloud(absl::StrCat("verdict: ", ToPersonText(opened.status())));
  const release::v1::Verdict& verdict = *opened;
  if (verdict.sequence() != update_.sequence || verdict.attempt() != update_.attempt) {
    // Each copy of a provisional report is answered, so genuine ones come late, too.
    LogInfo("a verdict on another update",
            {{"sequence", absl::StrCat(verdict.sequence())}, {"attempt", absl::StrCat(verdict.attempt())}});
    return;
  }
  Handle({.kind = verdict.verified() ? Event::Kind::kVerified : Event::Kind::kNotVerified,
          .elapsed = {},
          .node_id = {},
          .text = verdict.reason()});
}

void Coordinator::Handle(const Event& event) {
  if (update_.phase == Phase::kIdle) return;
  const Step step = Advance(update_, event, limits_);
  if (const absl::Status durable = MakeDurable(step); !durable.ok()) {
    if (durability_error_.empty()) LogError("cannot make the update durable", {{"error", ToPersonText(durable)}});
    durability_error_ = ToPersonText(durable);
    // The next tick brings its time along; what a UM said or a person did must not be forgotten either.
    if (event.kind == Event::Kind::kTick) {
      uncounted_ = event.elapsed;
    } else {
      parts_.loop.PostAfter(kDurabilityRetry,
                            [this, alive = std::weak_ptr<bool>(alive_), event, update_id = update_.update_id] {
                              if (!alive.expired() && update_.update_id == update_id) Handle(AsOfNow(event));
                            });
    }
    Changed();
    return;
  }
  durability_error_.clear();
  if (event.kind == Event::Kind::kTick) uncounted_ = absl::ZeroDuration();
  update_ = step.update;
  Perform(step.actions);
  AskConditions(step.actions);
  Changed();
}

// Before each StartUpdate anew; Ready asks when it is entered.
void Coordinator::AskConditions(const std::vector<Action>& actions) {
  const bool started = std::ranges::any_of(actions, [](const Action& a) { return a.command == UmCommand::kStart; });
  if (started) ForgetConditions();
  if (update_.phase == Phase::kReady || preconditions_ != nullptr || !WaitsForConditions(update_, limits_)) return;
  StartPreconditions();
}

absl::Status Coordinator::MakeDurable(const Step& step) {
  if (HasFinished(step) && active_.has_value()) {
    // Idempotent, and before the record says that the update is over.
    if (step.update.outcome == Outcome::kApplied) {
      RETURN_IF_ERROR(store_->SetCommitted(*active_));
      std::vector<std::string> digests;
      for (const AcceptedRelease& release : active_->accepted.releases) digests.push_back(release.digest);
      RETURN_IF_ERROR(parts_.trust.AddCommitted(digests));
    }
    RETURN_IF_ERROR(store_->SetDone(active_->accepted, std::string(Name(step.update.outcome)), step.update.reason));
  }
  const std::string bytes = DurableBytes(step.update);
  if (bytes == last_saved_) return absl::OkStatus();
  RETURN_IF_ERROR(update_file_.Write(ToRecord(step.update).SerializeAsString()));
  last_saved_ = bytes;
  return absl::OkStatus();
}

void Coordinator::Perform(const std::vector<Action>& actions) {
  const bool new_phase =
      std::ranges::any_of(actions, [](const Action& a) { return a.kind == Action::Kind::kPhaseChanged; });
  if (new_phase) EnterPhase();
  for (const Action& action : actions) {
    if (action.kind == Action::Kind::kSend) SendCommand(action.node_id, action.command);
  }
}

// --- commands ---

void Coordinator::SendCommand(const std::string& node_id, UmCommand command) {
  const Participant* participant = FindParticipant(update_, node_id);
  if (participant == nullptr) return;
  LogInfo("command", {{"update", update_.update_id}, {"um", node_id}, {"command", std::string(Name(command))}});
  umv2::CMMessages message;
  switch (command) {
    case UmCommand::kNone:
      return;
    case UmCommand::kPrepare:
      return SendPrepare(*participant);
    case UmCommand::kStart:
      message.mutable_start_update();
      break;
    case UmCommand::kApply:
      message.mutable_apply_update();
      break;
    case UmCommand::kRevert:
      message.mutable_revert_update();
      break;
  }
  // A UM that has just gone is told when it comes back.
  if (const absl::Status sent = parts_.ums.Send(node_id, message); !sent.ok()) {
    LogDebug("not sent", {{"um", node_id}, {"error", ToPersonText(sent)}});
  }
}

ArtifactSource Coordinator::SourceOfUpdate() const {
  ArtifactSource source;
  if (!active_.has_value()) return source;
  source.base_urls.assign(active_->accepted.assignment.base_urls().begin(),
                          active_->accepted.assignment.base_urls().end());
  source.bundle_path = active_->bundle_path;
  source.documents = active_->envelopes;
  source.documents.release_list.clear();
  // A UM that checks signatures walks the chain itself.
  const auto& chain = parts_.trust.record().key_sets();
  source.documents.key_sets.assign(chain.begin(), chain.end());
  return source;
}

void Coordinator::ResumeDelivery() {
  if (update_.phase != Phase::kPreparing && update_.phase != Phase::kCommitting) return;
  std::vector<Recipient> recipients;
  for (const Participant& participant : update_.participants) {
    const auto um = parts_.ums.ums().find(participant.node_id);
    if (um == parts_.ums.ums().end() || participant.prepares == 0) continue;
    recipients.push_back({.participant = participant, .node = um->second.node});
  }
  parts_.delivery.Resume(update_.update_id, recipients, SourceOfUpdate(),
                         [this, alive = std::weak_ptr<bool>(alive_), update_id = update_.update_id](
                             const std::string& node_id, const absl::Status& why) {
                           if (!alive.expired() && update_.update_id == update_id) NoArtifacts(node_id, why);
                         });
}

void Coordinator::NoArtifacts(const std::string& node_id, const absl::Status& why) {
  Handle({.kind = Event::Kind::kNoArtifacts, .elapsed = {}, .node_id = node_id, .text = ToPersonText(why)});
}

void Coordinator::SendPrepare(const Participant& participant) {
  const auto um = parts_.ums.ums().find(participant.node_id);
  if (um == parts_.ums.ums().end()) return;
  parts_.delivery.MakePrepare(
      update_.update_id, participant, um->second.node, SourceOfUpdate(),
      [this, alive = std::weak_ptr<bool>(alive_), node_id = participant.node_id,
       update_id = update_.update_id](absl::StatusOr<umv2::PrepareUpdate> prepare) {
        if (alive.expired() || update_.update_id != update_id) return;
        if (!prepare.ok()) return NoArtifacts(node_id, prepare.status());
        umv2::CMMessages message;
        *message.mutable_prepare_update() = *std::move(prepare);
        if (!StillWantsPrepare(update_, node_id)) return;
        if (const absl::Status sent = parts_.ums.Send(node_id, message); !sent.ok()) {
          LogDebug("not sent", {{"um", node_id}, {"error", ToPersonText(sent)}});
          return;
        }
        Handle({.kind = Event::Kind::kPrepareWentOut, .elapsed = {}, .node_id = node_id, .text = {}});
      });
}

void Coordinator::HandleStray(const UmInfo& um, bool registered) {
  const UmState state = StateOf(um.last);
  const std::string node_id = um.node.node_id();
  if (registered || state == UmState::kIdle) strays_.erase(node_id);
  if (!um.connected || state == UmState::kIdle || IsInstalling(um.last)) return;
  Stray& stray = strays_[node_id];
  const absl::Duration now = parts_.clock.Monotonic();
  // After that it waits for the next registration.
  if (stray.tries >= kStrayTries || now - stray.told_at < kStrayRetry) return;
  stray.told_at = now;
  ++stray.tries;
  parts_.loop.PostAfter(kStrayRetry, [this, alive = std::weak_ptr<bool>(alive_), node_id] {
    if (alive.expired() || update_.phase != Phase::kIdle) return;
    HandleStray(parts_.ums.ums().at(node_id), false);
    if (waits_for_strays_) MaybeBegin();
  });
  // The update it belongs to is over: it is told how that ended.
  const bool apply = state == UmState::kUpdated && RunsCommitted(um);
  LogWarning("UM is still in an update that is over",
             {{"um", um.node.node_id()}, {"state", std::string(Name(state))}, {"answer", apply ? "apply" : "revert"}});
  umv2::CMMessages message;
  apply ? static_cast<void>(message.mutable_apply_update()) : static_cast<void>(message.mutable_revert_update());
  parts_.ums.Send(um.node.node_id(), message).IgnoreError();
}

std::string Coordinator::UnsettledStrays() const {
  std::string who;
  for (const auto& [node_id, um] : parts_.ums.ums()) {
    if (!um.connected || StateOf(um.last) == UmState::kIdle) continue;
    const auto stray = strays_.find(node_id);
    const bool given_up = stray != strays_.end() && stray->second.tries >= kStrayTries && !IsInstalling(um.last);
    if (!given_up) absl::StrAppend(&who, who.empty() ? "" : ", ", node_id);
  }
  return who;
}

// --- phases ---

void Coordinator::EnterPhase() {
  LogInfo("phase", {{"update", update_.update_id},
                    {"phase", std::string(Name(update_.phase))},
                    {"reason", update_.reason.empty() ? "-" : update_.reason}});
  if (parts_.phase_changed) parts_.phase_changed();
  ForgetConditions();
  if (update_.phase != Phase::kTrial) gate_.reset();
  switch (update_.phase) {
    case Phase::kIdle:
      return Finished();
    case Phase::kPreparing:
      Report("preparing", update_.compensating ? update_.reason : "");
      break;
    case Phase::kReady:
      Report("ready", "");
      StartPreconditions();
      break;
    case Phase::kStarting:
      Report("starting", "");
      break;
    case Phase::kTrial:
      Report("trial", "");
      StartHealthGate();
      break;
    case Phase::kCommitting:
      Report("committing", "");
      break;
    case Phase::kReverting:
      Report("reverting", update_.reason);
      break;
    case Phase::kRecovering:
      Report("recovering", "the decision record was lost");
      break;
    case Phase::kNeedsService:
      Report("needs_service", update_.reason);
      break;
  }
  KeepTicking();
}

void Coordinator::Finished() {
  const std::string outcome(Name(update_.outcome));
  Report(outcome, update_.reason);
  if (parts_.phase_changed) parts_.phase_changed();
  parts_.delivery.Keep(store_->ArtifactsToKeep());
  parts_.delivery.Forget(update_.update_id);
  WatchRollbackWindow();
  active_.reset();
  for (const auto& [node_id, um] : parts_.ums.ums()) HandleStray(um, false);
  PublishReported();
  parts_.loop.Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) MaybeBegin();
  });
}

// --- time ---

void Coordinator::KeepTicking() {
  const bool needed = update_.phase != Phase::kIdle || waiting_.has_value();
  if (ticking_ || !needed) return;
  ticking_ = true;
  last_tick_ = parts_.clock.Monotonic();
  tick_timer_ = parts_.loop.PostAfter(kTick, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    ticking_ = false;
    Tick();
    KeepTicking();
  });
}

void Coordinator::Tick() {
  const absl::Duration now = parts_.clock.Monotonic();
  if (waiting_.has_value() && !WaitingForUms()) {
    const Incoming incoming = *std::exchange(waiting_, std::nullopt);
    if (const absl::Status taken = TakeDesired(incoming); !taken.ok()) Refuse(incoming, taken);
  }
  Handle({.kind = Event::Kind::kTick, .elapsed = now - last_tick_ + uncounted_, .node_id = {}, .text = {}});
  UpdateReadiness();
  if (update_.phase == Phase::kTrial && update_.gate_passed && update_.verify_before_commit && active_.has_value()) {
    const auto& assignment = active_->accepted.assignment;
    const absl::Duration limit =
        DurationOr(assignment.has_verdict_timeout(), assignment.verdict_timeout(), absl::InfiniteDuration());
    if (now - gate_passed_at_ > limit) {
      Handle({.kind = Event::Kind::kNotVerified,
              .elapsed = {},
              .node_id = {},
              .text = absl::StrCat("no verdict within ", absl::FormatDuration(limit))});
    }
  }
}

bool Coordinator::MayFeedWatchdog() const {
  UnitUpdate now = update_;
  now.trial_elapsed += uncounted_;
  return !IsPastTrialDeadline(now, limits_);
}

absl::StatusOr<TrustedKeys> Coordinator::Keys() const {
  const auto& chain = parts_.trust.record().key_sets();
  return LoadKeySetChain({chain.begin(), chain.end()}, parts_.config.namespace_());
}

absl::StatusOr<release::v1::Release> Coordinator::FindRunningRelease(const std::string& digest) const {
  std::vector<AcceptedRelease> running;
  const bool on_trial = active_.has_value() && !update_.compensating && update_.decision != Decision::kAbort &&
                        (update_.phase == Phase::kTrial || update_.phase == Phase::kCommitting);
  std::set<std::string> replaced;
  if (on_trial) {
    running = active_->accepted.releases;
    for (const auto& plane : active_->accepted.assignment.planes())
      replaced.insert(release::v1::Plane_Name(plane.plane()));
  }
  for (const auto& plane : store_->committed().planes()) {
    if (replaced.contains(release::v1::Plane_Name(plane.plane()))) continue;
    for (const AcceptedRelease& release : store_->CommittedReleases()) {
      if (release.digest == plane.release_digest()) running.push_back(release);
    }
  }
  std::set<std::string> names;
  for (const AcceptedRelease& release : running) {
    if (release.digest == digest) return release.release;
    names.insert(release.release.release_id());
  }
  return absl::NotFoundError(absl::StrCat("the unit does not run the release ", HexEncode(digest).substr(0, 12),
                                          "…, but ", names.empty() ? "none" : absl::StrJoin(names, ", ")));
}

void Coordinator::CheckKeysOfRunningUpdate() {
  if (update_.phase == Phase::kIdle || update_.decision == Decision::kCommit || !active_.has_value()) return;
  const absl::StatusOr<TrustedKeys> keys = Keys();
  absl::Status still_signed = keys.status();
  for (const std::string& release : active_->envelopes.releases) {
    if (still_signed.ok()) still_signed = OpenRelease(release, *keys).status();
  }
  if (still_signed.ok()) return;
  Handle({.kind = Event::Kind::kAbort,
          .elapsed = {},
          .node_id = {},
          .text = absl::StrCat("a newer key set revoked what signed it: ", ToPersonText(still_signed))});
}

}  // namespace tandem::cm
