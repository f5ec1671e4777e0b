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

bool IsTrialBoot(const Decision& decision) { return decision.reason == boot::BootReason::kTrial; }

}  // namespace

BootOutcome ChooseImage(boot::FlashRecordStore& records, SlotImages& images) {
  BootOutcome outcome;
  LoadedRecord loaded = records.Load();
  for (int round = 0; round < kMaxRounds; ++round) {
    const Decision decision = Decide(loaded);
    outcome.reason = decision.reason;
    if (decision.slot == Slot::kNone) return outcome;
    if (decision.write && !Keep(records, loaded, decision.record)) {
      outcome.flash_failed = true;
      if (IsTrialBoot(decision)) {
        CancelTrial(loaded.record);
        continue;
      }
    }
    const CheckResult found = images.Load(decision.slot, loaded.record.security_counter, outcome.vector_table);
    if (found == CheckResult::kOk) {
      outcome.slot = decision.slot;
      outcome.on_trial = IsTrialBoot(decision);
      return outcome;
    }
    outcome.refused[static_cast<uint8_t>(decision.slot)] = found;
    BootRecord marked = loaded.record;
    // The only good slot keeps its place in the record: whoever brings the device back should see it.
    if (MarkUnbootable(marked, decision.slot) != boot::ChangeResult::kDone) break;
    ++marked.sequence;
    if (!Keep(records, loaded, marked)) outcome.flash_failed = true;
  }
  outcome.reason = boot::BootReason::kNothingBootable;
  return outcome;
}

}  // namespace tandem::mcu
