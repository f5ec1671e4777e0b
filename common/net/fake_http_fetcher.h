// An HttpFetcher that serves bytes from memory and fails where a test wants it to.
//
//   FakeHttpFetcher fetcher;
//   fetcher.Serve("http://m/image", bytes);
//   fetcher.FailAt("http://m/image", 5 << 20, absl::UnavailableError("connection reset"));
#ifndef TANDEM_COMMON_NET_FAKE_HTTP_FETCHER_H_
#define TANDEM_COMMON_NET_FAKE_HTTP_FETCHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "common/net/http_fetcher.h"

namespace tandem {

// Thread-safe. What is not served is NOT_FOUND.
class FakeHttpFetcher : public HttpFetcher {
 public:
  static constexpr int kForEver = 1 << 30;

  void Serve(const std::string& url, std::string bytes);
  // The next `times` fetches fail before the first byte.
  void Fail(const std::string& url, absl::Status status, int times = kForEver);
  // The next `times` fetches that come to this byte of the file deliver what is before it, then fail.
  void FailAt(const std::string& url, uint64_t offset, absl::Status status, int times = 1);
  // The next `times` fetches that pass this byte get it wrong.
  void CorruptAt(const std::string& url, uint64_t offset, int times = kForEver);
  // Sends the file from its start whatever is asked for; what is skipped is counted in bytes_sent().
  void IgnoreRange(const std::string& url);
  // Bytes per call of the sink; default 16 KiB.
  void SetPieceSize(size_t size);
  // Called before each piece, such as to advance a clock or to cut the power. Must not call back into the fetcher.
  void SetObserver(std::function<void(const std::string& url, uint64_t offset)> observer);

  // All requests so far, in order.
  std::vector<FetchRequest> requests() const;
  // Bytes that went over the network for this URL.
  uint64_t bytes_sent(const std::string& url) const;

  absl::Status Fetch(const FetchRequest& request, const Sink& sink) override;

 private:
  struct Fault {
    absl::Status status;
    int times = 0;
  };
  struct Source {
    std::string bytes;
    bool served = false;
    Fault failure;
    std::map<uint64_t, Fault> failures;
    std::map<uint64_t, int> corruptions;
    bool ignores_range = false;
    uint64_t sent = 0;
  };

  mutable std::mutex mutex_;
  std::map<std::string, Source> sources_;
  std::vector<FetchRequest> requests_;
  std::function<void(const std::string&, uint64_t)> observer_;
  size_t piece_size_ = 16 << 10;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_FAKE_HTTP_FETCHER_H_
