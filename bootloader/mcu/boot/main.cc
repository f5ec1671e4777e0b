// The bootloader: from the reset to the chosen image, or into serial recovery.
#include "bootloader/mcu/board.h"
#include "bootloader/mcu/boot/boot_flow.h"
#include "bootloader/mcu/smp_loop.h"

namespace tandem::mcu {
namespace {

using boot::Slot;

// After a reset that nobody asked for, and at power on, the line is listened to so long for the word below: the way in
// for a device whose confirmed image crashes, or does not speak SMP.
constexpr uint32_t kWindowMs = 50;
constexpr char kRecoveryWord[] = "tandem-recovery\n";

void Say(const char* text) { board::ConsoleWrite(text); }

// Why this reset happened; and the next one is the watchdog's unless somebody says otherwise.
Handover& TakeHandover() {
  Handover& handover = board::SharedHandover();
  if (handover.magic != kHandoverMagic) {
    handover = {};
    handover.magic = kHandoverMagic;
    handover.next_cause = ResetCause::kPowerOn;
  }
  handover.cause = handover.next_cause;
  handover.next_cause = ResetCause::kWatchdog;
  ++handover.boots;
  return handover;
}

bool HearRecoveryWord() {
  size_t heard = 0;
  const uint32_t start = board::Milliseconds();
  while (board::Milliseconds() - start < kWindowMs) {
    uint8_t byte = 0;
    if (!board::SerialRead(byte)) {
      board::WaitForEvent();
      continue;
    }
    heard = byte == kRecoveryWord[heard] ? heard + 1 : size_t{byte == kRecoveryWord[0]};
    if (kRecoveryWord[heard] == '\0') return true;
  }
  return false;
}

bool RecoveryWanted(Handover& handover) {
  const bool wanted = handover.recovery == kRecoveryWanted;
  handover.recovery = 0;
  return wanted || (handover.cause != ResetCause::kSoftware && HearRecoveryWord());
}

void SayOutcome(const BootOutcome& outcome) {
  for (const Slot slot : {Slot::kA, Slot::kB}) {
    const CheckResult refused = outcome.refused[static_cast<size_t>(slot)];
    if (refused == CheckResult::kOk) continue;
    Say("boot: slot ");
    Say(SlotName(slot));
    Say(" refused: ");
    Say(CheckResultText(refused));
    Say("\n");
  }
  if (outcome.flash_failed) Say("boot: the boot record cannot be written\n");
  Say("boot: slot ");
  Say(SlotName(outcome.slot));
  Say(", ");
  Say(ReasonText(outcome.reason));
  Say("\n");
}

[[noreturn]] void Recover(boot::FlashRecordStore& records, SlotImages& images) {
  Say("boot: serial recovery\n");
  ServeSmp(records, images, Slot::kNone);
}

[[noreturn]] void Boot() {
  board::Init();
  Handover& handover = TakeHandover();
  Say("boot: reset by ");
  Say(ResetCauseText(handover.cause));
  Say("\n");
  boot::FlashRecordStore records(board::ImageFlash(), board::Layout().record0, board::Layout().record1);
  FlashSlotImages images(BoardImages());
  if (RecoveryWanted(handover)) Recover(records, images);
  const BootOutcome outcome = ChooseImage(records, images);
  SayOutcome(outcome);
  if (outcome.slot == Slot::kNone) Recover(records, images);
  handover.running = static_cast<uint32_t>(outcome.slot);
  handover.recovery_exits = 0;
  // A confirmed image is watched, too: what hangs is started again.
  board::WatchdogStart();
  board::Jump(outcome.vector_table);
}

}  // namespace
}  // namespace tandem::mcu

int main() { tandem::mcu::Boot(); }
