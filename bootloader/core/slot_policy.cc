#include "bootloader/core/slot_policy.h"

#include "bootloader/core/record_changes.h"

namespace tandem::boot {
namespace {

bool IsSlot(Slot slot) { return slot == Slot::kA || slot == Slot::kB; }
bool AttemptsFit(uint8_t attempts) { return attempts >= 1 && attempts <= kMaxAttempts; }

}  // namespace

Decision Decide(const LoadedRecord& loaded) {
  Decision decision{.record = loaded.record};
  for (const PolicyRow& row : PolicyTable()) {
    if (!row.matches(loaded)) continue;
    decision.slot = row.choose(loaded.record);
    decision.reason = row.reason;
    // A record that cannot be read is left as it is, for whoever repairs the unit.
    if (decision.slot == Slot::kNone) break;
    row.change(decision.record);
    decision.record.last_chosen = decision.slot;
    decision.write = loaded.state == RecordState::kBlank || decision.record != loaded.record;
    if (decision.write) ++decision.record.sequence;
    break;
  }
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
