#include "cm/update/coordinator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/events.h"
#include "cm/update/machine/participants.h"
#include "cm/update/running_releases.h"
#include "cm/update/um_events.h"
#include "common/crypto/signed_metadata.h"
#include "common/log/log.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kLongestTick = absl::Seconds(10);
constexpr absl::Duration kDurabilityRetry = absl::Seconds(2);

}  // namespace

Coordinator::Coordinator(CoordinatorParts parts)
    : parts_(std::move(parts)),
      limits_(LimitsOf(parts_.config.budgets())),
      journal_(parts_.fs, parts_.clock, parts_.config.state_dir(), parts_.boot_id, parts_.desired, parts_.trust),
      reporter_({.loop = parts_.loop,
                 .clock = parts_.clock,
                 .config = parts_.config,
                 .ums = parts_.ums,
                 .trust = parts_.trust,
                 .desired = parts_.desired,
                 .history = parts_.history,
                 .cloud = parts_.cloud,
                 .boot_id = parts_.boot_id,
                 .safe_mode = parts_.safe_mode}),
      gates_({.loop = parts_.loop,
              .clock = parts_.clock,
              .config = parts_.config,
              .limits = limits_,
              .trust = parts_.trust,
              .make_gate = parts_.make_gate,
              .update = *this,
              .reporter = reporter_}),
      commands_({.loop = parts_.loop,
                 .trust = parts_.trust,
                 .ums = parts_.ums,
                 .delivery = parts_.delivery,
                 .update = *this}),
      leftovers_({.loop = parts_.loop,
                  .clock = parts_.clock,
                  .desired = parts_.desired,
                  .ums = parts_.ums,
                  .update = *this,
                  .looked = [this] { intake_.MaybeBegin(); }}),
      window_({.loop = parts_.loop,
               .clock = parts_.clock,
               .config = parts_.config,
               .trust = parts_.trust,
               .desired = parts_.desired,
               .ums = parts_.ums,
               .delivery = parts_.delivery,
               .update = *this,
               .sealed = [this] { PhaseChanged(); }}),
      intake_({.loop = parts_.loop,
               .clock = parts_.clock,
               .config = parts_.config,
               .limits = limits_,
               .trust = parts_.trust,
               .desired = parts_.desired,
               .ums = parts_.ums,
               .update = *this,
               .reporter = reporter_,
               .leftovers = leftovers_,
               .window = window_,
               .gates = gates_}),
      orders_({.desired = parts_.desired,
               .update = *this,
               .reporter = reporter_,
               .leave_safe_mode = parts_.leave_safe_mode,
               .publish = [this] { PublishReported(); }}),
      scope_(parts_.loop) {}

// --- the loop: event, table, durable, actions ---

void Coordinator::Handle(const Event& event) {
  // A pause outlives the update, so it is known without one.
  if (update_.phase == Phase::kIdle) {
    update_.paused = parts_.desired.paused();
    uncounted_ = absl::ZeroDuration();
    return;
  }
  // Time that could not be made durable belongs to the phase before.
  if (event.kind != Event::Kind::kTick && uncounted_ > absl::ZeroDuration()) Handle(TickEvent(uncounted_));
  const Step step = Advance(update_, event, limits_);
  if (const absl::Status durable = journal_.Save(step, documents()); !durable.ok()) {
    if (durability_error_.empty()) LogError("cannot make the update durable", {{"error", ToPersonText(durable)}});
    durability_error_ = ToPersonText(durable);
    // The next tick brings its time along; what a UM said or a person did must not be forgotten either.
    if (event.kind == Event::Kind::kTick) {
      uncounted_ = event.elapsed;
    } else {
      scope_.PostAfter(kDurabilityRetry, [this, event, update_id = update_.update_id] {
        if (update_.update_id != update_id) return;
        const std::optional<Event> now = AsOfNow(event, update_, parts_.desired, parts_.ums);
        if (now.has_value()) Handle(*now);
      });
    }
    return Changed();
  }
  durability_error_.clear();
  if (event.kind == Event::Kind::kTick) uncounted_ = absl::ZeroDuration();
  update_ = step.update;
  Perform(step.actions);
  gates_.AskConditions(step.actions);
  Changed();
}

absl::Status Coordinator::Begin(const Step& step, const StoredDesired& documents) {
  RETURN_IF_ERROR(Annotate(journal_.Save(step, &documents), "cannot make the update durable"));
  documents_ = documents;
  update_ = step.update;
  if (HasFinished(step)) {
    Finish();
  } else {
    EnterPhase();
    Perform(step.actions);
  }
  return absl::OkStatus();
}

void Coordinator::Perform(const std::vector<Action>& actions) {
  const auto is_new_phase = [](const Action& action) { return action.kind == Action::Kind::kPhaseChanged; };
  if (std::ranges::any_of(actions, is_new_phase)) EnterPhase();
  for (const Action& action : actions) {
    if (action.kind == Action::Kind::kSend) commands_.Send(action.node_id, action.command);
  }
}

void Coordinator::EnterPhase() {
  LogInfo("phase", {{"update", update_.update_id},
                    {"phase", std::string(Name(update_.phase))},
                    {"reason", update_.reason.empty() ? "-" : update_.reason}});
  PhaseChanged();
  commands_.EnterPhase();
  gates_.EnterPhase();
  if (update_.phase == Phase::kIdle) return Finish();
  const bool lost = update_.phase == Phase::kRecovering;
  reporter_.Report(update_, *ReportOf(update_.phase), lost ? "the decision record was lost" : update_.reason);
  KeepTicking();
}

void Coordinator::Finish() {
  if (const std::optional<UpdateReport> report = ReportOf(update_.outcome); report.has_value()) {
    reporter_.Report(update_, *report, update_.reason);
  }
  PhaseChanged();
  parts_.delivery.Keep(parts_.desired.ArtifactsToKeep());
  parts_.delivery.Forget(update_.update_id);
  window_.Watch();
  documents_.reset();
  leftovers_.AnUpdateIsOver();
  PublishReported();
  scope_.Post([this] { intake_.MaybeBegin(); });
}

// --- the start ---

absl::Status Coordinator::Recover() {
  ASSIGN_OR_RETURN(UpdateJournal::Loaded loaded, journal_.Load());
  update_ = std::move(loaded.update);
  update_.paused = parts_.desired.paused();
  intake_.SetReason(loaded.lost);
  reporter_.Recover(update_);
  if (update_.phase == Phase::kIdle) {
    intake_.MaybeBegin();
  } else {
    GoOn();
  }
  window_.Watch();
  parts_.delivery.Keep(parts_.desired.ArtifactsToKeep());
  commands_.ResumeDelivery();
  PhaseChanged();
  PublishReported();
  KeepTicking();
  return absl::OkStatus();
}

void Coordinator::GoOn() {
  LoadDocuments();
  LogInfo("update goes on after a restart",
          {{"update", update_.update_id}, {"phase", std::string(Name(update_.phase))}});
  reporter_.Report(update_, UpdateReport::kResumed,
                   absl::StrCat("CM restarted in phase ", std::string(Name(update_.phase))));
  // Whatever was observed before is gone; the gate and the readiness checks start afresh.
  update_.gate_passed = false;
  EnterPhase();
  // CM may not live until its first tick, again and again.
  Handle(TickEvent(absl::ZeroDuration()));
  if (documents() == nullptr) {
    Handle(UnitEvent(Event::Kind::kAbort, "the documents of the running update cannot be read; see the log"));
  }
  intake_.ResumeNewer();
}

// An older copy, or one that this unit does not understand any more, is not what the update was made from.
void Coordinator::LoadDocuments() {
  absl::StatusOr<StoredDesired> active = parts_.desired.active();
  if (active.ok() && (active->accepted.assignment.sequence() != update_.sequence ||
                      active->accepted.assignment.attempt() != update_.attempt)) {
    active = absl::DataLossError(absl::StrCat("they are those of assignment ", active->accepted.assignment.sequence()));
  }
  if (active.ok()) {
    documents_ = *std::move(active);
  } else {
    LogError("the documents of the running update cannot be read", {{"error", ToPersonText(active.status())}});
  }
}

// --- events ---

void Coordinator::OnUmStatus(const UmInfo& um, bool registered) {
  leftovers_.Look(um, registered);
  if (update_.phase != Phase::kIdle) {
    Handle(StatusEvent(update_, parts_.desired, um, registered));
  } else {
    if (registered) window_.SealUms();
    intake_.OnInventory();
  }
  if (registered || um.last.update_state() == updatemanager::v2::IDLE) PublishReported();
  Changed();
}

void Coordinator::OnUmLost(const UmInfo& um) {
  Handle(NodeEvent(Event::Kind::kUmLost, um.node.node_id()));
  Changed();
}

void Coordinator::OnDesired(const DesiredEnvelopes& documents) {
  intake_.OnDesired(documents);
  KeepTicking();
  Changed();
}

void Coordinator::OnKeySets(const std::vector<std::string>& key_sets) {
  if (!intake_.OnKeySets(key_sets).ok()) return;
  if (update_.phase == Phase::kIdle || update_.decision == Decision::kCommit || documents() == nullptr) return;
  if (const absl::Status still = CheckStillSigned(*documents(), Keys()); !still.ok()) {
    Handle(
        UnitEvent(Event::Kind::kAbort, absl::StrCat("a newer key set revoked what signed it: ", ToPersonText(still))));
  }
}

void Coordinator::OnVerdict(const std::string& envelope) {
  const absl::StatusOr<release::v1::Verdict> opened = [&]() -> absl::StatusOr<release::v1::Verdict> {
    ASSIGN_OR_RETURN(const TrustedKeys keys, Keys());
    ASSIGN_OR_RETURN(Signed<release::v1::Verdict> verdict, OpenVerdict(envelope, keys));
    if (verdict.document.unit_id() == parts_.config.unit_id()) return std::move(verdict.document);
    return absl::PermissionDeniedError(absl::StrCat("it is for unit \"", verdict.document.unit_id(), "\""));
  }();
  if (!opened.ok()) return RefuseFromCloud(absl::StrCat("verdict: ", ToPersonText(opened.status())));
  if (opened->sequence() != update_.sequence || opened->attempt() != update_.attempt) {
    // Each copy of a provisional report is answered, so genuine ones come late, too.
    LogInfo("a verdict on another update",
            {{"sequence", absl::StrCat(opened->sequence())}, {"attempt", absl::StrCat(opened->attempt())}});
    return;
  }
  Handle(UnitEvent(opened->verified() ? Event::Kind::kVerified : Event::Kind::kNotVerified, opened->reason()));
}

// --- time ---

void Coordinator::KeepTicking() {
  if (ticking_ || (update_.phase == Phase::kIdle && !intake_.Waits())) return;
  ticking_ = true;
  last_tick_ = parts_.clock.Monotonic();
  scope_.PostAfter(kTick, [this] {
    ticking_ = false;
    Tick();
    KeepTicking();
  });
}

void Coordinator::Tick() {
  // In a longer pause the unit was asleep, or CM was: nobody had a chance to do anything.
  const absl::Duration elapsed = std::min(parts_.clock.Monotonic() - last_tick_, kLongestTick);
  intake_.Tick();
  Handle(TickEvent(elapsed + uncounted_));
  gates_.Tick();
}

bool Coordinator::MayFeedWatchdog() const {
  UnitUpdate now = update_;
  now.trial_elapsed += uncounted_;
  return !IsPastTrialDeadline(now, limits_);
}

}  // namespace tandem::cm
