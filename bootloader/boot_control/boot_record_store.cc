#include "bootloader/boot_control/boot_record_store.h"

#include <memory>
#include <span>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::boot {
namespace {

std::span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string AsText(const EncodedRecord& bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

absl::Status BootRecordStore::Create(const BootRecord& record) {
  const std::string copy = AsText(Encode(record));
  if (!fs_.Exists(path_)) {
    // As a whole, or not at all.
    return fs_.WriteFileAtomically(path_, copy + std::string(kRecordCopyDistance - copy.size(), '\0') + copy);
  }
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs_.Open(path_, FileSystem::OpenMode::kReadWrite));
  for (const uint64_t offset : {uint64_t{0}, kRecordCopyDistance}) {
    RETURN_IF_ERROR(file->WriteAt(offset, copy));
    RETURN_IF_ERROR(file->Sync());
  }
  return fs_.SyncFolder(ParentFolder(path_));
}

absl::StatusOr<LoadedRecord> BootRecordStore::Load() {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs_.Open(path_, FileSystem::OpenMode::kReadOnly));
  ASSIGN_OR_RETURN(const std::string copy0, file->ReadAt(0, kBootRecordSize));
  ASSIGN_OR_RETURN(const std::string copy1, file->ReadAt(kRecordCopyDistance, kBootRecordSize));
  return Choose(AsBytes(copy0), AsBytes(copy1));
}

absl::Status BootRecordStore::Save(const LoadedRecord& loaded, const BootRecord& record) {
  const std::string bytes = AsText(Encode(record));
  const uint64_t offset = loaded.copy == 0 ? kRecordCopyDistance : 0;
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs_.Open(path_, FileSystem::OpenMode::kReadWrite));
  RETURN_IF_ERROR(file->WriteAt(offset, bytes));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->DropCache());
  ASSIGN_OR_RETURN(const std::string kept, file->ReadAt(offset, bytes.size()));
  if (kept != bytes) return absl::DataLossError(absl::StrCat(path_, " does not keep what is written at ", offset));
  return absl::OkStatus();
}

}  // namespace tandem::boot
