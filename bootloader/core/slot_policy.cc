#include "bootloader/core/slot_policy.h"

#include <array>

namespace tandem::boot {
namespace {

void EndTrial(BootRecord& record) {
  record.trial = Slot::kNone;
  record.attempts_left = 0;
}

bool TrialMayBoot(const BootRecord& record) { return record.IsBootable(record.trial) && record.attempts_left > 0; }

bool OtherIsGood(const BootRecord& record) {
  const Slot other = Other(record.active);
  return record.IsConfirmed(other) && record.IsBootable(other);
}

Slot ChooseNone(const BootRecord&) { return Slot::kNone; }
Slot ChooseTrial(const BootRecord& record) { return record.trial; }
Slot ChooseActive(const BootRecord& record) { return record.active; }
Slot ChooseOther(const BootRecord& record) { return Other(record.active); }

void ChangeNothing(BootRecord&) {}
void CountTrial(BootRecord& record) { --record.attempts_left; }
void MakeOtherActive(BootRecord& record) {
  record.active = Other(record.active);
  // What is active is not on trial.
  if (record.trial == record.active) EndTrial(record);
}

// The order matters. After the first row the record is known.
constexpr std::array<PolicyRow, 6> kTable = {{
    {BootReason::kRecordLost, "neither copy of the record can be read",
     "recovery: a guess could boot a half-written slot",
     [](const LoadedRecord& loaded) { return loaded.state == RecordState::kLost; }, ChooseNone, ChangeNothing},
    {BootReason::kTrial, "a bootable slot is on trial and has boots left", "boot it; one boot less is left",
     [](const LoadedRecord& loaded) { return TrialMayBoot(loaded.record); }, ChooseTrial, CountTrial},
    {BootReason::kTrialFailed, "a slot is on trial, the active one is bootable", "boot the active slot",
     [](const LoadedRecord& loaded) {
       return loaded.record.trial != Slot::kNone && loaded.record.IsBootable(loaded.record.active);
     },
     ChooseActive, ChangeNothing},
    {BootReason::kActive, "the active slot is bootable", "boot it",
     [](const LoadedRecord& loaded) { return loaded.record.IsBootable(loaded.record.active); }, ChooseActive,
     ChangeNothing},
    {BootReason::kActiveUnbootable, "the other slot is confirmed and bootable", "make it active and boot it",
     [](const LoadedRecord& loaded) { return OtherIsGood(loaded.record); }, ChooseOther, MakeOtherActive},
    {BootReason::kNothingBootable, "always", "recovery", [](const LoadedRecord&) { return true; }, ChooseNone,
     ChangeNothing},
}};

bool IsSlot(Slot slot) { return slot == Slot::kA || slot == Slot::kB; }
bool AttemptsFit(uint8_t attempts) { return attempts >= 1 && attempts <= kMaxAttempts; }

}  // namespace

std::span<const PolicyRow> PolicyTable() { return kTable; }

Decision Decide(const LoadedRecord& loaded) {
  const PolicyRow* row = kTable.data();
  while (!row->matches(loaded)) ++row;
  Decision decision{.slot = row->choose(loaded.record), .reason = row->reason, .record = loaded.record};
  // A record that cannot be read is left as it is, for whoever repairs the unit.
  if (decision.slot == Slot::kNone) return decision;
  row->change(decision.record);
  decision.record.last_chosen = decision.slot;
  decision.write = loaded.state == RecordState::kBlank || decision.record != loaded.record;
  if (decision.write) ++decision.record.sequence;
  return decision;
}

const char* ReasonText(BootReason reason) {
  switch (reason) {
    case BootReason::kRecordLost:
      return "recovery: the boot record is lost";
    case BootReason::kTrial:
      return "trial boot";
    case BootReason::kTrialFailed:
      return "back to the confirmed slot: the trial ran out of boots or its slot is unbootable";
    case BootReason::kActive:
      return "confirmed slot";
    case BootReason::kActiveUnbootable:
      return "the other confirmed slot: the active one is unbootable";
    case BootReason::kNothingBootable:
      break;
  }
  return "recovery: no slot is bootable";
}

ChangeResult MarkUnbootable(BootRecord& record, Slot slot) {
  if (!IsSlot(slot)) return ChangeResult::kNoSuchSlot;
  if (slot == record.active) {
    if (!OtherIsGood(record)) return ChangeResult::kOnlyGoodSlot;
    MakeOtherActive(record);
  }
  record.unbootable |= Bit(slot);
  record.confirmed &= static_cast<uint8_t>(~Bit(slot));
  if (record.trial == slot) EndTrial(record);
  return ChangeResult::kDone;
}

ChangeResult SetTrial(BootRecord& record, Slot slot, uint8_t attempts) {
  if (!IsSlot(slot)) return ChangeResult::kNoSuchSlot;
  if (slot == record.active) return ChangeResult::kIsActive;
  if (!AttemptsFit(attempts)) return ChangeResult::kAttemptsOutOfRange;
  record.trial = slot;
  record.attempts_left = attempts;
  record.unbootable &= static_cast<uint8_t>(~Bit(slot));
  return ChangeResult::kDone;
}

ChangeResult RearmAttempts(BootRecord& record, Slot slot, uint8_t attempts) {
  if (!IsSlot(slot)) return ChangeResult::kNoSuchSlot;
  if (slot != record.trial) return ChangeResult::kNotOnTrial;
  if (!AttemptsFit(attempts)) return ChangeResult::kAttemptsOutOfRange;
  record.attempts_left = attempts;
  return ChangeResult::kDone;
}

ChangeResult Confirm(BootRecord& record, Slot slot) {
  if (!IsSlot(slot)) return ChangeResult::kNoSuchSlot;
  if (slot != record.trial && slot != record.active) return ChangeResult::kNotOnTrial;
  record.active = slot;
  record.confirmed |= Bit(slot);
  record.unbootable &= static_cast<uint8_t>(~Bit(slot));
  EndTrial(record);
  return ChangeResult::kDone;
}

ChangeResult CancelTrial(BootRecord& record) {
  EndTrial(record);
  return ChangeResult::kDone;
}

ChangeResult RaiseSecurityCounter(BootRecord& record, uint32_t value) {
  if (value > record.security_counter) record.security_counter = value;
  return ChangeResult::kDone;
}

}  // namespace tandem::boot
