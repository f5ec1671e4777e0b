// What the running system asks of the bootloader, whatever the bootloader is: a boot record shared with it, a U-Boot
// environment, a fake.
//
// Every change is one durable write: after OK it survives a power cut; after an error or a crash in the middle the
// state is the one before or the one after. Every change may be made again.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_BOOT_CONTROL_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_BOOT_CONTROL_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bootloader/core/boot_record.h"

namespace tandem::boot {

struct BootState {
  // Booted when nothing is on trial.
  Slot confirmed = Slot::kA;
  std::optional<Slot> trial;
  // Of the slot on trial.
  uint32_t attempts_left = 0;
  bool a_unbootable = false;
  bool b_unbootable = false;
  uint64_t security_counter = 0;

  bool IsUnbootable(Slot slot) const { return slot == Slot::kA ? a_unbootable : b_unbootable; }
  bool operator==(const BootState&) const = default;
};

// Thread-safe. The bootloader itself runs only while nobody else does. Which slot runs now is not asked here: the
// kernel's command line knows.
class BootControl {
 public:
  virtual ~BootControl() = default;

  // DATA_LOSS when nothing readable is there.
  virtual absl::StatusOr<BootState> Read() = 0;

  // The slot's bytes are about to be overwritten or are bad: it is not booted until SetTrial(). Ends its trial.
  // FAILED_PRECONDITION for the confirmed slot when no other is known to be good.
  virtual absl::Status MarkUnbootable(Slot slot) = 0;

  // The slot holds a verified image: it is booted next, at most `attempts` times (1 to 9) until it is confirmed.
  // FAILED_PRECONDITION for the confirmed slot.
  virtual absl::Status SetTrial(Slot slot, uint32_t attempts) = 0;

  // The slot on trial has this many boots again. FAILED_PRECONDITION when it is not on trial.
  virtual absl::Status RearmAttempts(Slot slot, uint32_t attempts) = 0;

  // Booted from now on; ends its trial. FAILED_PRECONDITION for a slot that is neither on trial nor confirmed.
  virtual absl::Status Confirm(Slot slot) = 0;

  // The next boot is of the confirmed slot.
  virtual absl::Status CancelTrial() = 0;

  // Images with a lower security version are refused: by the Update Manager, and by a bootloader that checks images
  // (bootloader/mcu; not by U-Boot). Never falls; a lower value changes nothing.
  virtual absl::Status RaiseSecurityCounter(uint64_t value) = 0;
};

// INVALID_ARGUMENT for anything but "A" and "B" (either case).
absl::StatusOr<Slot> ParseSlot(const std::string& name);

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_BOOT_CONTROL_H_
