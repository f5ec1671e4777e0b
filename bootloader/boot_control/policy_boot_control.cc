#include "bootloader/boot_control/policy_boot_control.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::boot {
namespace {

// Too large a number must be refused, not cut to 8 bits.
uint8_t Attempts(uint32_t attempts) { return static_cast<uint8_t>(std::min<uint32_t>(attempts, kMaxAttempts + 1)); }

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

// OK, or why a change was refused, in words.
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

}  // namespace

absl::StatusOr<Slot> ParseSlot(const std::string& name) {
  if (name == "A" || name == "a") return Slot::kA;
  if (name == "B" || name == "b") return Slot::kB;
  return absl::InvalidArgumentError(absl::StrCat("no slot has the name \"", name, "\": it is A or B"));
}

absl::Status PolicyBootControl::ChangeNow(const std::string& what,
                                          const std::function<ChangeResult(BootRecord&)>& change) {
  std::lock_guard lock(mutex_);
  return Annotate(ChangeRecord([&](BootRecord& record) { return ToStatus(change(record)); }), what);
}

absl::StatusOr<BootState> PolicyBootControl::Read() {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const BootRecord record, LoadRecord());
  return ToState(record);
}

absl::Status PolicyBootControl::MarkUnbootable(Slot slot) {
  return ChangeNow(absl::StrCat("mark slot ", SlotName(slot), " unbootable"),
                   [&](BootRecord& record) { return boot::MarkUnbootable(record, slot); });
}

absl::Status PolicyBootControl::SetTrial(Slot slot, uint32_t attempts) {
  return ChangeNow(absl::StrCat("put slot ", SlotName(slot), " on trial"),
                   [&](BootRecord& record) { return boot::SetTrial(record, slot, Attempts(attempts)); });
}

absl::Status PolicyBootControl::RearmAttempts(Slot slot, uint32_t attempts) {
  return ChangeNow(absl::StrCat("re-arm the attempts of slot ", SlotName(slot)),
                   [&](BootRecord& record) { return boot::RearmAttempts(record, slot, Attempts(attempts)); });
}

absl::Status PolicyBootControl::Confirm(Slot slot) {
  return ChangeNow(absl::StrCat("confirm slot ", SlotName(slot)),
                   [&](BootRecord& record) { return boot::Confirm(record, slot); });
}

absl::Status PolicyBootControl::CancelTrial() {
  return ChangeNow("cancel the trial", [](BootRecord& record) { return boot::CancelTrial(record); });
}

absl::Status PolicyBootControl::RaiseSecurityCounter(uint64_t value) {
  if (value > std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("security counter ", value, " is more than the boot record holds"));
  }
  return ChangeNow(absl::StrCat("raise the security counter to ", value), [&](BootRecord& record) {
    return boot::RaiseSecurityCounter(record, static_cast<uint32_t>(value));
  });
}

}  // namespace tandem::boot
