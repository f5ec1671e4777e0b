// Questions about the UMs of an update that the tables of unit_update.h are made of. Pure.
#ifndef TANDEM_CM_UPDATE_MACHINE_PARTICIPANTS_H_
#define TANDEM_CM_UPDATE_MACHINE_PARTICIPANTS_H_

#include <algorithm>
#include <string>
#include <vector>

#include "cm/update/machine/unit_update.h"

namespace tandem::cm {

// Lower priority value first (the highest first among Aos 8 UMs); among equals those that switch a boot come last, then
// by node_id.
void SortInStartOrder(std::vector<Participant>& participants);

// nullptr when the node takes no part.
Participant* FindParticipant(UnitUpdate& update, const std::string& node_id);
const Participant* FindParticipant(const UnitUpdate& update, const std::string& node_id);

template <typename Predicate>
bool AllOf(const UnitUpdate& update, Predicate predicate) {
  return std::ranges::all_of(update.participants, predicate);
}

template <typename Predicate>
bool AnyOf(const UnitUpdate& update, Predicate predicate) {
  return std::ranges::any_of(update.participants, predicate);
}

// Works on a command, or has not answered one.
bool IsBusy(const Participant& participant);

// Has not answered a command, however often that was repeated.
bool GaveNoAnswer(const Participant& participant, const Limits& limits);

// Is connected, and its last status says `state`.
bool HasReported(const Participant& participant, UmState state);

// Has carried the commit out.
bool IsCommitted(const Participant& participant);

// Is IDLE, and does nothing.
bool IsIdle(const Participant& participant);

// Is IDLE, and does not say what it runs.
bool IsIdleOnUnknown(const Participant& participant);

// The update before was closed as applied without it, and this one has not touched it yet.
bool AppliesLate(const Participant& participant);

// Is out of the update: IDLE on a version that is known, or never touched by it.
bool IsSettled(const Participant& participant);

// Every UM before it in start order is UPDATED.
bool IsStartTurn(const UnitUpdate& update, const Participant& participant);

// It switches a boot, or every UM that does is committed.
bool IsApplyTurn(const UnitUpdate& update, const Participant& participant, const Limits& limits);

// Every UM after it in start order is settled, or has spent its revert budget.
bool IsRevertTurn(const UnitUpdate& update, const Participant& participant, const Limits& limits);

// StartUpdate is its turn, and only the conditions are missing.
bool LacksConditions(const UnitUpdate& update, const Participant& participant);

// Says PREPARED, or UPDATED, of what this update asks for.
bool HasStaged(const Participant& participant, UmState state);

// May keep the others waiting for ever after COMMIT: it is gone, or cannot apply.
bool IsLeftover(const Participant& participant, const Limits& limits);

// Its Start, Apply or Revert is what the update waits for: its step clock runs.
bool IsWorkingOn(const UnitUpdate& update, const Participant& participant, const Limits& limits);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_MACHINE_PARTICIPANTS_H_
