#include "bootloader/boot_control/record_boot_control.h"

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::boot {

absl::StatusOr<LoadedRecord> RecordBootControl::Load() {
  ASSIGN_OR_RETURN(LoadedRecord loaded, Annotate(store_.Load(), "read the boot record"));
  if (loaded.state == RecordState::kLost) {
    return absl::DataLossError(absl::StrCat("neither copy of the boot record in ", store_.path(), " can be read"));
  }
  return loaded;
}

absl::StatusOr<BootRecord> RecordBootControl::LoadRecord() {
  ASSIGN_OR_RETURN(const LoadedRecord loaded, Load());
  return loaded.record;
}

absl::Status RecordBootControl::ChangeRecord(const Change& change) {
  ASSIGN_OR_RETURN(const LoadedRecord loaded, Load());
  BootRecord record = loaded.record;
  RETURN_IF_ERROR(change(record));
  if (record == loaded.record) return absl::OkStatus();
  ++record.sequence;
  return store_.Save(loaded, record);
}

}  // namespace tandem::boot
