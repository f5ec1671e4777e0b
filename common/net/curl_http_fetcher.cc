#include "common/net/curl_http_fetcher.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/status/status.h"
#include "common/text/text.h"

namespace tandem {
namespace {

constexpr size_t kMaxIdleHandles = 4;
constexpr long kBufferSize = 256 << 10;  // NOLINT(google-runtime-int): libcurl's type.
constexpr long kMaxRedirects = 5;        // NOLINT(google-runtime-int)

absl::StatusCode CodeOfHttpStatus(long status) {  // NOLINT(google-runtime-int)
  if (status == 401 || status == 403) return absl::StatusCode::kPermissionDenied;
  if (status == 404 || status == 410) return absl::StatusCode::kNotFound;
  if (status == 408 || status == 425 || status == 429 || status >= 500) return absl::StatusCode::kUnavailable;
  return absl::StatusCode::kFailedPrecondition;
}

absl::StatusCode CodeOfCurl(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::StatusCode::kInvalidArgument;
    case CURLE_LOGIN_DENIED:
    case CURLE_REMOTE_ACCESS_DENIED:
      return absl::StatusCode::kPermissionDenied;
    case CURLE_FILE_COULDNT_READ_FILE:
    case CURLE_REMOTE_FILE_NOT_FOUND:
      return absl::StatusCode::kNotFound;
    case CURLE_OUT_OF_MEMORY:
      return absl::StatusCode::kResourceExhausted;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_BAD_DOWNLOAD_RESUME:
    case CURLE_RANGE_ERROR:
      return absl::StatusCode::kFailedPrecondition;
    // Also a server that cannot be trusted now: before the clock is set its certificate is not valid yet, and behind a
    // captive portal somebody else answers. Nothing was fetched, and the text says why.
    default:
      return absl::StatusCode::kUnavailable;
  }
}

// The first number of "Content-Range: bytes 100-199/1000".
std::optional<uint64_t> ParseContentRange(std::string_view line) {
  constexpr std::string_view kName = "content-range:";
  if (line.size() < kName.size() || !absl::EqualsIgnoreCase(absl::string_view(line.data(), kName.size()),
                                                            absl::string_view(kName.data(), kName.size()))) {
    return std::nullopt;
  }
  line.remove_prefix(kName.size());
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  if (!line.starts_with("bytes ")) return std::nullopt;
  line.remove_prefix(6);
  uint64_t first = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), first);
  if (error != std::errc() || end == line.data() + line.size() || *end != '-') return std::nullopt;
  return first;
}

}  // namespace

class CurlHttpFetcher::Handle {
 public:
  Handle() : easy_(curl_easy_init()) {}
  ~Handle() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(easy_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  CURL* easy() { return easy_; }
  // Forgets options, keeps connections.
  void Reset() {
    curl_easy_reset(easy_);
    curl_slist_free_all(headers_);
    headers_ = nullptr;
  }
  void AddHeader(const std::string& header) { headers_ = curl_slist_append(headers_, header.c_str()); }
  curl_slist* headers() { return headers_; }

 private:
  CURL* easy_;
  curl_slist* headers_ = nullptr;
};

// What one fetch knows; libcurl calls it back on the thread of Fetch().
class CurlHttpFetcher::Transfer {
 public:
  Transfer(CURL* easy, const FetchRequest& request, const Sink& sink) : easy_(easy), request_(request), sink_(sink) {}

  static size_t OnHeader(char* data, size_t size, size_t count, void* self) {
    static_cast<Transfer*>(self)->Header(std::string_view(data, size * count));
    return size * count;
  }
  static size_t OnBody(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->Body(std::string_view(data, size * count)) ? size * count
                                                                                    : CURL_WRITEFUNC_ERROR;
  }
  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return static_cast<Transfer*>(self)->Tick() ? 0 : 1;
  }

  // What Fetch() returns, after libcurl ended with `code` and the text it left.
  absl::Status Finish(CURLcode code, const char* text) {
    if (!own_status_.ok()) return own_status_;
    if (complete_) return absl::OkStatus();
    const std::string what = absl::StrCat("fetch ", WithoutUrlSecrets(request_.url));
    if (code != CURLE_OK) {
      return absl::Status(CodeOfCurl(code),
                          absl::StrCat(what, ": ", WithoutUrlSecrets(*text != '\0' ? text : curl_easy_strerror(code))));
    }
    if (const long status = HttpStatus(); status != 0 && status / 100 != 2) {  // NOLINT(google-runtime-int)
      return absl::Status(CodeOfHttpStatus(status), absl::StrCat(what, ": the server answered ", status));
    }
    if (request_.length != 0 && delivered_ < request_.length) {
      return absl::UnavailableError(
          absl::StrCat(what, ": the answer ended after ", delivered_, " of ", request_.length, " bytes"));
    }
    return absl::OkStatus();
  }

 private:
  long HttpStatus() const {  // NOLINT(google-runtime-int)
    long status = 0;         // NOLINT(google-runtime-int)
    curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    return status;
  }

  void Header(std::string_view line) {
    // A new answer, after a redirect.
    if (line.starts_with("HTTP/")) range_start_.reset();
    if (const auto start = ParseContentRange(line)) range_start_ = start;
  }

  // Where the body starts; false when it cannot be used.
  bool Begin() {
    began_ = true;
    const long status = HttpStatus();  // NOLINT(google-runtime-int)
    usable_ = status == 0 || status == 200 || status == 206;
    if (status == 200) skip_ = request_.offset;
    if (status == 206 && range_start_ != request_.offset) {
      own_status_ = absl::FailedPreconditionError(absl::StrCat("fetch ", WithoutUrlSecrets(request_.url),
                                                               ": the server sent another range than was asked for"));
      return false;
    }
    return true;
  }

  bool Body(std::string_view piece) {
    if (!began_ && !Begin()) return false;
    // The page that comes with an error status.
    if (!usable_) return true;
    const uint64_t skipped = std::min<uint64_t>(skip_, piece.size());
    skip_ -= skipped;
    piece.remove_prefix(skipped);
    if (request_.length != 0) piece = piece.substr(0, request_.length - delivered_);
    if (!piece.empty()) {
      own_status_ = sink_(piece);
      if (!own_status_.ok()) return false;
      delivered_ += piece.size();
    }
    complete_ = request_.length != 0 && delivered_ == request_.length;
    // A server that ignores Range would go on to the end: hang up.
    return !complete_ || EndsByItself();
  }

  // An answer to our range ends by itself, and its connection can be used again.
  bool EndsByItself() const { return range_start_.has_value() || HttpStatus() == 0; }

  bool Tick() {
    // libcurl may tick once more after the body was refused.
    if (!own_status_.ok()) return false;
    own_status_ = sink_(std::string_view());
    return own_status_.ok();
  }

  CURL* easy_;
  const FetchRequest& request_;
  const Sink& sink_;
  std::optional<uint64_t> range_start_;
  bool began_ = false;
  bool usable_ = false;
  uint64_t skip_ = 0;
  uint64_t delivered_ = 0;
  bool complete_ = false;
  absl::Status own_status_;
};

CurlHttpFetcher::CurlHttpFetcher() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)initialised;
}

CurlHttpFetcher::~CurlHttpFetcher() = default;

std::unique_ptr<CurlHttpFetcher::Handle> CurlHttpFetcher::Take() {
  std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<Handle>();
  std::unique_ptr<Handle> handle = std::move(idle_.back());
  idle_.pop_back();
  return handle;
}

void CurlHttpFetcher::GiveBack(std::unique_ptr<Handle> handle) {
  handle->Reset();
  std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdleHandles) idle_.push_back(std::move(handle));
}

absl::Status CurlHttpFetcher::Fetch(const FetchRequest& request, const Sink& sink) {
  if (request.url.empty()) return absl::InvalidArgumentError("fetch: no URL");
  std::unique_ptr<Handle> handle = Take();
  CURL* const easy = handle->easy();
  if (easy == nullptr) return absl::ResourceExhaustedError("fetch: libcurl has no memory");
  for (const std::string& header : request.headers) handle->AddHeader(header);
  Transfer transfer(easy, request, sink);
  std::array<char, CURL_ERROR_SIZE> text{};

  std::string range;
  if (request.length != 0) {
    range = absl::StrCat(request.offset, "-", request.offset + request.length - 1);
  } else if (request.offset != 0) {
    range = absl::StrCat(request.offset, "-");
  }
  auto set_text = [&](CURLoption option, const std::string& value) {
    if (!value.empty()) curl_easy_setopt(easy, option, value.c_str());
  };
  // NOLINTBEGIN(google-runtime-int): libcurl's variadic options take long.
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https,file");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(absl::ToInt64Milliseconds(request.connect_timeout)));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(request.min_bytes_per_second));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                   std::max(1L, static_cast<long>(absl::ToInt64Seconds(request.slow_time))));
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kBufferSize);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  // NOLINTEND(google-runtime-int)
  set_text(CURLOPT_RANGE, range);
  set_text(CURLOPT_CAINFO, request.ca_file);
  set_text(CURLOPT_SSLCERT, request.certificate_file);
  set_text(CURLOPT_SSLKEY, request.key_file);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, handle->headers());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, text.data());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &Transfer::OnProgress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);

  const CURLcode code = curl_easy_perform(easy);
  const absl::Status status = transfer.Finish(code, text.data());
  GiveBack(std::move(handle));
  return status;
}

}  // namespace tandem
