#include "bootloader/mcu/boot/boot_flow.h"

namespace tandem::mcu {
namespace {

using boot::BootRecord;
using boot::Decision;
using boot::LoadedRecord;
using boot::Slot;

// A trial that fails, the active slot that fails, the other confirmed slot; one more in case a write fails.
constexpr int kMaxRounds = 4;

// Writes `record` when the flash lets it, and goes on with it in any case: a mark that is lost is found again at the
// next boot.
bool Keep(boot::FlashRecordStore& records, LoadedRecord& loaded, const BootRecord& record) {
  const bool kept = records.Save(loaded, record) == boot::FlashResult::kOk;
  if (kept) {
    loaded = records.Load();
  } else {
    loaded.record = record;
    loaded.state = boot::RecordState::kValid;
  }
  return kept;
}

// What is found bad is looked at once more: a mark in the record is for good, a bad read may not be. When either look
// could not read, nothing is known.
CheckResult LoadImage(SlotImages& images, Slot slot, uint32_t security_counter, uint32_t& vector_table) {
  const CheckResult first = images.Load(slot, security_counter, vector_table);
  if (first == CheckResult::kOk) return first;
  const CheckResult second = images.Load(slot, security_counter, vector_table);
  return second != CheckResult::kOk && first == CheckResult::kReadFailed ? first : second;
}

bool IsTrialBoot(const Decision& decision) { return decision.reason == boot::BootReason::kTrial; }

}  // namespace

BootOutcome ChooseImage(boot::FlashRecordStore& records, SlotImages& images) {
  BootOutcome outcome;
  LoadedRecord loaded = records.Load();
  // A slot could not be read: this boot goes on with a record in RAM that is without it.
  bool only_in_ram = false;
  for (int round = 0; round < kMaxRounds; ++round) {
    const Decision decision = Decide(loaded);
    outcome.reason = decision.reason;
    if (decision.slot == Slot::kNone) return outcome;
    if (only_in_ram) {
      loaded.record = decision.record;
    } else if (decision.write && !Keep(records, loaded, decision.record)) {
      outcome.flash_failed = true;
      if (IsTrialBoot(decision)) {
        CancelTrial(loaded.record);
        continue;
      }
    }
    const CheckResult found = LoadImage(images, decision.slot, loaded.record.security_counter, outcome.vector_table);
    if (found == CheckResult::kOk) {
      outcome.slot = decision.slot;
      return outcome;
    }
    outcome.refused[static_cast<uint8_t>(decision.slot)] = found;
    BootRecord marked = loaded.record;
    // The only good slot keeps its place in the record: whoever brings the device back should see it.
    if (MarkUnbootable(marked, decision.slot) != boot::ChangeResult::kDone) break;
    only_in_ram = only_in_ram || found == CheckResult::kReadFailed;
    if (only_in_ram) {
      loaded.record = marked;
      continue;
    }
    ++marked.sequence;
    if (!Keep(records, loaded, marked)) outcome.flash_failed = true;
  }
  outcome.reason = boot::BootReason::kNothingBootable;
  return outcome;
}

}  // namespace tandem::mcu
