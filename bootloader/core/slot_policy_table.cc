// The table of the slot policy. Apart from Decide(), so that a test can put an altered table in its place.
#include <array>

#include "bootloader/core/record_changes.h"
#include "bootloader/core/slot_policy.h"

namespace tandem::boot {
namespace {

bool TrialMayBoot(const BootRecord& record) { return record.IsBootable(record.trial) && record.attempts_left > 0; }

Slot ChooseNone(const BootRecord&) { return Slot::kNone; }
Slot ChooseTrial(const BootRecord& record) { return record.trial; }
Slot ChooseActive(const BootRecord& record) { return record.active; }
Slot ChooseOther(const BootRecord& record) { return Other(record.active); }

void ChangeNothing(BootRecord&) {}
void CountTrial(BootRecord& record) { --record.attempts_left; }

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

}  // namespace

std::span<const PolicyRow> PolicyTable() { return kTable; }

}  // namespace tandem::boot
