// BootControl over the boot record that a Tandem bootloader reads: a file or a raw partition.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_RECORD_BOOT_CONTROL_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_RECORD_BOOT_CONTROL_H_

#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "bootloader/boot_control/boot_control.h"
#include "bootloader/boot_control/boot_record_store.h"
#include "bootloader/core/slot_policy.h"

namespace tandem::boot {

// A blank record is read as the factory's (A active and confirmed), as the bootloader does.
class RecordBootControl : public BootControl {
 public:
  // `fs` must outlive it.
  RecordBootControl(FileSystem& fs, std::string path) : store_(fs, std::move(path)) {}

  absl::StatusOr<BootState> Read() override;
  absl::Status MarkUnbootable(Slot slot) override;
  absl::Status SetTrial(Slot slot, uint32_t attempts) override;
  absl::Status RearmAttempts(Slot slot, uint32_t attempts) override;
  absl::Status Confirm(Slot slot) override;
  absl::Status CancelTrial() override;
  absl::Status RaiseSecurityCounter(uint64_t value) override;

 private:
  absl::StatusOr<LoadedRecord> Load();
  absl::Status Change(const std::string& what, const std::function<ChangeResult(BootRecord&)>& change);

  std::mutex mutex_;
  BootRecordStore store_;
};

BootState ToState(const BootRecord& record);
// OK, or why a change was refused, in words.
absl::Status ToStatus(ChangeResult result);

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_RECORD_BOOT_CONTROL_H_
