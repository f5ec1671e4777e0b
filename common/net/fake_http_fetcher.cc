#include "common/net/fake_http_fetcher.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem {

void FakeHttpFetcher::Serve(const std::string& url, std::string bytes) {
  std::lock_guard lock(mutex_);
  sources_[url].bytes = std::move(bytes);
  sources_[url].served = true;
}

void FakeHttpFetcher::Fail(const std::string& url, absl::Status status, int times) {
  std::lock_guard lock(mutex_);
  sources_[url].failure = {std::move(status), times};
}

void FakeHttpFetcher::FailAt(const std::string& url, uint64_t offset, absl::Status status, int times) {
  std::lock_guard lock(mutex_);
  sources_[url].failures[offset] = {std::move(status), times};
}

void FakeHttpFetcher::CorruptAt(const std::string& url, uint64_t offset, int times) {
  std::lock_guard lock(mutex_);
  sources_[url].corruptions[offset] = times;
}

void FakeHttpFetcher::IgnoreRange(const std::string& url) {
  std::lock_guard lock(mutex_);
  sources_[url].ignores_range = true;
}

void FakeHttpFetcher::SetPieceSize(size_t size) {
  std::lock_guard lock(mutex_);
  piece_size_ = size;
}

void FakeHttpFetcher::SetObserver(std::function<void(const std::string&, uint64_t)> observer) {
  std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
}

std::vector<FetchRequest> FakeHttpFetcher::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

uint64_t FakeHttpFetcher::bytes_sent(const std::string& url) const {
  std::lock_guard lock(mutex_);
  const auto source = sources_.find(url);
  return source == sources_.end() ? 0 : source->second.sent;
}

absl::Status FakeHttpFetcher::Fetch(const FetchRequest& request, const Sink& sink) {
  std::unique_lock lock(mutex_);
  requests_.push_back(request);
  const auto found = sources_.find(request.url);
  if (found == sources_.end()) return absl::NotFoundError(absl::StrCat("fetch ", request.url, ": 404"));
  Source& source = found->second;
  if (source.failure.times > 0) {
    --source.failure.times;
    return source.failure.status;
  }
  if (!source.served) return absl::NotFoundError(absl::StrCat("fetch ", request.url, ": 404"));
  if (source.ignores_range) source.sent += std::min<uint64_t>(request.offset, source.bytes.size());
  const uint64_t wanted_end = request.length == 0 ? source.bytes.size() : request.offset + request.length;
  const uint64_t end = std::min<uint64_t>(wanted_end, source.bytes.size());
  uint64_t at = request.offset;
  while (at < end) {
    uint64_t piece_end = std::min<uint64_t>(at + piece_size_, end);
    std::optional<absl::Status> failure;
    for (auto& [offset, fault] : source.failures) {
      if (offset < at || offset >= piece_end || fault.times <= 0) continue;
      --fault.times;
      piece_end = offset;
      failure = fault.status;
      break;
    }
    std::string piece = source.bytes.substr(at, piece_end - at);
    for (auto& [offset, times] : source.corruptions) {
      if (offset < at || offset >= piece_end || times <= 0) continue;
      --times;
      piece[offset - at] = static_cast<char>(piece[offset - at] ^ 0x01);
    }
    if (observer_) observer_(request.url, at);
    at = piece_end;
    source.sent += piece.size();
    if (!piece.empty()) {
      // The sink may take long or call back.
      lock.unlock();
      const absl::Status status = sink(piece);
      lock.lock();
      if (!status.ok()) return status;
    }
    if (failure.has_value()) return *failure;
  }
  if (end < wanted_end) {
    return absl::UnavailableError(absl::StrCat("fetch ", request.url, ": the answer ended after ", at - request.offset,
                                               " of ", request.length, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace tandem
