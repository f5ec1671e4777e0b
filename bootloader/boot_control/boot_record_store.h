// Both copies of the boot record in a file or a raw partition: copy 0 at byte 0, copy 1 at byte 4096.
//
// Shared by RecordBootControl and by whatever acts as the bootloader on a host.
#ifndef TANDEM_BOOTLOADER_BOOT_CONTROL_BOOT_RECORD_STORE_H_
#define TANDEM_BOOTLOADER_BOOT_CONTROL_BOOT_RECORD_STORE_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bootloader/core/boot_record.h"
#include "common/storage/file_system.h"

namespace tandem::boot {

inline constexpr uint64_t kRecordCopyDistance = 4096;

// Not thread-safe.
class BootRecordStore {
 public:
  // `fs` must outlive the store.
  BootRecordStore(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  // Makes the file, or overwrites what is there, with both copies of `record`. For whoever provisions a unit.
  absl::Status Create(const BootRecord& record);

  // NOT_FOUND when there is no file. What is in it is told by LoadedRecord::state, not by an error.
  absl::StatusOr<LoadedRecord> Load();

  // Writes `record` over the copy that `loaded` did not come from, syncs, and reads it back from the medium. A crash in
  // the middle leaves `loaded`. DATA_LOSS when the medium does not keep it; then `loaded` is still what counts.
  absl::Status Save(const LoadedRecord& loaded, const BootRecord& record);

  const std::string& path() const { return path_; }

 private:
  FileSystem& fs_;
  std::string path_;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_BOOT_CONTROL_BOOT_RECORD_STORE_H_
