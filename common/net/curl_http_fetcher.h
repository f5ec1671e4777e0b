// HttpFetcher through libcurl: http, https and file.
//
// Connections are kept and used again by later fetches. Redirects are followed (at most 5), never to file:. Messages
// name the URL without its query, which may hold a presigned secret.
#ifndef TANDEM_COMMON_NET_CURL_HTTP_FETCHER_H_
#define TANDEM_COMMON_NET_CURL_HTTP_FETCHER_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/net/http_fetcher.h"

namespace tandem {

class CurlHttpFetcher : public HttpFetcher {
 public:
  CurlHttpFetcher();
  ~CurlHttpFetcher() override;
  CurlHttpFetcher(const CurlHttpFetcher&) = delete;
  CurlHttpFetcher& operator=(const CurlHttpFetcher&) = delete;

  absl::Status Fetch(const FetchRequest& request, const Sink& sink) override;

 private:
  class Handle;
  class Transfer;

  std::unique_ptr<Handle> Take();
  void GiveBack(std::unique_ptr<Handle> handle);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_;
};

}  // namespace tandem

#endif  // TANDEM_COMMON_NET_CURL_HTTP_FETCHER_H_
