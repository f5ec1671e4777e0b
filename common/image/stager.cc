#include "common/image/stager.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/image/chunk_index.h"
#include "common/image/mirror_list.h"
#include "common/net/backoff.h"
#include "common/status/status.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem {
namespace {

constexpr size_t kReadSize = 1 << 20;
// A fetch that brought less than this is no reason to hurry to the next one.
constexpr uint64_t kWorthwhile = 256 << 10;
constexpr absl::Duration kLongestSleep = absl::Seconds(1);
// Read-backs that find wrong chunks and have them fetched again, before the medium is held to be broken.
constexpr int kRepairs = 2;
// What may be fetched in vain while no mirror has the right bytes.
constexpr uint64_t kMostInVain = 64 << 20;

// One call of Stage(). `position_` bytes of the target are written; the running digest covers the current chunk's part
// of them. A chunk that spans checkpoints is read back on resume, so nothing about digests needs to be kept on disk.
class StageRun {
 public:
  StageRun(HttpFetcher& fetcher, Clock& clock, const StageRequest& request, File& target, DurableRecord& progress,
           const StageObserver& observer, ChunkMap chunks)
      : fetcher_(fetcher),
        clock_(clock),
        request_(request),
        target_(target),
        record_(progress),
        observer_(observer),
        chunks_(std::move(chunks)),
        mirrors_(request.urls),
        end_time_(clock.Monotonic() + request.deadline) {}

  absl::Status Run() {
    if (request_.urls.empty()) return FindInTarget();
    RETURN_IF_ERROR(MakeRoom());
    RETURN_IF_ERROR(Resume());
    RETURN_IF_ERROR(FetchUpTo(request_.size));
    RETURN_IF_ERROR(Checkpoint());
    for (int repairs = 0;; ++repairs) {
      ASSIGN_OR_RETURN(const std::vector<uint64_t> wrong, ReadBack());
      if (wrong.empty()) return absl::OkStatus();
      if (repairs == kRepairs) {
        return Discard(
            absl::DataLossError("what is read back differs from what was written; the medium may be broken"));
      }
      Say(absl::StrCat("fetching ", wrong.size(), " damaged chunks again"));
      // The record goes on saying that everything is there: after a crash the read-back finds the same chunks.
      repairing_ = true;
      mirrors_.NextChunk();
      for (const uint64_t chunk : wrong) {
        GoTo(chunks_.Begin(chunk));
        RETURN_IF_ERROR(FetchUpTo(chunks_.End(chunk)));
      }
      RETURN_IF_ERROR(target_.Sync());
    }
  }

 private:
  // ---- Before the first byte ----

  absl::Status FindInTarget() {
    constexpr char kNoSource[] = "no source is known for it, and the target does not hold it";
    ASSIGN_OR_RETURN(const uint64_t capacity, target_.Size());
    if (capacity < request_.size) return absl::NotFoundError(kNoSource);
    ASSIGN_OR_RETURN(const std::vector<uint64_t> wrong, ReadBack());
    return wrong.empty() ? absl::OkStatus() : absl::NotFoundError(kNoSource);
  }

  // A file grows to the size; what cannot grow is a device that is too small.
  absl::Status MakeRoom() {
    ASSIGN_OR_RETURN(const uint64_t capacity, target_.Size());
    if (capacity >= request_.size) return absl::OkStatus();
    if (const absl::Status grown = target_.Truncate(request_.size); !grown.ok()) {
      if (!absl::IsInvalidArgument(grown) && !absl::IsResourceExhausted(grown)) return grown;
      return absl::ResourceExhaustedError(
          absl::StrCat("the target has ", capacity, " bytes, the artifact ", request_.size));
    }
    return absl::OkStatus();
  }

  absl::Status Resume() {
    const absl::StatusOr<std::string> bytes = record_.Read();
    if (!bytes.ok() && !absl::IsNotFound(bytes.status()) && !absl::IsDataLoss(bytes.status())) return bytes.status();
    record::v1::StageRecord record;
    const bool ours = bytes.ok() && record.ParseFromString(*bytes) && record.sha256() == request_.sha256 &&
                      record.size() == request_.size && record.synced_bytes() <= request_.size;
    const uint64_t synced = ours ? record.synced_bytes() : 0;
    GoTo(synced == request_.size ? synced : chunks_.Begin(chunks_.ChunkAt(synced)));
    while (position_ < synced) {
      RETURN_IF_ERROR(CheckWanted());
      const uint64_t step = std::min<uint64_t>(kReadSize, synced - position_);
      ASSIGN_OR_RETURN(const std::string data, target_.ReadAt(position_, step));
      if (data.size() != step) return absl::DataLossError(absl::StrCat("the target ends at ", position_ + data.size()));
      digest_.Update(data);
      position_ += step;
    }
    // Bytes of before the restart: no mirror of now can be blamed for them.
    chunk_is_fresh_ = synced == request_.size || position_ == chunks_.Begin(chunks_.ChunkAt(position_));
    synced_ = synced;
    // An old record must not survive into other bytes: it would be believed after a crash.
    if (!ours && bytes.ok()) RETURN_IF_ERROR(record_.Clear());
    if (synced > 0) Say(absl::StrCat("resuming at byte ", synced));
    return absl::OkStatus();
  }

  // ---- Fetching ----

  // Starts a chunk at its beginning.
  void GoTo(uint64_t position) {
    position_ = position;
    synced_ = std::min(synced_, position);
    digest_ = Sha256Stream();
    chunk_is_fresh_ = true;
    sole_source_ = std::nullopt;
  }

  absl::Status FetchUpTo(uint64_t end) {
    Backoff backoff;
    while (position_ < end) {
      RETURN_IF_ERROR(CheckWanted());
      const std::optional<size_t> mirror = ChooseMirror();
      if (!mirror.has_value()) {
        if (!mirrors_.SomeAreWrong() || in_vain_ >= kMostInVain) return mirrors_.Verdict();
        // A captive portal answers with its own page until somebody has signed in.
        last_failure_ = mirrors_.Verdict();
        RETURN_IF_ERROR(PauseAfter(last_failure_, backoff));
        mirrors_.NextChunk();
        continue;
      }
      const uint64_t before = position_;
      absl::Status status = FetchFrom(*mirror, end);
      if (!own_failure_.ok()) return own_failure_;
      if (wrong_chunk_) {
        // Already counted against the mirror; the other one is asked at once.
        wrong_chunk_ = false;
        continue;
      }
      if (position_ == end) break;
      if (status.ok()) status = absl::UnavailableError(absl::StrCat("the answer ended at byte ", position_));
      if (position_ > before + kWorthwhile) {
        mirrors_.Progressed();
        backoff.Reset();
      }
      // What a server refuses now it may give later: it is still being filled, or somebody renews the URLs. Only a URL
      // that is none cannot get better.
      if (absl::IsInvalidArgument(status)) {
        mirrors_.FailedForGood(*mirror, status);
        Say(absl::StrCat("giving up a mirror: ", status.message()));
        continue;
      }
      last_failure_ = status;
      if (mirrors_.FailedForNow(*mirror)) RETURN_IF_ERROR(PauseAfter(status, backoff));
    }
    return absl::OkStatus();
  }

  absl::Status PauseAfter(const absl::Status& status, Backoff& backoff) {
    const absl::Duration delay = backoff.Next();
    Say(absl::StrCat("trying again in ", absl::FormatDuration(absl::Trunc(delay, absl::Milliseconds(100))), ": ",
                     status.message()));
    return Wait(delay);
  }

  // After a wrong chunk of mixed origin, a chunk must come from one mirror alone, so that the culprit is found.
  std::optional<size_t> ChooseMirror() {
    if (!one_mirror_per_chunk_ || chunk_is_fresh_) return mirrors_.Current();
    if (sole_source_.has_value() && mirrors_.MayGoOn(*sole_source_)) return sole_source_;
    const std::optional<size_t> mirror = mirrors_.Current();
    if (mirror.has_value() && sole_source_ != mirror) GoTo(chunks_.Begin(chunks_.ChunkAt(position_)));
    return mirror;
  }

  absl::Status FetchFrom(size_t mirror, uint64_t end) {
    FetchRequest fetch{.url = mirrors_.url(mirror),
                       .offset = position_,
                       .length = end - position_,
                       .headers = request_.headers,
                       .ca_file = request_.ca_file,
                       .certificate_file = request_.certificate_file,
                       .key_file = request_.key_file,
                       .min_bytes_per_second = request_.min_bytes_per_second};
    return fetcher_.Fetch(fetch, [&](std::string_view piece) {
      absl::Status status = Take(piece, mirror);
      if (!status.ok() && !wrong_chunk_) own_failure_ = status;
      return status;
    });
  }

  absl::Status Take(std::string_view piece, size_t mirror) {
    RETURN_IF_ERROR(CheckWanted());
    while (!piece.empty()) {
      const uint64_t chunk = chunks_.ChunkAt(position_);
      const uint64_t checkpoint = repairing_ ? request_.size : synced_ + kStageCheckpoint;
      const uint64_t stop = std::min(chunks_.End(chunk), checkpoint);
      const std::string_view part = piece.substr(0, stop - position_);
      if (chunk_is_fresh_) {
        sole_source_ = mirror;
      } else if (sole_source_ != mirror) {
        sole_source_ = std::nullopt;
      }
      chunk_is_fresh_ = false;
      digest_.Update(part);
      RETURN_IF_ERROR(target_.WriteAt(position_, part));
      position_ += part.size();
      piece.remove_prefix(part.size());
      if (position_ == chunks_.End(chunk)) RETURN_IF_ERROR(EndChunk(chunk));
      if (position_ == checkpoint && !repairing_) RETURN_IF_ERROR(Checkpoint());
    }
    return absl::OkStatus();
  }

  absl::Status EndChunk(uint64_t chunk) {
    if (digest_.Finish() != chunks_.Digest(chunk)) {
      wrong_chunk_ = true;
      in_vain_ += position_ - chunks_.Begin(chunk);
      if (sole_source_.has_value()) {
        mirrors_.SentWrongChunk(*sole_source_);
      } else {
        one_mirror_per_chunk_ = true;
      }
      Say(absl::StrCat("bytes ", chunks_.Begin(chunk), " to ", position_, " do not match; fetching them again"));
      GoTo(chunks_.Begin(chunk));
      return absl::DataLossError("wrong chunk");
    }
    chunk_is_fresh_ = true;
    one_mirror_per_chunk_ = false;
    mirrors_.NextChunk();
    mirrors_.Progressed();
    if (observer_.progress && !repairing_) observer_.progress(position_);
    return absl::OkStatus();
  }

  absl::Status Checkpoint() {
    RETURN_IF_ERROR(target_.Sync());
    record::v1::StageRecord record;
    record.set_sha256(request_.sha256);
    record.set_size(request_.size);
    record.set_synced_bytes(position_);
    RETURN_IF_ERROR(record_.Write(record.SerializeAsString()));
    synced_ = position_;
    if (observer_.progress) observer_.progress(position_);
    return absl::OkStatus();
  }

  // ---- After the last byte ----

  // The chunks that the medium does not hold as they should be.
  absl::StatusOr<std::vector<uint64_t>> ReadBack() {
    RETURN_IF_ERROR(target_.DropCache());
    Sha256Stream whole;
    std::vector<uint64_t> wrong;
    for (uint64_t chunk = 0; chunk < chunks_.count(); ++chunk) {
      Sha256Stream digest;
      for (uint64_t at = chunks_.Begin(chunk); at < chunks_.End(chunk);) {
        RETURN_IF_ERROR(CheckWanted());
        ASSIGN_OR_RETURN(const std::string data,
                         target_.ReadAt(at, std::min<uint64_t>(kReadSize, chunks_.End(chunk) - at)));
        if (data.empty()) return absl::DataLossError(absl::StrCat("the target ends at ", at));
        whole.Update(data);
        if (chunks_.count() > 1) digest.Update(data);
        at += data.size();
      }
      if (chunks_.count() > 1 && digest.Finish() != chunks_.Digest(chunk)) wrong.push_back(chunk);
    }
    const bool right = whole.Finish() == request_.sha256;
    if (right || !wrong.empty()) return wrong;
    if (chunks_.count() == 1) return std::vector<uint64_t>{0};
    return Discard(absl::DataLossError("every chunk matches, but not the whole: the release contradicts itself"));
  }

  // What is in the target is worth nothing: the next try starts from the beginning.
  absl::Status Discard(absl::Status why) {
    RETURN_IF_ERROR(record_.Clear());
    return why;
  }

  // ---- Time and people ----

  absl::Status CheckWanted() {
    if (observer_.cancelled && observer_.cancelled()) return absl::CancelledError("no longer wanted");
    if (clock_.Monotonic() < end_time_) return absl::OkStatus();
    return absl::DeadlineExceededError(absl::StrCat("not complete within ", absl::FormatDuration(request_.deadline),
                                                    ", at byte ", position_, " of ", request_.size,
                                                    last_failure_.ok() ? "" : ": ", last_failure_.message()));
  }

  absl::Status Wait(absl::Duration delay) {
    while (delay > absl::ZeroDuration()) {
      RETURN_IF_ERROR(CheckWanted());
      const absl::Duration step = std::min(delay, kLongestSleep);
      clock_.Sleep(step);
      delay -= step;
    }
    return CheckWanted();
  }

  void Say(const std::string& text) {
    if (observer_.activity) observer_.activity(text);
  }

  HttpFetcher& fetcher_;
  Clock& clock_;
  const StageRequest& request_;
  File& target_;
  DurableRecord& record_;
  const StageObserver& observer_;
  const ChunkMap chunks_;
  MirrorList mirrors_;
  const absl::Duration end_time_;

  uint64_t position_ = 0;
  // Durable, and in the record.
  uint64_t synced_ = 0;
  Sha256Stream digest_;
  // Where the current chunk came from, when all of it came from one mirror.
  std::optional<size_t> sole_source_;
  // Nothing of the current chunk was written yet.
  bool chunk_is_fresh_ = true;
  bool one_mirror_per_chunk_ = false;
  bool wrong_chunk_ = false;
  bool repairing_ = false;
  uint64_t in_vain_ = 0;
  // Not the network's fault: the medium, the record, a cancel.
  absl::Status own_failure_;
  absl::Status last_failure_;
};

}  // namespace

absl::Status Stager::Stage(const StageRequest& request, File& target, DurableRecord& progress,
                           const StageObserver& observer) {
  ASSIGN_OR_RETURN(ChunkMap chunks, ChunkMap::Make({.sha256 = request.sha256,
                                                    .size = request.size,
                                                    .chunk_size = request.chunk_size,
                                                    .chunk_digests = request.chunk_digests}));
  return StageRun(fetcher_, clock_, request, target, progress, observer, std::move(chunks)).Run();
}

}  // namespace tandem
