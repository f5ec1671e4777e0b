#include "common/storage/durable_record.h"

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"

namespace tandem {
namespace {

constexpr char kMagic[] = "TDMR";
constexpr uint32_t kFormat = 1;
constexpr size_t kHeaderSize = 4 + 4 + 8 + kSha256Size;

std::string LittleEndian(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

uint64_t FromLittleEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

// What the file at `path` holds, when it is whole.
absl::StatusOr<std::string_view> PayloadOf(std::string_view file, const std::string& path) {
  if (file.size() < kHeaderSize || file.substr(0, 4) != kMagic) {
    return absl::DataLossError(absl::StrCat(path, " is not a record"));
  }
  if (const uint64_t format = FromLittleEndian(file.substr(4, 4)); format != kFormat) {
    return absl::DataLossError(absl::StrCat(path, " has record format ", format, "; this program reads ", kFormat));
  }
  const std::string_view payload = file.substr(kHeaderSize);
  if (const uint64_t length = FromLittleEndian(file.substr(8, 8)); length != payload.size()) {
    return absl::DataLossError(absl::StrCat(path, " holds ", payload.size(), " bytes, its header says ", length));
  }
  if (Sha256(payload) != file.substr(16, kSha256Size)) {
    return absl::DataLossError(absl::StrCat(path, " does not match its checksum"));
  }
  return payload;
}

}  // namespace

absl::Status DurableRecord::Write(std::string_view payload) {
  // The newest copy becomes the previous one only when it is whole: a damaged file must not push out a good one.
  if (absl::StatusOr<std::string> newest = fs_.ReadFile(path_); newest.ok() && PayloadOf(*newest, path_).ok()) {
    RETURN_IF_ERROR(MarkLocal(fs_.WriteFileAtomically(path_ + ".prev", *newest)));
  }
  std::string file = absl::StrCat(kMagic, LittleEndian(kFormat, 4), LittleEndian(payload.size(), 8), Sha256(payload));
  file.append(payload);
  return MarkLocal(fs_.WriteFileAtomically(path_, file));
}

absl::StatusOr<std::string> DurableRecord::ReadFrom(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string file, fs_.ReadFile(path));
  ASSIGN_OR_RETURN(const std::string_view payload, PayloadOf(file, path));
  return std::string(payload);
}

absl::StatusOr<std::string> DurableRecord::Read() {
  absl::StatusOr<std::string> payload = ReadFrom(path_);
  if (payload.ok() || !absl::IsDataLoss(payload.status())) return payload;
  const std::string aside = path_ + ".corrupt";
  RETURN_IF_ERROR(fs_.Rename(path_, aside));
  RETURN_IF_ERROR(fs_.SyncFolder(ParentFolder(path_)));
  return absl::DataLossError(absl::StrCat(payload.status().message(), "; kept aside as ", aside));
}

absl::StatusOr<std::string> DurableRecord::ReadPrevious() { return ReadFrom(path_ + ".prev"); }

absl::StatusOr<std::string> DurableRecord::ReadOrRestorePrevious() {
  absl::StatusOr<std::string> newest = Read();
  // NOT_FOUND may also come from a damaged file that was moved aside before a crash.
  if (newest.ok() || !(absl::IsNotFound(newest.status()) || absl::IsDataLoss(newest.status()))) return newest;
  absl::StatusOr<std::string> previous = ReadPrevious();
  if (!previous.ok()) return absl::NotFoundError(newest.status().message());
  RETURN_IF_ERROR(Write(*previous));
  return previous;
}

absl::Status DurableRecord::Clear() {
  // The older copy first: a crash between the two must not bring it back.
  RETURN_IF_ERROR(fs_.Remove(path_ + ".prev"));
  RETURN_IF_ERROR(fs_.Remove(path_));
  return fs_.SyncFolder(ParentFolder(path_));
}

}  // namespace tandem
