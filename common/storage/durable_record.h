// A small record that survives power cuts: every write replaces the file as a whole, and the one before it is kept.
//
// On disk: "TDMR" magic, u32 LE format (1), u64 LE length, 32 bytes SHA-256 of the payload, payload.
// `path` is the newest copy, `path`.prev the one before.
//
//   DurableRecord record(fs, "/var/lib/tandem/cm/update.rec");
//   RETURN_IF_ERROR(record.Write(proto.SerializeAsString()));
//   absl::StatusOr<std::string> bytes = record.Read();   // NOT_FOUND: never written
#ifndef TANDEM_COMMON_STORAGE_DURABLE_RECORD_H_
#define TANDEM_COMMON_STORAGE_DURABLE_RECORD_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/file_system.h"

namespace tandem {

// Not thread-safe; one owner per path.
class DurableRecord {
 public:
  // `fs` must outlive the record.
  DurableRecord(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  // After OK the payload survives a power cut. After an error, which is marked as local (IsLocal()), the last payload
  // is still what Read() gives.
  absl::Status Write(std::string_view payload);

  // The newest payload. NOT_FOUND when none was ever written. DATA_LOSS when what is there does not check: the damaged
  // file is moved aside to `path`.corrupt and named in the message; the previous copy is not used silently, because a
  // decision may be younger than it (see ReadPrevious()).
  absl::StatusOr<std::string> Read();

  // The newest payload, for one who only looks: a damaged file stays where it is, for its owner to find. DATA_LOSS
  // then.
  absl::StatusOr<std::string> Peek() { return ReadFrom(path_); }

  // The copy before the newest, for the owner that can judge whether an older one will do.
  absl::StatusOr<std::string> ReadPrevious();

  // For an owner to whom any older copy is better than none: the newest payload, or else the one before, which is then
  // written as the newest again. NOT_FOUND when there is neither.
  absl::StatusOr<std::string> ReadOrRestorePrevious();

  // Removes both copies, durably.
  absl::Status Clear();

  const std::string& path() const { return path_; }

 private:
  absl::StatusOr<std::string> ReadFrom(const std::string& path);

  FileSystem& fs_;
  std::string path_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_STORAGE_DURABLE_RECORD_H_
