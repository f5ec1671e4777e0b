#include "bootloader/mcu/smp/slot_changes.h"

#include <algorithm>

#include "bootloader/core/slot_policy.h"

namespace tandem::mcu {
namespace {

using boot::Bit;
using boot::BootRecord;
using boot::ChangeResult;
using boot::LoadedRecord;
using boot::RecordState;
using boot::Slot;

constexpr Answer kRecordLost = {SmpStatus::kBadState, ImageStatus::kOk, "the boot record is lost"};

bool MayStillBoot(const BootRecord& record, Slot slot) { return record.trial == slot && record.attempts_left > 0; }

}  // namespace

Slot SlotChanges::Target() const { return device_.InRecovery() ? Slot::kA : Other(device_.running); }

Answer SlotChanges::Save(const LoadedRecord& loaded, BootRecord record) {
  if (loaded.state == RecordState::kValid && record == loaded.record) return {};
  ++record.sequence;
  if (device_.records->Save(loaded, record) == boot::FlashResult::kOk) return {};
  return {SmpStatus::kUnknown, ImageStatus::kWriteFailed, "the boot record cannot be written"};
}

BootRecord SlotChanges::RecordAfterLoss() {
  BootRecord record;
  record.confirmed = 0;
  record.unbootable = Bit(Slot::kA) | Bit(Slot::kB);
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    boot::Image image;
    if (device_.images->Check(slot, 0, image) == CheckResult::kOk) {
      record.security_counter = std::max(record.security_counter, image.security_counter);
    }
  }
  return record;
}

Answer SlotChanges::GiveUpTarget() {
  const LoadedRecord loaded = device_.records->Load();
  BootRecord record = loaded.record;
  if (device_.InRecovery()) {
    if (loaded.state == RecordState::kLost) record = RecordAfterLoss();
    CancelTrial(record);
    record.unbootable |= Bit(Target());
    record.confirmed &= static_cast<uint8_t>(~Bit(Target()));
    return Save(loaded, record);
  }
  if (loaded.state == RecordState::kLost) return kRecordLost;
  if (MayStillBoot(record, Target())) {
    return {SmpStatus::kBadState, ImageStatus::kAlreadyPending, "the image in that slot is to be booted"};
  }
  // While an image runs on trial the other slot is what the device falls back to.
  if (record.active != device_.running || MarkUnbootable(record, Target()) != ChangeResult::kDone) {
    return {SmpStatus::kBadState, ImageStatus::kNoFreeSlot, "the other slot is the one to fall back to: confirm first"};
  }
  return Save(loaded, record);
}

Answer SlotChanges::AdoptTarget() {
  const LoadedRecord loaded = device_.records->Load();
  if (loaded.state == RecordState::kLost) return kRecordLost;
  boot::Image image;
  const CheckResult found = device_.images->Check(Target(), loaded.record.security_counter, image);
  if (found != CheckResult::kOk) return {SmpStatus::kCorrupt, ImageStatus::kInvalidHash, CheckResultText(found)};
  BootRecord record = loaded.record;
  CancelTrial(record);
  record.active = Target();
  record.confirmed |= Bit(Target());
  record.unbootable &= static_cast<uint8_t>(~Bit(Target()));
  return Save(loaded, record);
}

Answer SlotChanges::SetTrial(Slot slot) {
  const LoadedRecord loaded = device_.records->Load();
  if (loaded.state == RecordState::kLost) return kRecordLost;
  BootRecord record = loaded.record;
  if (slot == device_.running) {
    if (RearmAttempts(record, slot, kTrialAttempts) == ChangeResult::kDone) return Save(loaded, record);
    return {SmpStatus::kBadState, ImageStatus::kTestOfActiveDenied, "that image runs already"};
  }
  if (device_.InRecovery() || boot::SetTrial(record, slot, kTrialAttempts) != ChangeResult::kDone) {
    return {SmpStatus::kBadState, ImageStatus::kTestOfActiveDenied, "that image is the confirmed one"};
  }
  return Save(loaded, record);
}

Answer SlotChanges::Confirm(Slot slot) {
  const LoadedRecord loaded = device_.records->Load();
  if (loaded.state == RecordState::kLost) return kRecordLost;
  BootRecord record = loaded.record;
  if (slot == device_.running) {
    if (boot::Confirm(record, slot) == ChangeResult::kDone) return Save(loaded, record);
    return {SmpStatus::kBadState, ImageStatus::kConfirmDenied, "the running image is no longer on trial"};
  }
  if (slot != record.active || !record.IsConfirmed(slot)) {
    return {SmpStatus::kBadState, ImageStatus::kConfirmDenied, "that image has not run yet: test it first"};
  }
  CancelTrial(record);
  return Save(loaded, record);
}

Answer SlotChanges::RaiseSecurityCounter(uint32_t value, uint32_t of_running_image) {
  const LoadedRecord loaded = device_.records->Load();
  if (loaded.state == RecordState::kLost) return kRecordLost;
  BootRecord record = loaded.record;
  if (record.active != device_.running || record.trial != Slot::kNone) {
    return {SmpStatus::kBadState, ImageStatus::kOk, "an image is on trial: confirm or revert first"};
  }
  if (value > of_running_image) {
    return {SmpStatus::kInvalid, ImageStatus::kOk, "the running image itself would no longer boot"};
  }
  boot::RaiseSecurityCounter(record, value);
  return Save(loaded, record);
}

}  // namespace tandem::mcu
