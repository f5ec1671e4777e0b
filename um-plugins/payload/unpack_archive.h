// Unpacks a tar archive (any compression libarchive knows) that came from outside.
#ifndef TANDEM_UM_PLUGINS_PAYLOAD_UNPACK_ARCHIVE_H_
#define TANDEM_UM_PLUGINS_PAYLOAD_UNPACK_ARCHIVE_H_

#include <string>

#include "absl/status/status.h"

namespace tandem::plugins {

// Into `folder`, which must exist; it and its parents may be symlinks. Files, folders and symlinks only, owned by
// whoever runs this, without set-id bits. INVALID_ARGUMENT for an entry that would lie or point outside of `folder`, or
// is of another kind; DATA_LOSS for a damaged archive; RESOURCE_EXHAUSTED. After OK everything is durable; after an
// error what was unpacked so far remains.
absl::Status UnpackArchive(const std::string& archive, const std::string& folder);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_PAYLOAD_UNPACK_ARCHIVE_H_
