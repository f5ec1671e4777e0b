// Brings an artifact's bytes to where they belong, in one pass: fetch -> chunk hash -> writer, checkpointed, resumed.
//
//   StageRequest request{.urls = artifact.urls, .sha256 = ..., .size = ..., .chunk_size = ..., .chunk_digests = ...};
//   RETURN_IF_ERROR(stager.Stage(request, slot_file, record, observer));
//
// This is the only way bytes come onto a unit; making it faster or incremental changes nothing for its callers.
#ifndef TANDEM_COMMON_IMAGE_STAGER_H_
#define TANDEM_COMMON_IMAGE_STAGER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/net/http_fetcher.h"
#include "common/storage/durable_record.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"

namespace tandem {

struct StageRequest {
  // Mirrors of the same bytes, in order of preference. Empty: only what is already in the target will do.
  std::vector<std::string> urls;
  std::vector<std::string> headers;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  // 32 bytes.
  std::string sha256;
  uint64_t size = 0;
  // SHA-256 of every `chunk_size` bytes, joined. Empty: the whole is one chunk for verification (no byte is trusted
  // until the end), and a resume re-reads what was written.
  uint32_t chunk_size = 0;
  std::string chunk_digests;
  // Ends trying: total time over all retries and mirrors.
  absl::Duration deadline = absl::Hours(24);
  uint32_t min_bytes_per_second = 1024;
};

struct StageObserver {
  // Bytes verified and written; called for each chunk.
  std::function<void(uint64_t done)> progress;
  std::function<bool()> cancelled;
  // A few words when something is retried.
  std::function<void(const std::string&)> activity;
};

// At most this many bytes are fetched again after any interruption.
inline constexpr uint64_t kStageCheckpoint = 4 << 20;

class Stager {
 public:
  // Both must outlive the stager. Stage() may be called from several threads for different targets.
  Stager(HttpFetcher& fetcher, Clock& clock) : fetcher_(fetcher), clock_(clock) {}

  // After OK `target` holds exactly the artifact in its first `size` bytes, synced, read back from the medium and
  // checked against sha256; a longer device keeps its tail. `progress` is the durable progress: a record for other
  // bytes is discarded; it is written after the target's Sync(), never before. What fails is retried with
  // back-off and jitter, the next mirror first, until the deadline, also what a server refuses; a chunk that does not
  // match makes its mirror the last choice and is fetched again from another, DATA_LOSS when none gives it.
  // RESOURCE_EXHAUSTED: target too small or full. CANCELLED. INVALID_ARGUMENT: no URL can be used. NOT_FOUND: there is
  // no source, and the target does not hold the artifact.
  absl::Status Stage(const StageRequest& request, File& target, DurableRecord& progress, const StageObserver& observer);

 private:
  HttpFetcher& fetcher_;
  Clock& clock_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_IMAGE_STAGER_H_
