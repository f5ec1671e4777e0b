// An offline bundle: a tar whose first member is `desired` (the signed documents), followed by `artifacts/<sha256
// hex>`.
//
// Nothing is unpacked: artifacts are read from their place inside the tar. Nothing in here is trusted: the documents
// are verified as if they came from the cloud, and artifacts against the digests in them.
#ifndef TANDEM_CM_ARTIFACTS_BUNDLE_H_
#define TANDEM_CM_ARTIFACTS_BUNDLE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/trust/verifier.h"

namespace tandem::cm {

// Bytes of a file.
struct FileRange {
  std::string path;
  uint64_t offset = 0;
  uint64_t size = 0;
};

struct Bundle {
  DesiredEnvelopes documents;
  // By the 32 bytes that the member's name says.
  std::map<std::string, FileRange> artifacts;
};

// Reads the members' headers and `desired`. NOT_FOUND: no such file. INVALID_ARGUMENT: not a tar, compressed, no
// `desired` first, an unexpected member. DATA_LOSS: cut off.
absl::StatusOr<Bundle> OpenBundle(const std::string& path);

}  // namespace tandem::cm

#endif  // TANDEM_CM_ARTIFACTS_BUNDLE_H_
