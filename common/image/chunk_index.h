// The digests of an image: of the whole, and of each chunk of equal size.
//
//   ASSIGN_OR_RETURN(ImageIndex index, IndexImage(FileSystem::Real(), "rootfs.squashfs", kDefaultChunkSize));
#ifndef TANDEM_COMMON_IMAGE_CHUNK_INDEX_H_
#define TANDEM_COMMON_IMAGE_CHUNK_INDEX_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/storage/file_system.h"

namespace tandem {

inline constexpr uint32_t kDefaultChunkSize = 1 << 20;

struct ImageIndex {
  // 32 bytes.
  std::string sha256;
  uint64_t size = 0;
  uint32_t chunk_size = 0;
  // SHA-256 of each chunk, joined; the last chunk may be shorter.
  std::string chunk_digests;
};

// Reads the file once, in bounded memory. `chunk_size` 0: the whole only.
absl::StatusOr<ImageIndex> IndexImage(FileSystem& fs, const std::string& path, uint32_t chunk_size);

// Which bytes each digest covers. Without chunk digests the whole image is the one chunk.
class ChunkMap {
 public:
  // INVALID_ARGUMENT when the sizes do not fit together.
  static absl::StatusOr<ChunkMap> Make(const ImageIndex& index);

  uint64_t count() const { return digests_.size() / 32; }
  uint64_t size() const { return size_; }
  // The chunk that holds byte `offset`; `offset` < size.
  uint64_t ChunkAt(uint64_t offset) const { return offset / chunk_size_; }
  uint64_t Begin(uint64_t chunk) const { return chunk * chunk_size_; }
  uint64_t End(uint64_t chunk) const { return std::min(size_, (chunk + 1) * chunk_size_); }
  std::string_view Digest(uint64_t chunk) const { return std::string_view(digests_).substr(chunk * 32, 32); }

 private:
  ChunkMap(uint64_t size, uint64_t chunk_size, std::string digests)
      : size_(size), chunk_size_(chunk_size), digests_(std::move(digests)) {}

  uint64_t size_;
  uint64_t chunk_size_;
  std::string digests_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_IMAGE_CHUNK_INDEX_H_
