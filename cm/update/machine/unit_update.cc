#include "cm/update/machine/unit_update.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"

namespace tandem::cm {

UnitUpdate Begin(UnitUpdate update, std::vector<Participant> participants) {
  SortInStartOrder(participants);
  update.phase = Phase::kPreparing;
  update.decision = Decision::kNone;
  update.outcome = Outcome::kNone;
  update.participants = std::move(participants);
  return update;
}

void ObserveStatus(Participant& participant, const Event& event) {
  if (event.um_registered || !participant.connected) {
    participant.sent = UmCommand::kNone;
    participant.awaits_artifacts = false;
  }
  participant.answered = true;
  participant.connected = true;
  participant.reported = true;
  participant.missing_for = absl::ZeroDuration();
  participant.state = event.um_state;
  participant.installing = event.um_installing;
  participant.runs = event.um_runs;
  participant.tells_running = event.um_tells_running;
  participant.staged_other = event.um_staged_other;
  participant.runs_committed = event.um_runs_committed;
  if (event.um_bytes_done > participant.bytes_done) {
    participant.bytes_done = event.um_bytes_done;
    participant.prepares = std::min(participant.prepares, 1U);
  }
  participant.error = event.text;
}

namespace {

// --- folding an event into the facts ---

void ObserveTime(UnitUpdate& update, absl::Duration elapsed, const Limits& limits) {
  update.phase_elapsed += elapsed;
  // Nothing else bounds how long a unit that has begun to start waits for its conditions.
  const bool held_up = AnyOf(update, [&](const Participant& p) { return LacksConditions(update, p); });
  if (update.trial_running || held_up) update.trial_elapsed += elapsed;
  for (Participant& participant : update.participants) {
    participant.since_sent += elapsed;
    if (!participant.connected) participant.missing_for += elapsed;
    if (IsWorkingOn(update, participant, limits)) participant.step_elapsed += elapsed;
  }
}

void ObserveLoss(Participant& participant) {
  participant.connected = false;
  participant.installing = false;
  participant.sent = UmCommand::kNone;
  participant.awaits_artifacts = false;
}

// Only what is undecided can be given up, and a compensating update is the way back already.
bool CanStillAbort(const UnitUpdate& update) { return update.decision == Decision::kNone && !update.compensating; }

bool AwaitsVerdict(const UnitUpdate& update) {
  return update.phase == Phase::kTrial && update.verify_before_commit && CanStillAbort(update);
}

void Observe(UnitUpdate& update, const Event& event, const Limits& limits) {
  Participant* participant = FindParticipant(update, event.node_id);
  switch (event.kind) {
    case Event::Kind::kTick:
      return ObserveTime(update, event.elapsed, limits);
    case Event::Kind::kUmStatus:
      if (participant != nullptr) ObserveStatus(*participant, event);
      return;
    case Event::Kind::kUmLost:
      if (participant != nullptr) ObserveLoss(*participant);
      return;
    case Event::Kind::kReadiness:
      update.ready = event.flag;
      update.ready_reason = event.text;
      return;
    case Event::Kind::kApproved:
      update.approved = true;
      return;
    case Event::Kind::kPaused:
      update.paused = true;
      return;
    case Event::Kind::kResumed:
      update.paused = false;
      return;
    case Event::Kind::kAbort:
      if (CanStillAbort(update)) update.abort_reason = event.text;
      return;
    case Event::Kind::kGatePassed:
      update.gate_passed = update.phase == Phase::kTrial;
      return;
    case Event::Kind::kGateFailed:
      if (update.phase == Phase::kTrial) update.abort_reason = absl::StrCat("health gate failed: ", event.text);
      return;
    case Event::Kind::kVerified:
      // The fleet judges what runs on trial; nothing else.
      update.verified = update.verified || AwaitsVerdict(update);
      return;
    case Event::Kind::kNotVerified:
      if (AwaitsVerdict(update)) update.abort_reason = absl::StrCat("the fleet's verification failed: ", event.text);
      return;
    case Event::Kind::kNewAssignmentWaits:
      update.new_assignment_waits = true;
      return;
    case Event::Kind::kSourcesChanged:
      for (Participant& each : update.participants) each.sources_changed = each.prepares > 0;
      return;
    case Event::Kind::kNoArtifacts:
      // Who has everything needs nothing any more.
      if (participant != nullptr && participant->reported && participant->state != UmState::kIdle) return;
      if (CanStillAbort(update)) {
        update.abort_reason = absl::StrCat("artifacts for ", event.node_id, ": ", event.text);
      } else if (participant != nullptr) {
        // As if the UM had tried and failed: it is tried again, a bounded number of times.
        participant->awaits_artifacts = false;
        participant->answered = true;
        participant->error = event.text;
      }
      return;
    case Event::Kind::kPrepareWentOut:
      if (participant == nullptr || !participant->awaits_artifacts) return;
      participant->awaits_artifacts = false;
      participant->prepare_went_out = true;
      participant->answered = false;
      return;
  }
}

UmCommand Wanted(const UnitUpdate& update, const Participant& participant, const Limits& limits) {
  if (!participant.connected || !participant.reported) return UmCommand::kNone;
  for (const CommandRule& rule : Commands()) {
    if (rule.phase == update.phase && rule.state == participant.state && rule.guard(update, participant, limits)) {
      return rule.command;
    }
  }
  return UmCommand::kNone;
}

void CountSent(UnitUpdate& update, Participant& participant, UmCommand command) {
  if (command == UmCommand::kPrepare && (participant.prepares == 0 || participant.prepare_went_out)) {
    ++participant.prepares;
    participant.prepare_went_out = false;
  }
  if (command != UmCommand::kApply && update.phase == Phase::kCommitting) ++participant.forward_attempts;
  if (command == UmCommand::kStart && update.phase == Phase::kStarting) {
    ++participant.starts;
    update.trial_running = update.trial_running || participant.switches_boot;
  }
}

// The same was tried and came to nothing: another try comes after a pause, also when the UM has just come back.
bool WasTried(const UnitUpdate& update, const Participant& participant, UmCommand command) {
  if (command != UmCommand::kPrepare && command != UmCommand::kStart) return false;
  if (update.phase == Phase::kCommitting) return participant.forward_attempts > 0;
  return command == UmCommand::kPrepare ? participant.prepare_went_out : participant.starts > 0;
}

void SendWanted(UnitUpdate& update, const Limits& limits, std::vector<Action>& actions) {
  for (Participant& participant : update.participants) {
    const UmCommand wanted = Wanted(update, participant, limits);
    if (wanted == UmCommand::kNone) {
      if (!IsBusy(participant)) {
        participant.sent = UmCommand::kNone;
        participant.awaits_artifacts = false;
      }
      continue;
    }
    // A UM that works is told when it is done; only a preparation can be cancelled.
    const bool cancels = wanted == UmCommand::kRevert && participant.state == UmState::kIdle;
    // It goes on with what it has, from where the artifacts are now.
    const bool redirects = wanted == UmCommand::kPrepare && std::exchange(participant.sources_changed, false);
    if (participant.installing && !cancels && !redirects) continue;
    const bool again = wanted == participant.sent && !redirects;
    const bool unanswered = again && !participant.answered;
    // A UM may be silent for as long as a download takes; any other command is worth repeating.
    if (again && wanted == UmCommand::kPrepare && (unanswered || participant.awaits_artifacts)) continue;
    if (again || (!redirects && WasTried(update, participant, wanted))) {
      if (participant.since_sent < participant.resend_after) continue;
      participant.resend_after = std::clamp(participant.resend_after * 2, limits.resend_first, limits.resend_max);
    } else {
      participant.resend_after = limits.resend_first;
    }
    participant.sent = wanted;
    participant.awaits_artifacts = wanted == UmCommand::kPrepare;
    participant.answered = false;
    participant.since_sent = absl::ZeroDuration();
    // A repetition is a new try only where the UM tried, failed and must go forward all the same.
    const bool tried_again = update.phase == Phase::kCommitting && (!unanswered || GaveNoAnswer(participant, limits));
    const bool counts = !redirects && (!again || tried_again);
    if (counts) CountSent(update, participant, wanted);
    // What held for this StartUpdate need not hold for the next one.
    if (wanted == UmCommand::kStart) update.ready = false;
    actions.push_back({Action::Kind::kSend, participant.node_id, wanted});
  }
}

// The first row that matches, or nullptr.
const Transition* FindTransition(const UnitUpdate& update, const Limits& limits) {
  for (const Transition& row : Transitions()) {
    if (row.from == update.phase && row.guard(update, limits)) return &row;
  }
  return nullptr;
}

void EnterPhase(UnitUpdate& update, Phase phase) {
  update.phase = phase;
  update.phase_elapsed = absl::ZeroDuration();
  for (Participant& participant : update.participants) participant.step_elapsed = absl::ZeroDuration();
}

}  // namespace

Step Advance(const UnitUpdate& update, const Event& event, const Limits& limits) {
  Step step{.update = update, .actions = {}};
  if (update.phase == Phase::kIdle) return step;
  Observe(step.update, event, limits);
  // No path through the table is longer than the number of phases.
  for (int hops = 0; hops < 9; ++hops) {
    const Transition* row = FindTransition(step.update, limits);
    if (row == nullptr) break;
    if (row->effect != nullptr) row->effect(step.update, limits);
    EnterPhase(step.update, row->to);
    step.actions.push_back({Action::Kind::kPhaseChanged, "", UmCommand::kNone});
    if (row->to == Phase::kIdle) {
      step.actions.push_back({Action::Kind::kFinished, "", UmCommand::kNone});
      return step;
    }
  }
  SendWanted(step.update, limits, step.actions);
  return step;
}

bool StillWantsPrepare(const UnitUpdate& update, const std::string& node_id) {
  const Participant* p = FindParticipant(update, node_id);
  return p != nullptr && p->sent == UmCommand::kPrepare && p->awaits_artifacts;
}

bool WaitsForConditions(const UnitUpdate& update, const Limits& limits) {
  if (update.ready || update.phase == Phase::kIdle) return false;
  UnitUpdate if_they_held = update;
  if_they_held.ready = true;
  if (update.phase == Phase::kReady) return true;
  return AnyOf(update, [&](const Participant& p) {
    return !p.installing && Wanted(if_they_held, p, limits) == UmCommand::kStart &&
           Wanted(update, p, limits) != UmCommand::kStart;
  });
}

bool IsPastTrialDeadline(const UnitUpdate& update, const Limits& limits) {
  return update.phase != Phase::kIdle && update.decision == Decision::kNone && update.trial_running &&
         update.trial_elapsed >= limits.trial_deadline;
}

absl::Duration PhaseBudget(const UnitUpdate& update, const Limits& limits) {
  switch (update.phase) {
    case Phase::kPreparing:
      return limits.prepare;
    case Phase::kReady:
      return limits.ready;
    case Phase::kRecovering:
      return limits.registration;
    case Phase::kTrial:
      return limits.trial_deadline;
    default:
      return absl::ZeroDuration();
  }
}

}  // namespace tandem::cm
