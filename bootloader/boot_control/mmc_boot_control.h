// BootControl over an eMMC that is configured for one of its two boot partitions: the ROM loads the bootloader from it.
//
// The eMMC only knows which one; the rest of the state is in a boot record beside it. The order of the two writes makes
// the record the one that counts: a partition is selected for a trial after the record says so, and the confirmed one
// is selected again before the record says that the trial is over. So a power cut in between leaves a trial that has
// not begun, or one that is still known.
//
// Nobody counts boots here: `attempts` are kept, and never fall. Whoever chooses the old copy when the new one does not
// run (the ROM, a supervisor) is outside; that it happened is seen by the copy that runs.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_MMC_BOOT_CONTROL_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_MMC_BOOT_CONTROL_H_

#include <memory>
#include <string>
#include <utility>

#include "bootloader/boot_control/boot_record_store.h"
#include "bootloader/boot_control/policy_boot_control.h"

namespace tandem::boot {

// Which boot partition an eMMC is configured for. Copy A is boot partition 1 (boot0), copy B boot partition 2 (boot1).
class BootPartitionSelector {
 public:
  virtual ~BootPartitionSelector() = default;

  // FAILED_PRECONDITION when it is neither of the two.
  virtual absl::StatusOr<Slot> Selected() = 0;
  // Durable when it returns; all else in the configuration stays.
  virtual absl::Status Select(Slot copy) = 0;
};

// By the MMC_IOC_CMD ioctl: PARTITION_CONFIG is byte 179 of EXT_CSD, its bits 5:3 are the boot partition (JEDEC
// JESD84-B51, 7.4.69). Needs the rights of root.
class MmcPartitionSelector : public BootPartitionSelector {
 public:
  // Such as "/dev/mmcblk0".
  explicit MmcPartitionSelector(std::string device) : device_(std::move(device)) {}

  absl::StatusOr<Slot> Selected() override;
  absl::Status Select(Slot copy) override;

 private:
  const std::string device_;
};

class MmcBootControl : public PolicyBootControl {
 public:
  // `state`: the boot record; made, with the selected copy confirmed, when there is none. `fs` must outlive it.
  MmcBootControl(FileSystem& fs, std::string state, std::unique_ptr<BootPartitionSelector> selector)
      : store_(fs, std::move(state)), selector_(std::move(selector)) {}

 protected:
  absl::StatusOr<BootRecord> LoadRecord() override;
  absl::Status ChangeRecord(const Change& change) override;

 private:
  absl::StatusOr<LoadedRecord> Load();
  absl::Status SelectAndCheck(Slot copy);

  BootRecordStore store_;
  const std::unique_ptr<BootPartitionSelector> selector_;
};

// The kernel protects boot partitions (/dev/mmcblk0boot0) by force_ro in sysfs; nothing to do for other devices.
absl::Status SetMmcWritable(FileSystem& fs, const std::string& device, bool writable);

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_MMC_BOOT_CONTROL_H_
