#include "cm/artifacts/cache.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/log/log.h"
#include "common/status/status.h"
#include "common/storage/durable_record.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {
namespace {

constexpr char kPart[] = ".part";
// Left free for everybody else on the disk.
constexpr uint64_t kReserve = 16 << 20;
constexpr size_t kPieceSize = 1 << 20;
// Nobody tells a waiting thread that it was cancelled.
constexpr absl::Duration kLookForCancel = absl::Milliseconds(200);

bool IsDigestName(const std::string& name) {
  return name.size() == 2 * kSha256Size && absl::BytesToHexString(absl::HexStringToBytes(name)) == name;
}

bool IsCancelled(const StageObserver& observer) { return observer.cancelled && observer.cancelled(); }

}  // namespace

absl::StatusOr<std::unique_ptr<ArtifactCache>> ArtifactCache::Open(FileSystem& fs, Stager& stager, std::string folder,
                                                                   uint64_t limit_bytes, Workers& workers) {
  auto cache = std::unique_ptr<ArtifactCache>(new ArtifactCache(fs, stager, std::move(folder), limit_bytes, workers));
  RETURN_IF_ERROR(fs.MakeFolders(cache->folder_));
  RETURN_IF_ERROR(cache->TakeStock());
  return cache;
}

absl::Status ArtifactCache::TakeStock() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(folder_));
  for (const std::string& name : names) {
    if (!IsDigestName(name)) continue;
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                     fs_.Open(JoinPath(folder_, name), FileSystem::OpenMode::kReadOnly));
    ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    Remember(absl::HexStringToBytes(name), size, /*checked=*/false);
  }
  return absl::OkStatus();
}

bool ArtifactCache::IsPinned(const std::string& sha256) const {
  return std::ranges::any_of(pins_, [&](const auto& pin) { return pin.second.contains(sha256); });
}

void ArtifactCache::Remember(const std::string& sha256, uint64_t size, bool checked) {
  use_order_.push_back(sha256);
  entries_[sha256] = {.size = size, .checked = checked, .use = std::prev(use_order_.end())};
  size_ += size;
}

absl::Status ArtifactCache::Forget(const std::string& sha256) {
  RETURN_IF_ERROR(fs_.Remove(JoinPath(folder_, HexEncode(sha256))));
  const auto entry = entries_.find(sha256);
  size_ -= entry->second.size;
  use_order_.erase(entry->second.use);
  entries_.erase(entry);
  return absl::OkStatus();
}

uint64_t ArtifactCache::DurableBytes(const StageRequest& request) const {
  const std::string part = JoinPath(folder_, HexEncode(request.sha256)) + kPart;
  const absl::StatusOr<std::string> bytes = DurableRecord(fs_, part + ".rec").Read();
  record::v1::StageRecord record;
  if (!bytes.ok() || !record.ParseFromString(*bytes) || !fs_.Exists(part)) return 0;
  return std::min<uint64_t>(record.synced_bytes(), request.size);
}

std::vector<std::string> ArtifactCache::Evictable() const {
  std::vector<std::string> order;
  for (const std::string& digest : use_order_) {
    if (!IsPinned(digest) && !running_.contains(digest)) order.push_back(digest);
  }
  std::stable_partition(order.begin(), order.end(), [&](const std::string& digest) { return !kept_.contains(digest); });
  return order;
}

absl::Status ArtifactCache::MakeRoom(uint64_t size, uint64_t on_disk) {
  uint64_t running = 0;
  for (const auto& [digest, bytes] : running_) running += bytes;
  const auto missing = [&]() -> absl::StatusOr<uint64_t> {
    ASSIGN_OR_RETURN(const uint64_t free, fs_.FreeSpace(folder_));
    const uint64_t wanted = size_ + running + size;
    const uint64_t over_limit = wanted > limit_ ? wanted - limit_ : 0;
    const uint64_t to_write = size - on_disk + kReserve;
    const uint64_t over_disk = to_write > free ? to_write - free : 0;
    return std::max(over_limit, over_disk);
  };
  const auto refusal = [&](uint64_t bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the artifact cache ", folder_, " lacks ", bytes, " bytes for ",
                                                     size, "; free the disk or raise artifacts.cache_limit_bytes"));
  };
  const std::vector<std::string> evictable = Evictable();
  uint64_t can_go = 0;
  for (const std::string& digest : evictable) can_go += entries_.at(digest).size;
  ASSIGN_OR_RETURN(uint64_t bytes, missing());
  // Nothing is given up for what will not fit anyway.
  if (bytes > can_go) return refusal(bytes - can_go);
  for (auto victim = evictable.begin(); bytes != 0; ++victim) {
    // The disk got less free than the files were long.
    if (victim == evictable.end()) return refusal(bytes);
    LogInfo("artifact evicted",
            {{"sha256", HexEncode(*victim)}, {"kept_for_rollback", kept_.contains(*victim) ? "yes" : "no"}});
    RETURN_IF_ERROR(Forget(*victim));
    ASSIGN_OR_RETURN(bytes, missing());
  }
  return absl::OkStatus();
}

absl::Status ArtifactCache::DropAbandonedParts(const std::string& wanted) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, fs_.List(folder_));
  for (const std::string& name : names) {
    const size_t part = name.find(kPart);
    if (part == std::string::npos || !IsDigestName(name.substr(0, part))) continue;
    const std::string digest = absl::HexStringToBytes(name.substr(0, part));
    if (digest == wanted || running_.contains(digest) || IsPinned(digest)) continue;
    RETURN_IF_ERROR(fs_.Remove(JoinPath(folder_, name)));
  }
  return absl::OkStatus();
}

absl::Status ArtifactCache::Fetch(const StageRequest& request, const StageObserver& observer) {
  RETURN_IF_ERROR(TakeTurn(request.sha256, observer));
  const absl::Status status = CheckOrDownload(request, observer);
  {
    std::lock_guard lock(mutex_);
    running_.erase(request.sha256);
  }
  turn_ended_.notify_all();
  return status;
}

absl::Status ArtifactCache::TakeTurn(const std::string& sha256, const StageObserver& observer) {
  std::unique_lock lock(mutex_);
  if (running_.contains(sha256) && observer.activity) observer.activity("another UM's download brings it");
  while (running_.contains(sha256)) {
    if (IsCancelled(observer)) return absl::CancelledError("no longer wanted");
    workers_.Wait(lock, turn_ended_, kLookForCancel);
  }
  running_[sha256] = 0;
  return absl::OkStatus();
}

absl::Status ArtifactCache::CheckOrDownload(const StageRequest& request, const StageObserver& observer) {
  std::unique_lock lock(mutex_);
  if (const auto entry = entries_.find(request.sha256); entry != entries_.end()) {
    if (entry->second.checked) return absl::OkStatus();
    lock.unlock();
    const absl::StatusOr<bool> right = Matches(request, observer);
    lock.lock();
    if (absl::IsCancelled(right.status())) return right.status();
    if (right.ok() && *right) {
      entry->second.checked = true;
      return absl::OkStatus();
    }
    LogWarning("artifact in the cache is damaged; it is fetched again",
               {{"sha256", HexEncode(request.sha256)},
                {"error", right.ok() ? "other bytes than its name says" : ToPersonText(right.status())}});
    RETURN_IF_ERROR(Forget(request.sha256));
  }
  RETURN_IF_ERROR(DropAbandonedParts(request.sha256));
  RETURN_IF_ERROR(MakeRoom(request.size, DurableBytes(request)));
  running_[request.sha256] = request.size;
  lock.unlock();
  RETURN_IF_ERROR(Download(request, observer));
  lock.lock();
  running_[request.sha256] = 0;
  Remember(request.sha256, request.size, /*checked=*/true);
  return absl::OkStatus();
}

absl::StatusOr<bool> ArtifactCache::Matches(const StageRequest& request, const StageObserver& observer) const {
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file,
                   fs_.Open(JoinPath(folder_, HexEncode(request.sha256)), FileSystem::OpenMode::kReadOnly));
  Sha256Stream digest;
  for (uint64_t offset = 0;;) {
    if (IsCancelled(observer)) return absl::CancelledError("no longer wanted");
    ASSIGN_OR_RETURN(const std::string piece, file->ReadAt(offset, kPieceSize));
    if (piece.empty()) return offset == request.size && digest.Finish() == request.sha256;
    digest.Update(piece);
    offset += piece.size();
  }
}

absl::Status ArtifactCache::Download(const StageRequest& request, const StageObserver& observer) {
  const std::string path = JoinPath(folder_, HexEncode(request.sha256));
  DurableRecord progress(fs_, absl::StrCat(path, kPart, ".rec"));
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.Open(path + kPart, FileSystem::OpenMode::kCreate));
    RETURN_IF_ERROR(stager_.Stage(request, *file, progress, observer));
    RETURN_IF_ERROR(file->Truncate(request.size));
    RETURN_IF_ERROR(file->Sync());
  }
  RETURN_IF_ERROR(fs_.Rename(path + kPart, path));
  RETURN_IF_ERROR(fs_.SyncFolder(folder_));
  return progress.Clear();
}

absl::StatusOr<std::string> ArtifactCache::Path(const std::string& sha256) {
  std::lock_guard lock(mutex_);
  const auto entry = entries_.find(sha256);
  if (entry == entries_.end()) {
    return absl::NotFoundError(absl::StrCat("artifact ", HexEncode(sha256), " is not in the cache"));
  }
  use_order_.splice(use_order_.end(), use_order_, entry->second.use);
  return JoinPath(folder_, HexEncode(sha256));
}

void ArtifactCache::Pin(const std::string& update_id, const std::set<std::string>& sha256s) {
  std::lock_guard lock(mutex_);
  pins_[update_id].insert(sha256s.begin(), sha256s.end());
}

void ArtifactCache::Unpin(const std::string& update_id) {
  std::lock_guard lock(mutex_);
  pins_.erase(update_id);
}

void ArtifactCache::Keep(std::set<std::string> sha256s) {
  std::lock_guard lock(mutex_);
  kept_ = std::move(sha256s);
}

uint64_t ArtifactCache::size_bytes() const {
  std::lock_guard lock(mutex_);
  return size_;
}

}  // namespace tandem::cm
