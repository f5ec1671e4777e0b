// Room on a disk that downloads do not take: records, and the way back, always have it.
#ifndef TANDEM_UM_RESERVE_H_
#define TANDEM_UM_RESERVE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "common/status/status.h"
#include "common/storage/file_system.h"

namespace tandem::um {

inline constexpr uint64_t kDefaultReserve = 16 << 20;

// Bytes that may be written below `folder` beside the reserve; `configured` 0: the default.
inline absl::StatusOr<uint64_t> RoomBesideReserve(FileSystem& fs, const std::string& folder, uint64_t configured) {
  const uint64_t reserve = configured == 0 ? kDefaultReserve : configured;
  ASSIGN_OR_RETURN(const uint64_t free, fs.FreeSpace(folder));
  return free > reserve ? free - reserve : 0;
}

}  // namespace tandem::um

#endif  // TANDEM_UM_RESERVE_H_
