// The two tables of the unit's update, with the guards and effects they are made of.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"
#include "cm/update/machine/unit_update.h"

namespace tandem::cm {
namespace {

// --- guards ---

bool WantedGone(const UnitUpdate& u, const Limits&) { return !u.abort_reason.empty() && !u.compensating; }

bool GateFailedCompensation(const UnitUpdate& u, const Limits&) { return !u.abort_reason.empty() && u.compensating; }

bool PrepareFailed(const UnitUpdate& u, const Limits&) {
  return AnyOf(u, [](const Participant& p) { return HasReported(p, UmState::kFailed) && p.prepares > 0; });
}

bool PreparedTooOften(const UnitUpdate& u, const Limits& limits) {
  return AnyOf(u, [&](const Participant& p) {
    return p.prepares >= limits.tries_per_um && HasReported(p, UmState::kIdle) && !IsBusy(p) && !p.awaits_artifacts &&
           p.since_sent >= p.resend_after;
  });
}

// While a UM starts, others of its computer may be away for as long as its reboot takes.
absl::Duration MayBeMissingFor(const UnitUpdate& u, const Limits& limits) {
  return u.phase == Phase::kStarting ? std::max(limits.registration, limits.start) : limits.registration;
}

bool UmMissing(const UnitUpdate& u, const Limits& limits) {
  return AnyOf(u, [&](const Participant& p) { return !p.connected && p.missing_for > MayBeMissingFor(u, limits); });
}

// Says that it is done, and runs something else.
bool IsOffTarget(const Participant& p) {
  return HasReported(p, UmState::kUpdated) && !IsBusy(p) &&
         (p.staged_other || (p.tells_running && p.runs != Runs::kTarget));
}

bool AnyOffTarget(const UnitUpdate& u, const Limits&) { return AnyOf(u, IsOffTarget); }

bool BudgetSpent(const UnitUpdate& u, const Limits& limits) {
  const absl::Duration budget = PhaseBudget(u, limits);
  return budget > absl::ZeroDuration() && u.phase_elapsed > budget;
}

bool AllPrepared(const UnitUpdate& u, const Limits&) {
  return AllOf(u,
               [](const Participant& p) { return HasStaged(p, UmState::kPrepared) && !IsBusy(p) && p.prepares > 0; });
}

bool AnyFailed(const UnitUpdate& u, const Limits&) {
  return AnyOf(u, [](const Participant& p) { return HasReported(p, UmState::kFailed); });
}

bool MayStart(const UnitUpdate& u, const Limits& limits) {
  // The way back out of mixed versions waits for no person.
  const bool allowed = u.compensating || ((u.approved || !u.needs_approval) && !u.paused);
  return u.ready && allowed && AllPrepared(u, limits);
}

// Has no longer, or never had, what this update asked it to prepare.
bool HasLeft(const Participant& p) {
  return !IsBusy(p) && (HasReported(p, UmState::kIdle) || (HasReported(p, UmState::kPrepared) && p.staged_other));
}

bool AnyLeft(const UnitUpdate& u, const Limits&) { return AnyOf(u, HasLeft); }

bool StartTooLong(const UnitUpdate& u, const Limits& limits) {
  return AnyOf(u, [&](const Participant& p) { return p.step_elapsed > limits.start; });
}

bool StartedTooOften(const UnitUpdate& u, const Limits& limits) {
  return AnyOf(u, [&](const Participant& p) {
    return p.starts >= limits.tries_per_um && HasReported(p, UmState::kPrepared) && !IsBusy(p) &&
           p.since_sent >= p.resend_after;
  });
}

bool TrialTooLong(const UnitUpdate& u, const Limits& limits) { return u.trial_elapsed > limits.trial_deadline; }

bool AllUpdated(const UnitUpdate& u, const Limits&) {
  return AllOf(u, [](const Participant& p) { return HasReported(p, UmState::kUpdated) && !IsBusy(p); });
}

bool AnyPreparedAgain(const UnitUpdate& u, const Limits&) {
  return AnyOf(u, [](const Participant& p) { return HasReported(p, UmState::kPrepared); });
}

bool MayCommit(const UnitUpdate& u, const Limits& limits) {
  return AllUpdated(u, limits) && u.gate_passed && (u.verified || !u.verify_before_commit);
}

bool AllCommitted(const UnitUpdate& u, const Limits&) {
  return AllOf(u, [](const Participant& p) { return IsCommitted(p); });
}

bool ForwardExhausted(const UnitUpdate& u, const Limits& limits) {
  return AnyOf(u, [&](const Participant& p) {
    const bool behind =
        p.connected && p.reported && p.state != UmState::kUpdated && !IsCommitted(p) && !IsIdleOnUnknown(p);
    // It works on its way forward, or says nothing, for longer than a whole preparation may take.
    if (behind && p.step_elapsed > limits.prepare + limits.start) return true;
    return p.forward_attempts >= limits.forward_attempts && behind && (!IsBusy(p) || GaveNoAnswer(p, limits)) &&
           (p.state == UmState::kFailed || p.since_sent >= p.resend_after);
  });
}

bool OnlyLeftoversMissing(const UnitUpdate& u, const Limits& limits) {
  return AllOf(u, [&](const Participant& p) { return IsCommitted(p) || IsLeftover(p, limits); });
}

// Nobody who took part is known when the record was lost with its copy.
bool Settled(const UnitUpdate& u) {
  return !u.participants.empty() && AllOf(u, [](const Participant& p) { return IsSettled(p); });
}

bool AnyOnTarget(const UnitUpdate& u) {
  return AnyOf(u, [](const Participant& p) { return p.reported && p.runs == Runs::kTarget; });
}

bool BackOnPrevious(const UnitUpdate& u, const Limits&) { return Settled(u) && !u.compensating && !AnyOnTarget(u); }

bool CompensatedAfterAll(const UnitUpdate& u, const Limits&) {
  return Settled(u) && u.compensating && AllOf(u, [](const Participant& p) { return p.runs == Runs::kTarget; });
}

bool MustCompensate(const UnitUpdate& u, const Limits&) {
  return Settled(u) && !u.compensating && AnyOnTarget(u) && AllOf(u, [](const Participant& p) {
           // A UM of Aos 8 refuses every lower version.
           return p.runs != Runs::kTarget || (!p.highest_first && std::ranges::all_of(p.targets, [](const Target& t) {
                    return !t.previous_version.empty();
                  }));
         });
}

bool StillMixed(const UnitUpdate& u, const Limits&) { return Settled(u); }

bool SomeGaveUp(const UnitUpdate& u, const Limits& limits) {
  return AllOf(u, [&](const Participant& p) { return IsSettled(p) || p.step_elapsed > limits.revert; });
}

bool AnyIdleOnTarget(const UnitUpdate& u, const Limits&) {
  return AnyOf(u, [](const Participant& p) { return IsCommitted(p); });
}

bool AllReported(const UnitUpdate& u, const Limits&) {
  return AllOf(u, [](const Participant& p) { return p.reported && !IsIdleOnUnknown(p); });
}

// A UM that is gone for good, or cannot go back, must not keep the others from what comes next; it is told how this
// ended.
bool ReplacedAndKnown(const UnitUpdate& u, const Limits& limits) {
  return u.new_assignment_waits && AllOf(u, [&](const Participant& p) {
           const bool gone = !p.connected && p.missing_for > limits.registration;
           const bool tried_in_vain = p.connected && p.reported && !p.installing && p.sent != UmCommand::kNone &&
                                      (p.answered || GaveNoAnswer(p, limits));
           return IsSettled(p) || IsIdle(p) || gone || tried_in_vain;
         });
}

// --- effects ---

std::string FailedUms(const UnitUpdate& update) {
  std::string text;
  for (const Participant& p : update.participants) {
    if (!HasReported(p, UmState::kFailed)) continue;
    absl::StrAppend(&text, text.empty() ? "" : "; ", p.node_id, ": ", p.error.empty() ? "no reason given" : p.error);
  }
  return text;
}

void Abort(UnitUpdate& update, std::string reason) {
  update.decision = Decision::kAbort;
  // What came first is what has to be mended.
  update.reason = update.reason.empty() ? std::move(reason) : absl::StrCat(update.reason, "; going back: ", reason);
  update.abort_reason.clear();
}

void AbortAsWanted(UnitUpdate& update, const Limits&) { Abort(update, update.abort_reason); }

void AbortPrepareFailed(UnitUpdate& update, const Limits&) {
  Abort(update, absl::StrCat("prepare failed at ", FailedUms(update)));
}

void AbortFailed(UnitUpdate& update, const Limits&) {
  Abort(update, absl::StrCat(update.phase == Phase::kStarting ? "start failed at " : "failed at ", FailedUms(update)));
}

void AbortMissing(UnitUpdate& update, const Limits& limits) {
  const absl::Duration limit = MayBeMissingFor(update, limits);
  std::string who;
  for (const Participant& p : update.participants) {
    if (!p.connected && p.missing_for > limit) absl::StrAppend(&who, who.empty() ? "" : ", ", p.node_id);
  }
  Abort(update, absl::StrCat("no connection from ", who, " for ", absl::FormatDuration(limit)));
}

void AbortOffTarget(UnitUpdate& update, const Limits&) {
  std::string who;
  for (const Participant& p : update.participants) {
    if (!IsOffTarget(p)) continue;
    for (const Target& target : p.targets) {
      absl::StrAppend(&who, who.empty() ? "" : "; ", p.node_id, " says that it is updated, but does not run ",
                      target.component_id, " ", target.version);
    }
  }
  Abort(update, who);
}

void AbortBudget(UnitUpdate& update, const Limits& limits) {
  std::string waited;
  for (const std::string& line : WaitsFor(update, limits)) absl::StrAppend(&waited, waited.empty() ? "" : "; ", line);
  Abort(update, absl::StrCat(std::string(Name(update.phase)), " took longer than ",
                             absl::FormatDuration(PhaseBudget(update, limits)), ", waiting for: ", waited));
}

void AbortLeft(UnitUpdate& update, const Limits&) {
  std::string who;
  for (const Participant& p : update.participants) {
    if (!HasLeft(p)) continue;
    absl::StrAppend(&who, who.empty() ? "" : "; ", p.node_id,
                    p.staged_other            ? " has prepared another version"
                    : p.runs == Runs::kTarget ? " made the new version permanent by itself"
                                              : " no longer has what it prepared");
  }
  Abort(update, who);
}

void AbortStartTooLong(UnitUpdate& update, const Limits& limits) {
  std::string who;
  for (const Participant& p : update.participants) {
    if (p.step_elapsed > limits.start) {
      absl::StrAppend(&who, p.node_id, p.connected ? " did not finish its start within " : " did not come back within ",
                      absl::FormatDuration(limits.start));
    }
  }
  Abort(update, who);
}

void AbortTrialTooLong(UnitUpdate& update, const Limits& limits) {
  std::string waited;
  for (const std::string& line : WaitsFor(update, limits)) absl::StrAppend(&waited, waited.empty() ? "" : "; ", line);
  Abort(update, absl::StrCat("not committed within the trial deadline of ", absl::FormatDuration(limits.trial_deadline),
                             ", waiting for: ", waited));
}

void AbortTooOften(UnitUpdate& update, const Limits& limits) {
  std::string who;
  for (const Participant& p : update.participants) {
    if (p.prepares >= limits.tries_per_um || p.starts >= limits.tries_per_um) {
      absl::StrAppend(&who, who.empty() ? "" : ", ", p.node_id);
    }
  }
  Abort(update, absl::StrCat(who, " lost its state ", limits.tries_per_um, " times"));
}

void AbortRecordLost(UnitUpdate& update, const Limits&) {
  Abort(update, "the decision record was lost, and no component had the new version for good");
}

void Commit(UnitUpdate& update, const Limits&) {
  update.decision = Decision::kCommit;
  update.trial_running = false;
}

// What held in Ready is looked at again when the unit is ready again.
void ForgetReadiness(UnitUpdate& update, const Limits&) {
  update.ready = false;
  update.ready_reason.clear();
}

void StartTrial(UnitUpdate& update, const Limits&) {
  update.trial_running = true;
  update.gate_passed = false;
}

void FinishApplied(UnitUpdate& update, const Limits& limits) {
  update.outcome = update.compensating ? Outcome::kReverted : Outcome::kApplied;
  std::string but;
  for (const Participant& p : update.participants) {
    const bool left = !IsCommitted(p);
    if (left) update.leftovers.push_back(p.node_id);
    if (!left && p.error.empty()) continue;
    absl::StrAppend(&but, but.empty() ? "" : "; ", p.node_id,
                    !left          ? ": apply: "
                    : !p.connected ? absl::StrCat(" is away for longer than ", absl::FormatDuration(limits.apply))
                                   : " could not apply: ",
                    left && !p.connected ? std::string()
                    : IsIdleOnUnknown(p) ? "it does not say which version it runs"
                    : p.error.empty()    ? "no reason given"
                                         : p.error);
  }
  if (!but.empty()) update.reason = absl::StrCat(update.reason, update.reason.empty() ? "" : "; ", but);
}

void NameMixed(UnitUpdate& update, const Limits&) {
  std::string who;
  for (const Participant& p : update.participants) {
    if ((p.runs == Runs::kTarget) == update.compensating) continue;
    absl::StrAppend(&who, who.empty() ? "" : ", ", p.node_id);
  }
  absl::StrAppend(&update.reason, update.reason.empty() ? "" : "; going back: ", who,
                  " did not come back to the version before");
}

void FinishReverted(UnitUpdate& update, const Limits&) { update.outcome = Outcome::kReverted; }

void FinishNeedsService(UnitUpdate& update, const Limits&) { update.outcome = Outcome::kNeedsService; }

void AbortExhausted(UnitUpdate& update, const Limits& limits) {
  Abort(update, absl::StrCat("after COMMIT the new version did not come up with ", limits.forward_attempts,
                             " further commands", FailedUms(update).empty() ? "" : " at ", FailedUms(update),
                             "; going back to the previous versions"));
}

// The participants that run the new version get an update of their own, back to the previous one.
void Compensate(UnitUpdate& update, const Limits&) {
  std::vector<Participant> back;
  for (Participant& old : update.participants) {
    if (old.runs != Runs::kTarget) continue;
    Participant p = std::move(old);
    for (Target& target : p.targets) {
      std::swap(target.version, target.previous_version);
      // The bytes are still in the other slot; the release they came from is no longer what the unit is assigned.
      target.sha256.clear();
      target.size = 0;
      target.path.clear();
      target.security_version = 0;
      target.annotations.clear();
      target.release_digest.clear();
    }
    p.prepares = p.starts = p.forward_attempts = 0;
    p.runs = Runs::kOther;
    p.prepare_went_out = false;
    p.bytes_done = 0;
    back.push_back(std::move(p));
  }
  update.compensating = true;
  update.abort_reason.clear();
  update.approved = true;
  update.ready = false;
  update.verify_before_commit = false;
  update.gate_passed = false;
  update.trial_running = false;
  update.trial_elapsed = absl::ZeroDuration();
  update = Begin(std::move(update), std::move(back));
}

// Searched in order for the current phase; the first row whose guard holds is taken, and then the search begins again.
constexpr Transition kTransitions[] = {
    {Phase::kPreparing, "an operator, the fleet or a newer assignment wants it gone", WantedGone, Phase::kReverting,
     "ABORT", AbortAsWanted},
    {Phase::kPreparing, "a UM is FAILED", PrepareFailed, Phase::kReverting, "ABORT", AbortPrepareFailed},
    {Phase::kPreparing, "a UM lost what it prepared too often", PreparedTooOften, Phase::kReverting, "ABORT",
     AbortTooOften},
    {Phase::kPreparing, "the prepare budget is spent", BudgetSpent, Phase::kReverting, "ABORT", AbortBudget},
    {Phase::kPreparing, "all UMs are PREPARED", AllPrepared, Phase::kReady, "", nullptr},

    {Phase::kReady, "an operator, the fleet or a newer assignment wants it gone", WantedGone, Phase::kReverting,
     "ABORT", AbortAsWanted},
    {Phase::kReady, "a UM is FAILED", AnyFailed, Phase::kReverting, "ABORT", AbortFailed},
    {Phase::kReady, "a UM lost what it prepared", AnyLeft, Phase::kPreparing, "", ForgetReadiness},
    {Phase::kReady, "the ready budget is spent", BudgetSpent, Phase::kReverting, "ABORT", AbortBudget},
    {Phase::kReady, "the conditions hold, all UMs are PREPARED, and approved and not paused (or compensating)",
     MayStart, Phase::kStarting, "", nullptr},

    {Phase::kStarting, "an operator, the fleet or a newer assignment wants it gone", WantedGone, Phase::kReverting,
     "ABORT", AbortAsWanted},
    {Phase::kStarting, "a UM is FAILED", AnyFailed, Phase::kReverting, "ABORT", AbortFailed},
    {Phase::kStarting, "a UM is IDLE: it left the update", AnyLeft, Phase::kReverting, "ABORT", AbortLeft},
    {Phase::kStarting, "a UM's start budget is spent", StartTooLong, Phase::kReverting, "ABORT", AbortStartTooLong},
    {Phase::kStarting, "a UM is missing longer than the registration and the start budget", UmMissing,
     Phase::kReverting, "ABORT", AbortMissing},
    {Phase::kStarting, "a UM is UPDATED, but runs another version", AnyOffTarget, Phase::kReverting, "ABORT",
     AbortOffTarget},
    {Phase::kStarting, "a UM had to be started too often", StartedTooOften, Phase::kReverting, "ABORT", AbortTooOften},
    {Phase::kStarting, "the trial deadline has passed", TrialTooLong, Phase::kReverting, "ABORT", AbortTrialTooLong},
    {Phase::kStarting, "all UMs are UPDATED", AllUpdated, Phase::kTrial, "the gate begins", StartTrial},

    {Phase::kTrial, "the gate failed, or somebody wants it gone", WantedGone, Phase::kReverting, "ABORT",
     AbortAsWanted},
    {Phase::kTrial, "the gate failed in a compensating update", GateFailedCompensation, Phase::kReverting, "ABORT",
     AbortAsWanted},
    {Phase::kTrial, "a UM is FAILED", AnyFailed, Phase::kReverting, "ABORT", AbortFailed},
    {Phase::kTrial, "a UM is IDLE: it left the update", AnyLeft, Phase::kReverting, "ABORT", AbortLeft},
    {Phase::kTrial, "a UM is UPDATED, but runs another version", AnyOffTarget, Phase::kReverting, "ABORT",
     AbortOffTarget},
    {Phase::kTrial, "a UM is missing longer than the registration budget", UmMissing, Phase::kReverting, "ABORT",
     AbortMissing},
    {Phase::kTrial, "the trial deadline has passed", TrialTooLong, Phase::kReverting, "ABORT", AbortTrialTooLong},
    {Phase::kTrial, "a UM is PREPARED again", AnyPreparedAgain, Phase::kStarting, "", nullptr},
    {Phase::kTrial, "all UMs are UPDATED, the gate passed, and the verdict is good where one is awaited", MayCommit,
     Phase::kCommitting, "COMMIT", Commit},

    {Phase::kCommitting, "all UMs are IDLE on the new versions", AllCommitted, Phase::kIdle, "applied", FinishApplied},
    {Phase::kCommitting, "a UM fell back and its forward attempts are spent", ForwardExhausted, Phase::kReverting,
     "ABORT, compensate", AbortExhausted},
    {Phase::kCommitting, "the others are gone or cannot apply, for longer than the apply budget", OnlyLeftoversMissing,
     Phase::kIdle, "applied, with leftovers", FinishApplied},

    {Phase::kReverting, "all UMs are IDLE on the previous versions", BackOnPrevious, Phase::kIdle, "reverted",
     FinishReverted},
    {Phase::kReverting, "all UMs of a compensating update are IDLE on its versions", CompensatedAfterAll, Phase::kIdle,
     "reverted", FinishReverted},
    {Phase::kReverting, "all UMs are IDLE, some on new versions, and their previous ones are known", MustCompensate,
     Phase::kPreparing, "a compensating update begins", Compensate},
    {Phase::kReverting, "all UMs are IDLE on mixed versions", StillMixed, Phase::kNeedsService, "", NameMixed},
    {Phase::kReverting, "the revert budget of every UM that is not IDLE is spent", SomeGaveUp, Phase::kNeedsService, "",
     nullptr},

    {Phase::kRecovering, "a UM is IDLE on its new version: COMMIT had been decided", AnyIdleOnTarget,
     Phase::kCommitting, "COMMIT", Commit},
    {Phase::kRecovering, "all UMs reported what they run, none IDLE on its new version", AllReported, Phase::kReverting,
     "ABORT", AbortRecordLost},
    {Phase::kRecovering, "the registration budget is spent", BudgetSpent, Phase::kReverting, "ABORT", AbortRecordLost},

    {Phase::kNeedsService, "all UMs are IDLE on the previous versions after all", BackOnPrevious, Phase::kIdle,
     "reverted", FinishReverted},
    {Phase::kNeedsService, "all UMs of a compensating update are IDLE on its versions after all", CompensatedAfterAll,
     Phase::kIdle, "reverted", FinishReverted},
    {Phase::kNeedsService, "a new assignment waits, and every UM is IDLE, gone, or cannot go back", ReplacedAndKnown,
     Phase::kIdle, "needs service", FinishNeedsService},
};

// --- command guards ---

bool Untouched(const UnitUpdate&, const Participant& p, const Limits&) { return p.prepares == 0; }
bool IsLate(const UnitUpdate&, const Participant& p, const Limits&) { return AppliesLate(p); }
// One that cannot apply may still come forward by way of its old version.
bool MayApplyLate(const UnitUpdate&, const Participant& p, const Limits& limits) {
  return AppliesLate(p) && p.step_elapsed <= limits.apply;
}
bool Always(const UnitUpdate&, const Participant&, const Limits&) { return true; }
bool StagedOther(const UnitUpdate&, const Participant& p, const Limits&) { return p.staged_other; }
bool MayPrepare(const UnitUpdate&, const Participant& p, const Limits& limits) {
  return p.prepares < limits.tries_per_um || p.awaits_artifacts;
}
bool ItsStartTurn(const UnitUpdate& u, const Participant& p, const Limits& limits) {
  return u.ready && p.starts < limits.tries_per_um && IsStartTurn(u, p);
}
bool ItsApplyTurn(const UnitUpdate& u, const Participant& p, const Limits& limits) { return IsApplyTurn(u, p, limits); }
bool ForwardFromIdle(const UnitUpdate&, const Participant& p, const Limits& limits) {
  return p.runs == Runs::kOther && (p.forward_attempts < limits.forward_attempts || p.awaits_artifacts);
}
// Starts now, or may do so out of sight: it was told to and is rebooting, or CM has not seen it since its own restart.
bool MayBeStarting(const Participant& p, const Limits& limits) {
  if (p.sent == UmCommand::kStart) return true;
  if (p.connected && p.reported) return p.state == UmState::kPrepared && p.installing;
  const bool settled = p.reported && (p.state == UmState::kIdle || p.state == UmState::kUpdated);
  // One that stays away must not hold up the others for ever.
  return !settled && p.missing_for <= limits.start;
}
bool NoOtherMayBeStarting(const UnitUpdate& u, const Participant& p, const Limits& limits) {
  return std::ranges::none_of(u.participants, [&](const Participant& other) {
    return other.node_id != p.node_id && MayBeStarting(other, limits);
  });
}
bool ForwardLeft(const UnitUpdate& u, const Participant& p, const Limits& limits) {
  return u.ready && p.forward_attempts < limits.forward_attempts && NoOtherMayBeStarting(u, p, limits);
}
// What it has staged did not come up, or is lost.
bool ForwardAnew(const UnitUpdate& u, const Participant& p, const Limits& limits) {
  constexpr uint32_t kRevertPrepareStart = 3;
  return p.forward_attempts > 0 && p.forward_attempts + kRevertPrepareStart <= limits.forward_attempts &&
         NoOtherMayBeStarting(u, p, limits);
}
bool ItsRevertTurn(const UnitUpdate& u, const Participant& p, const Limits& limits) {
  return IsRevertTurn(u, p, limits);
}
bool StillPreparing(const UnitUpdate& u, const Participant& p, const Limits& limits) {
  return IsBusy(p) && IsRevertTurn(u, p, limits);
}

// Searched in order for each connected UM; a command is sent again, with back-off, while its row still matches.
constexpr CommandRule kCommands[] = {
    {Phase::kPreparing, UmState::kUpdated,
     "left over from an older update, runs what the unit is committed to, and its apply budget is not spent",
     MayApplyLate, UmCommand::kApply},
    {Phase::kPreparing, UmState::kPrepared, "left over from an older update", Untouched, UmCommand::kRevert},
    {Phase::kPreparing, UmState::kUpdated, "left over from an older update", Untouched, UmCommand::kRevert},
    {Phase::kPreparing, UmState::kFailed, "left over from an older update", Untouched, UmCommand::kRevert},
    {Phase::kPreparing, UmState::kPrepared, "it has prepared another version", StagedOther, UmCommand::kRevert},
    {Phase::kPreparing, UmState::kUpdated, "it runs another version on trial", StagedOther, UmCommand::kRevert},
    {Phase::kPreparing, UmState::kIdle, "tries are left", MayPrepare, UmCommand::kPrepare},

    {Phase::kStarting, UmState::kPrepared, "the conditions hold, and all UMs before it in start order are UPDATED",
     ItsStartTurn, UmCommand::kStart},

    {Phase::kCommitting, UmState::kUpdated, "it switches a boot, or all that do have applied, or cannot", ItsApplyTurn,
     UmCommand::kApply},
    {Phase::kCommitting, UmState::kFailed,
     "it was started in vain, attempts for all three are left, and no other UM can be starting", ForwardAnew,
     UmCommand::kRevert},
    {Phase::kCommitting, UmState::kFailed,
     "the conditions hold, forward attempts are left, and no other UM can be starting", ForwardLeft, UmCommand::kStart},
    {Phase::kCommitting, UmState::kPrepared,
     "the conditions hold, forward attempts are left, and no other UM can be starting", ForwardLeft, UmCommand::kStart},
    {Phase::kCommitting, UmState::kIdle, "it runs its old version, and forward attempts are left", ForwardFromIdle,
     UmCommand::kPrepare},

    {Phase::kReverting, UmState::kUpdated, "left over from an older update, and runs what the unit is committed to",
     IsLate, UmCommand::kApply},
    {Phase::kReverting, UmState::kPrepared, "all UMs after it in start order are IDLE, or gave up", ItsRevertTurn,
     UmCommand::kRevert},
    {Phase::kReverting, UmState::kUpdated, "all UMs after it in start order are IDLE, or gave up", ItsRevertTurn,
     UmCommand::kRevert},
    {Phase::kReverting, UmState::kFailed, "all UMs after it in start order are IDLE, or gave up", ItsRevertTurn,
     UmCommand::kRevert},
    {Phase::kReverting, UmState::kIdle, "it still prepares", StillPreparing, UmCommand::kRevert},

    {Phase::kNeedsService, UmState::kUpdated, "left over from an older update, and runs what the unit is committed to",
     IsLate, UmCommand::kApply},
    {Phase::kNeedsService, UmState::kPrepared, "", Always, UmCommand::kRevert},
    {Phase::kNeedsService, UmState::kUpdated, "", Always, UmCommand::kRevert},
    {Phase::kNeedsService, UmState::kFailed, "", Always, UmCommand::kRevert},
};

}  // namespace

std::span<const Transition> Transitions() { return kTransitions; }
std::span<const CommandRule> Commands() { return kCommands; }

}  // namespace tandem::cm
