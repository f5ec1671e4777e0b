#include "common/image/chunk_index.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"

namespace tandem {
namespace {

constexpr size_t kHashReadSize = 1 << 20;

}  // namespace

absl::StatusOr<ImageIndex> IndexImage(FileSystem& fs, const std::string& path, uint32_t chunk_size) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs.Open(path, FileSystem::OpenMode::kReadOnly));
  ImageIndex index{.chunk_size = chunk_size};
  Sha256Stream whole;
  Sha256Stream chunk;
  while (true) {
    const uint64_t in_chunk = chunk_size == 0 ? 0 : index.size % chunk_size;
    const size_t wanted = chunk_size == 0 ? kHashReadSize : std::min<uint64_t>(kHashReadSize, chunk_size - in_chunk);
    ASSIGN_OR_RETURN(const std::string data, file->ReadAt(index.size, wanted));
    if (data.empty()) break;
    whole.Update(data);
    index.size += data.size();
    if (chunk_size == 0) continue;
    chunk.Update(data);
    if (index.size % chunk_size == 0) index.chunk_digests += chunk.Finish();
  }
  if (chunk_size != 0 && index.size % chunk_size != 0) index.chunk_digests += chunk.Finish();
  index.sha256 = whole.Finish();
  return index;
}

absl::StatusOr<ChunkMap> ChunkMap::Make(const ImageIndex& index) {
  if (index.sha256.size() != kSha256Size) {
    return absl::InvalidArgumentError(absl::StrCat("the SHA-256 has ", index.sha256.size(), " bytes, not 32"));
  }
  if (index.chunk_size == 0 || index.chunk_digests.empty()) {
    if (!index.chunk_digests.empty()) return absl::InvalidArgumentError("chunk digests without a chunk size");
    return ChunkMap(index.size, std::max<uint64_t>(index.size, 1), index.size == 0 ? "" : index.sha256);
  }
  const uint64_t chunks = index.size / index.chunk_size + (index.size % index.chunk_size != 0 ? 1 : 0);
  if (index.chunk_digests.size() != chunks * kSha256Size) {
    return absl::InvalidArgumentError(absl::StrCat(index.size, " bytes in chunks of ", index.chunk_size, " need ",
                                                   chunks, " digests of 32 bytes, not ", index.chunk_digests.size(),
                                                   " bytes"));
  }
  return ChunkMap(index.size, index.chunk_size, index.chunk_digests);
}

}  // namespace tandem
