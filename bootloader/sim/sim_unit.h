// A unit reduced to what boots: a boot record, two slots, the bootloader's decision and the running system's changes.
//
// The real code does the work: bootloader/core on NOR flash, or RecordBootControl on an eMMC-like disk. Only the medium
// is a model. The bootloader here checks no image before it jumps, so that whatever the record allows is really booted.
#ifndef TANDEM_BOOTLOADER_SIM_SIM_UNIT_H_
#define TANDEM_BOOTLOADER_SIM_SIM_UNIT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bootloader/boot_control/boot_control.h"
#include "bootloader/core/slot_policy.h"
#include "bootloader/sim/power.h"

namespace tandem::boot::sim {

// Variants that are wrong on purpose: the simulation must find each of them.
enum class Broken : uint8_t {
  kNothing,
  // The record is written over its newest copy.
  kOverwritesNewestCopy,
  // A trial boot is not counted before the jump.
  kDoesNotCount,
  // The slot is put on trial before its image is written.
  kArmsBeforeImage,
  // The slot's old image is overwritten while the record still calls it confirmed.
  kKeepsOldConfirmed,
  // The first boot of a slot confirms it.
  kConfirmsUnchecked,
  // The image is not synced before the slot is put on trial; for a disk.
  kDoesNotSyncImage,
  // Of two good copies of the record the older one counts; for NOR.
  kTakesOlderCopy,
  // A change loses the security counter; for NOR.
  kLosesCounter,
  // The good image on trial is never confirmed.
  kForgetsConfirm,
  // A trial that is given up is not cancelled.
  kForgetsCancel,
  // A slot whose image has decayed is booted all the same.
  kBootsDecayed,
};
inline constexpr std::array kAllBroken = {
    Broken::kOverwritesNewestCopy, Broken::kDoesNotCount,     Broken::kArmsBeforeImage, Broken::kKeepsOldConfirmed,
    Broken::kConfirmsUnchecked,    Broken::kDoesNotSyncImage, Broken::kTakesOlderCopy,  Broken::kLosesCounter,
    Broken::kForgetsConfirm,       Broken::kForgetsCancel,    Broken::kBootsDecayed};
std::string BrokenName(Broken broken);

struct Medium {
  enum class Kind : uint8_t { kNor, kEmmc };
  Kind kind = Kind::kNor;
  // NOR: the program unit. eMMC: what a torn write keeps a multiple of.
  uint32_t granularity = 4;
  // NOR only.
  uint8_t erased = 0xff;

  // "nor/4/ff", "emmc/512".
  std::string Name() const;
};

// NOR with program units of 1 to 16 bytes, erased to 0xff and to 0x00, and eMMC.
std::vector<Medium> AllMedia();

class SimUnit {
 public:
  virtual ~SimUnit() = default;

  // ---- The bootloader ----
  virtual LoadedRecord LoadRecord() = 0;
  virtual absl::Status SaveRecord(const LoadedRecord& loaded, const BootRecord& record) = 0;

  // ---- The running system ----
  virtual BootControl& control() = 0;
  // Erases the slot and writes an image of that version; durable when `sync`.
  virtual absl::Status WriteImage(Slot slot, uint32_t version, bool sync) = 0;
  // The version of the whole image in the slot; 0: there is none, or only a part of one.
  virtual uint32_t ReadImage(Slot slot) = 0;

  // ---- The simulation ----
  // All that survives a power cut.
  virtual std::string Save() const = 0;
  virtual void Restore(const std::string& saved) = 0;
  // A reset: caches are empty.
  virtual void Reset() = 0;
};

// Factory state: version 1 in slot A, confirmed. `power` must outlive it.
std::unique_ptr<SimUnit> MakeSimUnit(const Medium& medium, Broken broken, Power& power);

}  // namespace tandem::boot::sim

#endif  // TANDEM_BOOTLOADER_SIM_SIM_UNIT_H_
