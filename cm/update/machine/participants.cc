#include "cm/update/machine/participants.h"

#include <limits>
#include <tuple>

namespace tandem::cm {
namespace {

auto StartKey(const Participant& p) {
  const uint32_t rank = p.highest_first ? std::numeric_limits<uint32_t>::max() - p.priority : p.priority;
  return std::tuple(rank, p.switches_boot, p.node_id);
}

}  // namespace

void SortInStartOrder(std::vector<Participant>& participants) {
  std::ranges::sort(participants, [](const Participant& a, const Participant& b) { return StartKey(a) < StartKey(b); });
}

Participant* FindParticipant(UnitUpdate& update, const std::string& node_id) {
  auto found = std::ranges::find(update.participants, node_id, &Participant::node_id);
  return found == update.participants.end() ? nullptr : &*found;
}

const Participant* FindParticipant(const UnitUpdate& update, const std::string& node_id) {
  const auto found = std::ranges::find(update.participants, node_id, &Participant::node_id);
  return found == update.participants.end() ? nullptr : &*found;
}

bool IsBusy(const Participant& p) {
  return p.installing || (p.sent != UmCommand::kNone && !p.answered && !p.awaits_artifacts);
}

bool GaveNoAnswer(const Participant& p, const Limits& limits) {
  return p.sent != UmCommand::kNone && !p.answered && !p.installing && p.resend_after >= limits.resend_max;
}

bool HasReported(const Participant& p, UmState state) { return p.connected && p.reported && p.state == state; }

bool IsIdle(const Participant& p) { return p.reported && p.state == UmState::kIdle && !IsBusy(p); }

bool IsIdleOnUnknown(const Participant& p) { return IsIdle(p) && p.runs == Runs::kUnknown; }

bool IsCommitted(const Participant& p) { return IsIdle(p) && p.runs == Runs::kTarget; }

bool IsSettled(const Participant& p) {
  const bool untouched = p.prepares == 0;
  return p.reported ? IsIdle(p) && (untouched || !IsIdleOnUnknown(p)) : untouched;
}

bool AppliesLate(const Participant& p) { return p.prepares == 0 && p.runs_committed; }

bool IsStartTurn(const UnitUpdate& update, const Participant& participant) {
  for (const Participant& p : update.participants) {
    if (p.node_id == participant.node_id) return true;
    if (!HasReported(p, UmState::kUpdated)) return false;
  }
  return false;
}

bool IsApplyTurn(const UnitUpdate& update, const Participant& participant, const Limits& limits) {
  return participant.switches_boot || AllOf(update, [&](const Participant& p) {
           return !p.switches_boot || IsCommitted(p) || IsLeftover(p, limits);
         });
}

bool IsRevertTurn(const UnitUpdate& update, const Participant& participant, const Limits& limits) {
  for (auto p = update.participants.rbegin(); p != update.participants.rend(); ++p) {
    if (p->node_id == participant.node_id) return true;
    if (!IsSettled(*p) && p->step_elapsed <= limits.revert) return false;
  }
  return false;
}

bool HasStaged(const Participant& p, UmState state) { return HasReported(p, state) && !p.staged_other; }

bool LacksConditions(const UnitUpdate& update, const Participant& p) {
  return update.phase == Phase::kStarting && !update.ready && HasReported(p, UmState::kPrepared) && !IsBusy(p) &&
         IsStartTurn(update, p);
}

bool IsLeftover(const Participant& p, const Limits& limits) {
  if (IsCommitted(p) || p.step_elapsed <= limits.apply) return false;
  // A reboot may take as long as a start; one that is behind has forward attempts of its own.
  return p.connected && p.reported ? p.state == UmState::kUpdated || IsIdleOnUnknown(p)
                                   : p.missing_for > std::max(limits.registration, limits.start);
}

bool IsWorkingOn(const UnitUpdate& update, const Participant& participant, const Limits& limits) {
  switch (update.phase) {
    case Phase::kPreparing:
      return AppliesLate(participant);
    case Phase::kStarting:
      return participant.state != UmState::kUpdated && IsStartTurn(update, participant) &&
             !LacksConditions(update, participant);
    case Phase::kCommitting:
      // One that waits for its turn to apply uses up nothing.
      return !IsCommitted(participant) &&
             (participant.state != UmState::kUpdated || IsApplyTurn(update, participant, limits));
    case Phase::kReverting:
      return !IsSettled(participant) && IsRevertTurn(update, participant, limits);
    default:
      return false;
  }
}

}  // namespace tandem::cm
