#include "bootloader/boot_control/mmc_boot_control.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::boot {
namespace {

// What the eMMC must be configured for.
Slot Wanted(const BootRecord& record) { return record.trial == Slot::kNone ? record.active : record.trial; }

}  // namespace

absl::StatusOr<LoadedRecord> MmcBootControl::Load() {
  absl::StatusOr<LoadedRecord> loaded = store_.Load();
  if (absl::IsNotFound(loaded.status()) || (loaded.ok() && loaded->state == RecordState::kBlank)) {
    BootRecord factory;
    ASSIGN_OR_RETURN(factory.active, selector_->Selected());
    factory.confirmed = Bit(factory.active);
    // As the first boot of a unit writes it: what a power cut leaves of it in a raw partition is known for what it is.
    factory.sequence = 1;
    factory.last_chosen = factory.active;
    RETURN_IF_ERROR(Annotate(store_.Create(factory), "make the record of the bootloader's copies"));
    loaded = store_.Load();
  }
  RETURN_IF_ERROR(loaded.status());
  if (loaded->state != RecordState::kValid) {
    return absl::DataLossError(absl::StrCat("neither copy of the record in ", store_.path(),
                                            " can be read; remove it to begin with the copy that the eMMC is "
                                            "configured for"));
  }
  return loaded;
}

absl::StatusOr<BootRecord> MmcBootControl::LoadRecord() {
  ASSIGN_OR_RETURN(const LoadedRecord loaded, Load());
  return loaded.record;
}

absl::Status MmcBootControl::SelectAndCheck(Slot copy) {
  ASSIGN_OR_RETURN(const Slot before, selector_->Selected());
  if (before == copy) return absl::OkStatus();
  RETURN_IF_ERROR(selector_->Select(copy));
  ASSIGN_OR_RETURN(const Slot after, selector_->Selected());
  if (after != copy) {
    return absl::DataLossError(absl::StrCat("the eMMC does not keep its configuration for copy ", SlotName(copy)));
  }
  return absl::OkStatus();
}

absl::Status MmcBootControl::ChangeRecord(const Change& change) {
  ASSIGN_OR_RETURN(const LoadedRecord loaded, Load());
  BootRecord record = loaded.record;
  RETURN_IF_ERROR(change(record));
  const bool ends_trial = record.trial == Slot::kNone;
  if (ends_trial) RETURN_IF_ERROR(SelectAndCheck(Wanted(record)));
  if (record != loaded.record) {
    ++record.sequence;
    RETURN_IF_ERROR(store_.Save(loaded, record));
  }
  return ends_trial ? absl::OkStatus() : SelectAndCheck(Wanted(record));
}

absl::Status SetMmcWritable(FileSystem& fs, const std::string& device, bool writable) {
  const size_t slash = device.rfind('/');
  const std::string name = slash == std::string::npos ? device : device.substr(slash + 1);
  const std::string path = absl::StrCat("/sys/block/", name, "/force_ro");
  if (!absl::StartsWith(name, "mmcblk") || !fs.Exists(path)) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, FileSystem::OpenMode::kReadWrite));
  return Annotate(file->WriteAt(0, writable ? "0" : "1"),
                  absl::StrCat("make ", device, writable ? " writable" : " read-only"));
}

}  // namespace tandem::boot
