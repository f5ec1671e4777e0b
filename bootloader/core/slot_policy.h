// Which slot to boot. Pure: a table of rows searched in order, the first that matches decides.
//
//   LoadedRecord loaded = Choose(copy0, copy1);
//   Decision decision = Decide(loaded);
//   if (decision.write) WriteCopy(1 - loaded.copy, Encode(decision.record));   // durable, then
//   Jump(decision.slot);                                                       // Slot::kNone: recovery
//
// Only trial boots are counted, and they are counted before the jump: an image that hangs at once has used its attempt.
// A slot marked unbootable is never booted. Freestanding.
#ifndef TANDEM_BOOTLOADER_CORE_SLOT_POLICY_H_
#define TANDEM_BOOTLOADER_CORE_SLOT_POLICY_H_

#include <cstdint>
#include <span>

#include "bootloader/core/boot_record.h"

namespace tandem::boot {

enum class BootReason : uint8_t {
  kRecordLost,
  kTrial,
  kTrialFailed,
  kActive,
  kActiveUnbootable,
  kNothingBootable,
};

struct Decision {
  // kNone: recovery.
  Slot slot = Slot::kNone;
  BootReason reason = BootReason::kNothingBootable;
  // True when `record` must be durable before the jump.
  bool write = false;
  // With the next sequence number when `write`.
  BootRecord record;
};

Decision Decide(const LoadedRecord& loaded);

// One line for the console: "back to the confirmed slot: the trial ran out of boots".
const char* ReasonText(BootReason reason);

// The table as it is searched, for the documents.
struct PolicyRow {
  BootReason reason;
  const char* when;
  const char* then;
  bool (*matches)(const LoadedRecord& loaded);
  Slot (*choose)(const BootRecord& record);
  // Changes the record that is written before the jump.
  void (*change)(BootRecord& record);
};
std::span<const PolicyRow> PolicyTable();

// ---- Changes that the running system asks for ----

enum class ChangeResult : uint8_t {
  kDone,
  // The slot is the only one known to be good.
  kOnlyGoodSlot,
  // The slot is the active one: there is nothing to try.
  kIsActive,
  kNotOnTrial,
  kAttemptsOutOfRange,
  kNoSuchSlot,
};

// The slot's bytes are about to be overwritten, or are bad: it is never booted until SetTrial(). Ends its trial. When
// the active slot is marked, the other one becomes active if it is confirmed and bootable, else kOnlyGoodSlot.
ChangeResult MarkUnbootable(BootRecord& record, Slot slot);
// The slot holds a verified image: it is booted at most `attempts` times (1 to kMaxAttempts) until it is confirmed.
ChangeResult SetTrial(BootRecord& record, Slot slot, uint8_t attempts);
// The slot on trial works so far: it has this many boots again.
ChangeResult RearmAttempts(BootRecord& record, Slot slot, uint8_t attempts);
// The slot, on trial or active, is the active one from now on.
ChangeResult Confirm(BootRecord& record, Slot slot);
// The next boot is of the active slot.
ChangeResult CancelTrial(BootRecord& record);
// Never falls.
ChangeResult RaiseSecurityCounter(BootRecord& record, uint32_t value);

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_CORE_SLOT_POLICY_H_
