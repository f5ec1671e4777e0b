// What people are told about an update: names, and what it waits for.
#include "absl/strings/str_cat.h"
#include "cm/update/machine/participants.h"
#include "cm/update/machine/unit_update.h"

namespace tandem::cm {

std::string_view Name(Phase phase) {
  switch (phase) {
    case Phase::kIdle:
      return "Idle";
    case Phase::kPreparing:
      return "Preparing";
    case Phase::kReady:
      return "Ready";
    case Phase::kStarting:
      return "Starting";
    case Phase::kTrial:
      return "Trial";
    case Phase::kCommitting:
      return "Committing";
    case Phase::kReverting:
      return "Reverting";
    case Phase::kRecovering:
      return "Recovering";
    case Phase::kNeedsService:
      return "NeedsService";
  }
  return "";
}

std::string_view Name(Decision decision) {
  switch (decision) {
    case Decision::kNone:
      return "none";
    case Decision::kCommit:
      return "COMMIT";
    case Decision::kAbort:
      return "ABORT";
  }
  return "";
}

std::string_view Name(UmState state) {
  switch (state) {
    case UmState::kIdle:
      return "IDLE";
    case UmState::kPrepared:
      return "PREPARED";
    case UmState::kUpdated:
      return "UPDATED";
    case UmState::kFailed:
      return "FAILED";
  }
  return "";
}

std::string_view Name(UmCommand command) {
  switch (command) {
    case UmCommand::kNone:
      return "none";
    case UmCommand::kPrepare:
      return "PrepareUpdate";
    case UmCommand::kStart:
      return "StartUpdate";
    case UmCommand::kApply:
      return "ApplyUpdate";
    case UmCommand::kRevert:
      return "RevertUpdate";
  }
  return "";
}

std::string_view Name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      return "running";
    case Outcome::kApplied:
      return "applied";
    case Outcome::kReverted:
      return "reverted";
    case Outcome::kNeedsService:
      return "needs_service";
  }
  return "";
}

namespace {

std::string WaitFor(const Participant& p, std::string_view what) {
  if (IsIdleOnUnknown(p)) what = "to say which version it runs";
  std::string text = absl::StrCat(p.node_id, p.connected ? " " : " (not connected) ", std::string(what));
  if (!p.error.empty()) absl::StrAppend(&text, " (", p.error, ")");
  return text;
}

}  // namespace

std::vector<std::string> WaitsFor(const UnitUpdate& update, const Limits& limits) {
  std::vector<std::string> lines;
  for (const Participant& p : update.participants) {
    switch (update.phase) {
      case Phase::kPreparing:
        if (!HasReported(p, UmState::kPrepared)) lines.push_back(WaitFor(p, "to be PREPARED"));
        break;
      case Phase::kReady:
        if (!p.connected) lines.push_back(WaitFor(p, "to connect"));
        break;
      case Phase::kStarting:
        if (LacksConditions(update, p)) {
          lines.push_back(update.ready_reason.empty() ? "the preconditions" : update.ready_reason);
        } else if (IsWorkingOn(update, p, limits)) {
          lines.push_back(WaitFor(p, "to be UPDATED"));
        } else if (!p.connected) {
          lines.push_back(WaitFor(p, "to connect"));
        }
        break;
      case Phase::kTrial:
        if (!HasReported(p, UmState::kUpdated)) lines.push_back(WaitFor(p, "to be UPDATED"));
        break;
      case Phase::kCommitting:
        if (!IsCommitted(p)) {
          const bool late = p.step_elapsed > limits.apply;
          lines.push_back(WaitFor(
              p, late ? "to apply the new version, for longer than its apply budget" : "to apply the new version"));
        }
        break;
      case Phase::kReverting:
      case Phase::kNeedsService:
        if (!IsSettled(p)) lines.push_back(WaitFor(p, "to go back"));
        break;
      case Phase::kRecovering:
        if (!p.reported || IsIdleOnUnknown(p)) lines.push_back(WaitFor(p, "to report"));
        break;
      case Phase::kIdle:
        break;
    }
  }
  if (update.phase == Phase::kReady) {
    const bool asks_people = !update.compensating;
    if (asks_people && update.paused) lines.emplace_back("somebody to resume (tandemctl resume)");
    if (asks_people && update.needs_approval && !update.approved) {
      lines.emplace_back("an approval (tandemctl approve)");
    }
    if (!update.ready) {
      lines.push_back(update.ready_reason.empty() ? "the preconditions" : update.ready_reason);
    }
  }
  if (update.phase == Phase::kTrial) {
    if (!update.gate_passed) {
      lines.emplace_back("the health gate");
    } else if (update.verify_before_commit && !update.verified) {
      lines.emplace_back("the fleet's verdict");
    }
  }
  return lines;
}

}  // namespace tandem::cm
