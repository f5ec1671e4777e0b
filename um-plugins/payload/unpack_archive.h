// Unpacks a tar archive that came from outside: plain, or compressed by gzip, bzip2, xz, lzma, zstd or lz4.
#ifndef TANDEM_UM_PLUGINS_PAYLOAD_UNPACK_ARCHIVE_H_
#define TANDEM_UM_PLUGINS_PAYLOAD_UNPACK_ARCHIVE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace tandem::plugins {

// Entries of one archive, and bytes of their names: more is no payload, and each costs an inode.
inline constexpr uint64_t kMaxArchiveEntries = 1'000'000;

// Into `folder`, which must exist; it and its parents may be symlinks. Files, folders and symlinks only, owned by
// whoever runs this. INVALID_ARGUMENT for an entry that would lie or point outside of `folder`, on whatever way through
// other symlinks; that is of another kind; or whose set-id bits, capabilities, access list or extended attributes would
// be lost, for what ran with them would not run without. DATA_LOSS for a damaged archive; RESOURCE_EXHAUSTED when it
// unpacks to more than `max_bytes` or the disk is full. After OK everything is durable; after an error what was
// unpacked so far remains. Names are UTF-8 whatever the locale.
absl::Status UnpackArchive(const std::string& archive, const std::string& folder, uint64_t max_bytes);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_PAYLOAD_UNPACK_ARCHIVE_H_
