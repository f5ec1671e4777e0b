// BootControl over the boot record that a Tandem bootloader reads: a file or a raw partition.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_RECORD_BOOT_CONTROL_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_RECORD_BOOT_CONTROL_H_

#include <string>
#include <utility>

#include "bootloader/boot_control/boot_record_store.h"
#include "bootloader/boot_control/policy_boot_control.h"

namespace tandem::boot {

// A blank record is read as the factory's (A active and confirmed), as the bootloader does.
class RecordBootControl : public PolicyBootControl {
 public:
  // `fs` must outlive it.
  RecordBootControl(FileSystem& fs, std::string path) : store_(fs, std::move(path)) {}

 protected:
  absl::StatusOr<BootRecord> LoadRecord() override;
  absl::Status ChangeRecord(const Change& change) override;

 private:
  absl::StatusOr<LoadedRecord> Load();

  BootRecordStore store_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_RECORD_BOOT_CONTROL_H_
