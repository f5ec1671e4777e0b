// Ranged HTTP downloads as an interface: libcurl, and a fake that fails where a test wants it to.
#ifndef TANDEM_COMMON_NET_HTTP_FETCHER_H_
#define TANDEM_COMMON_NET_HTTP_FETCHER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tandem {

struct FetchRequest {
  // http, https or file.
  std::string url;
  // First byte wanted, and how many; 0: to the end.
  uint64_t offset = 0;
  uint64_t length = 0;
  // "Name: value".
  std::vector<std::string> headers;
  // PEM files; empty: the system's CAs, no client certificate.
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  absl::Duration connect_timeout = absl::Seconds(10);
  // Slower than this for `slow_time` is UNAVAILABLE (the slow-retrieval attack).
  uint32_t min_bytes_per_second = 1024;
  absl::Duration slow_time = absl::Seconds(60);
};

// Thread-safe.
class HttpFetcher {
 public:
  virtual ~HttpFetcher() = default;

  // Called with consecutive pieces from `offset` on, and with an empty piece about once a second while nothing comes.
  // An error ends the fetch and is what Fetch() returns.
  using Sink = std::function<absl::Status(std::string_view piece)>;

  // Blocks until everything asked for was handed to `sink`. Never hands over more than `length` bytes when it is set,
  // nor bytes from another offset (a server that ignores Range is read and skipped up to `offset`). UNAVAILABLE or
  // DEADLINE_EXCEEDED: may pass (network, 408, 429, 5xx, a certificate that is not trusted: the clock may not be set
  // yet). NOT_FOUND: 404 or 410. PERMISSION_DENIED: 401, 403. FAILED_PRECONDITION: any other status. INVALID_ARGUMENT:
  // bad URL.
  virtual absl::Status Fetch(const FetchRequest& request, const Sink& sink) = 0;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_HTTP_FETCHER_H_
