// CM's own copy of artifacts for UMs on other computers: downloaded once, checked, served from here.
//
//   {folder}/{sha256 hex}          the artifact, complete
//   {folder}/{sha256 hex}.part     a download; {…}.part.rec is how far it is durable
#ifndef TANDEM_CM_ARTIFACTS_CACHE_H_
#define TANDEM_CM_ARTIFACTS_CACHE_H_

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/image/stager.h"
#include "common/storage/file_system.h"
#include "common/time/workers.h"

namespace tandem::cm {

// Thread-safe. After a crash complete artifacts are complete (they get their name only when checked and synced) and
// downloads resume.
class ArtifactCache {
 public:
  // Makes `folder`, and takes stock of it: complete artifacts stay, in line for eviction by name.
  // All references must outlive the cache. `limit_bytes` should hold two images: the one that is fetched, and the
  // one to go back to; with less an update costs what a rollback would need.
  static absl::StatusOr<std::unique_ptr<ArtifactCache>> Open(FileSystem& fs, Stager& stager, std::string folder,
                                                             uint64_t limit_bytes,
                                                             Workers& workers = Workers::Threads());

  // Blocks until the artifact is here; for worker threads. One that is already here is not fetched; one that another
  // thread fetches is waited for. What a restart found on disk is read and checked before its first use, and fetched
  // again when it is wrong. Makes room by evicting what is not pinned, least recently used first, what is to be kept
  // last. The artifact must have been pinned, or it may go at once. RESOURCE_EXHAUSTED: it does not fit beside what is
  // pinned, or the disk is full: nothing was evicted, and the text says how many bytes are missing. CANCELLED. Else as
  // Stager::Stage().
  absl::Status Fetch(const StageRequest& request, const StageObserver& observer);

  // The file of a complete artifact; NOT_FOUND. Marks it as used. Fetch() comes first: it checks the bytes.
  absl::StatusOr<std::string> Path(const std::string& sha256);

  // Artifacts (32 bytes each) that `update_id` needs until Unpin(); pins are not durable: the owner of the update's
  // record pins again after a restart, before the first Fetch().
  void Pin(const std::string& update_id, const std::set<std::string>& sha256s);
  void Unpin(const std::string& update_id);

  // Artifacts that would be good to have but that no update needs: evicted only when a fetch would be refused
  // otherwise. Replaces those of the last call.
  void Keep(std::set<std::string> sha256s);

  // Bytes of complete artifacts.
  uint64_t size_bytes() const;

 private:
  struct Entry {
    uint64_t size = 0;
    // Its bytes were checked since CM started.
    bool checked = false;
    std::list<std::string>::iterator use;
  };

  ArtifactCache(FileSystem& fs, Stager& stager, std::string folder, uint64_t limit_bytes, Workers& workers)
      : fs_(fs), stager_(stager), folder_(std::move(folder)), limit_(limit_bytes), workers_(workers) {}

  absl::Status TakeStock();
  bool IsPinned(const std::string& sha256) const;
  // What may be evicted, in that order; the caller holds the lock.
  std::vector<std::string> Evictable() const;
  // Evicts until the artifact fits, of which `on_disk` bytes are there already; the caller holds the lock.
  absl::Status MakeRoom(uint64_t size, uint64_t on_disk);
  // Of an interrupted download.
  uint64_t DurableBytes(const StageRequest& request) const;
  // Downloads that nobody wants any more: not pinned, not running, not `wanted`. The caller holds the lock.
  absl::Status DropAbandonedParts(const std::string& wanted);
  void Remember(const std::string& sha256, uint64_t size, bool checked);
  absl::Status Forget(const std::string& sha256);
  // Until no other thread works on the artifact; then this one does.
  absl::Status TakeTurn(const std::string& sha256, const StageObserver& observer);
  absl::Status CheckOrDownload(const StageRequest& request, const StageObserver& observer);
  absl::StatusOr<bool> Matches(const StageRequest& request, const StageObserver& observer) const;
  absl::Status Download(const StageRequest& request, const StageObserver& observer);

  FileSystem& fs_;
  Stager& stager_;
  const std::string folder_;
  const uint64_t limit_;
  Workers& workers_;

  mutable std::mutex mutex_;
  std::map<std::string, Entry> entries_;
  // Least recently used first.
  std::list<std::string> use_order_;
  std::map<std::string, std::set<std::string>> pins_;
  std::set<std::string> kept_;
  // Artifacts that a thread checks or downloads, with the room they will take.
  std::map<std::string, uint64_t> running_;
  std::condition_variable turn_ended_;
  uint64_t size_ = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_ARTIFACTS_CACHE_H_
