#include "bootloader/boot_control/record_boot_control.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::boot {
namespace {

// Too large a number must be refused, not cut to 8 bits.
uint8_t Attempts(uint32_t attempts) { return static_cast<uint8_t>(std::min<uint32_t>(attempts, kMaxAttempts + 1)); }

}  // namespace

absl::StatusOr<Slot> ParseSlot(const std::string& name) {
  if (name == "A" || name == "a") return Slot::kA;
  if (name == "B" || name == "b") return Slot::kB;
  return absl::InvalidArgumentError(absl::StrCat("no slot has the name \"", name, "\": it is A or B"));
}

BootState ToState(const BootRecord& record) {
  BootState state;
  state.confirmed = record.active;
  if (record.trial != Slot::kNone) state.trial = record.trial;
  state.attempts_left = record.attempts_left;
  state.a_unbootable = !record.IsBootable(Slot::kA);
  state.b_unbootable = !record.IsBootable(Slot::kB);
  state.security_counter = record.security_counter;
  return state;
}

absl::Status ToStatus(ChangeResult result) {
  switch (result) {
    case ChangeResult::kDone:
      return absl::OkStatus();
    case ChangeResult::kOnlyGoodSlot:
      return absl::FailedPreconditionError("it is the only slot known to be good");
    case ChangeResult::kIsActive:
      return absl::FailedPreconditionError("it is the confirmed slot already");
    case ChangeResult::kNotOnTrial:
      return absl::FailedPreconditionError("it is not on trial");
    case ChangeResult::kAttemptsOutOfRange:
      return absl::InvalidArgumentError("attempts must be 1 to 9");
    case ChangeResult::kNoSuchSlot:
      break;
  }
  return absl::InvalidArgumentError("no such slot");
}

absl::StatusOr<LoadedRecord> RecordBootControl::Load() {
  ASSIGN_OR_RETURN(LoadedRecord loaded, Annotate(store_.Load(), "read the boot record"));
  if (loaded.state == RecordState::kLost) {
    return absl::DataLossError(absl::StrCat("neither copy of the boot record in ", store_.path(), " can be read"));
  }
  return loaded;
}

absl::Status RecordBootControl::Change(const std::string& what,
                                       const std::function<ChangeResult(BootRecord&)>& change) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const LoadedRecord loaded, Load());
  BootRecord record = loaded.record;
  RETURN_IF_ERROR(Annotate(ToStatus(change(record)), what));
  if (record == loaded.record) return absl::OkStatus();
  ++record.sequence;
  return Annotate(store_.Save(loaded, record), what);
}

absl::StatusOr<BootState> RecordBootControl::Read() {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const LoadedRecord loaded, Load());
  return ToState(loaded.record);
}

absl::Status RecordBootControl::MarkUnbootable(Slot slot) {
  return Change(absl::StrCat("mark slot ", SlotName(slot), " unbootable"),
                [&](BootRecord& record) { return boot::MarkUnbootable(record, slot); });
}

absl::Status RecordBootControl::SetTrial(Slot slot, uint32_t attempts) {
  return Change(absl::StrCat("put slot ", SlotName(slot), " on trial"),
                [&](BootRecord& record) { return boot::SetTrial(record, slot, Attempts(attempts)); });
}

absl::Status RecordBootControl::RearmAttempts(Slot slot, uint32_t attempts) {
  return Change(absl::StrCat("re-arm the attempts of slot ", SlotName(slot)),
                [&](BootRecord& record) { return boot::RearmAttempts(record, slot, Attempts(attempts)); });
}

absl::Status RecordBootControl::Confirm(Slot slot) {
  return Change(absl::StrCat("confirm slot ", SlotName(slot)),
                [&](BootRecord& record) { return boot::Confirm(record, slot); });
}

absl::Status RecordBootControl::CancelTrial() {
  return Change("cancel the trial", [](BootRecord& record) { return boot::CancelTrial(record); });
}

absl::Status RecordBootControl::RaiseSecurityCounter(uint64_t value) {
  if (value > std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("security counter ", value, " is more than the boot record holds"));
  }
  return Change(absl::StrCat("raise the security counter to ", value),
                [&](BootRecord& record) { return boot::RaiseSecurityCounter(record, static_cast<uint32_t>(value)); });
}

}  // namespace tandem::boot
