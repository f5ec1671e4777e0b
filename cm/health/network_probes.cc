#include "cm/health/network_probes.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cm/health/threshold.h"

namespace tandem::cm {
namespace {

constexpr size_t kMaxBody = 64 << 10;

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
using CurlPtr = std::unique_ptr<CURL, CurlDeleter>;

// A handle that asks the very address: no proxy of the environment, no redirect, no signal, an end at `timeout`.
CurlPtr MakeHandle(const std::string& url, absl::Duration timeout) {
  CurlPtr curl(curl_easy_init());
  const long milliseconds = std::max<long>(1, absl::ToInt64Milliseconds(timeout));  // NOLINT(google-runtime-int)
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, milliseconds);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, milliseconds);
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  return curl;
}

absl::Status CurlStatus(CURLcode code, const char* error) {
  const std::string text = error[0] != '\0' ? error : curl_easy_strerror(code);
  if (code == CURLE_OPERATION_TIMEDOUT) return absl::DeadlineExceededError(text);
  return absl::UnavailableError(text);
}

size_t KeepBody(char* data, size_t size, size_t count, void* user) {
  auto* body = static_cast<std::string*>(user);
  const size_t bytes = size * count;
  body->append(data, std::min(bytes, kMaxBody - body->size()));
  // What follows is read and dropped: cutting the transfer would look like an error.
  return bytes;
}

ProbeMeasurement LatencyOf(curl_off_t microseconds, const release::v1::Threshold& allowed) {
  ProbeMeasurement latency{.name = "latency", .value = static_cast<double>(microseconds) / 1000, .unit = "ms"};
  SetAllowed(allowed, latency);
  return latency;
}

class HttpProbe : public Probe {
 public:
  explicit HttpProbe(const release::v1::HttpProbe& config) : config_(config) {}

  ProbeReport Measure(absl::Duration timeout) override {
    ProbeReport report;
    report.result = Judge(timeout, report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(absl::Duration timeout, std::vector<ProbeMeasurement>& measurements) {
    CurlPtr curl = MakeHandle(config_.url(), timeout);
    char error[CURL_ERROR_SIZE] = {};
    std::string body;
    curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, KeepBody);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
    if (const CURLcode code = curl_easy_perform(curl.get()); code != CURLE_OK) return CurlStatus(code, error);

    long status = 0;  // NOLINT(google-runtime-int): libcurl's type
    curl_off_t microseconds = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl.get(), CURLINFO_TOTAL_TIME_T, &microseconds);
    measurements = {LatencyOf(microseconds, config_.latency_ms())};
    const uint32_t expected = config_.expected_status() == 0 ? 200 : config_.expected_status();
    if (status != static_cast<long>(expected)) {  // NOLINT(google-runtime-int): libcurl's type
      return absl::FailedPreconditionError(absl::StrCat("status ", status, ", expected ", expected));
    }
    if (!config_.expected_text().empty() && body.find(config_.expected_text()) == std::string::npos) {
      return absl::FailedPreconditionError(
          absl::StrCat("the answer does not contain \"", config_.expected_text(), "\""));
    }
    return CheckThreshold(static_cast<double>(microseconds) / 1000, "ms", config_.latency_ms());
  }

  const release::v1::HttpProbe config_;
};

// Connects and hangs up.
class TcpProbe : public Probe {
 public:
  explicit TcpProbe(const release::v1::TcpProbe& config) : config_(config) {}

  ProbeReport Measure(absl::Duration timeout) override {
    ProbeReport report;
    report.result = Judge(timeout, report.measurements);
    return report;
  }

 private:
  absl::StatusOr<std::string> Judge(absl::Duration timeout, std::vector<ProbeMeasurement>& measurements) {
    const bool ipv6 = config_.host().find(':') != std::string::npos;
    CurlPtr curl = MakeHandle(ipv6 ? absl::StrFormat("http://[%s]:%u", config_.host(), config_.port())
                                   : absl::StrFormat("http://%s:%u", config_.host(), config_.port()),
                              timeout);
    char error[CURL_ERROR_SIZE] = {};
    curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, error);
    curl_easy_setopt(curl.get(), CURLOPT_CONNECT_ONLY, 1L);
    if (const CURLcode code = curl_easy_perform(curl.get()); code != CURLE_OK) return CurlStatus(code, error);
    curl_off_t microseconds = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_CONNECT_TIME_T, &microseconds);
    measurements = {LatencyOf(microseconds, config_.latency_ms())};
    return CheckThreshold(static_cast<double>(microseconds) / 1000, "ms", config_.latency_ms());
  }

  const release::v1::TcpProbe config_;
};

}  // namespace

std::unique_ptr<Probe> MakeHttpProbe(const release::v1::HttpProbe& config) {
  return std::make_unique<HttpProbe>(config);
}
std::unique_ptr<Probe> MakeTcpProbe(const release::v1::TcpProbe& config) { return std::make_unique<TcpProbe>(config); }

}  // namespace tandem::cm
