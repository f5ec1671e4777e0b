#include "common/net/curl_http_fetcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "common/process/run_command.h"
#include "common/storage/file_system.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 131 + i / 251) & 0xff);
  return bytes;
}

class CurlHttpFetcherTest : public testing::Test {
 protected:
  void SetUp() override {
    // A server that knows Range (httplib does it for handlers that set a body).
    server_.Get("/file", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(bytes_, "application/octet-stream");
    });
    server_.Get("/status/(\\d+)", [](const httplib::Request& request, httplib::Response& response) {
      response.status = std::stoi(request.matches[1]);
      response.set_content("an error page", "text/html");
    });
    server_.Get("/redirect",
                [](const httplib::Request&, httplib::Response& response) { response.set_redirect("/file"); });
    server_.Get("/to-file", [](const httplib::Request&, httplib::Response& response) {
      response.set_redirect("file:///etc/passwd");
    });
    server_.Get("/loop", [](const httplib::Request&, httplib::Response& response) { response.set_redirect("/loop"); });
    server_.Get("/cut", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content_provider(bytes_.size(), "application/octet-stream",
                                    [this](size_t offset, size_t, httplib::DataSink& sink) {
                                      if (offset >= 5000) return false;
                                      return sink.write(bytes_.data() + offset, 5000 - offset);
                                    });
    });
    server_.Get("/no-range", [this](const httplib::Request&, httplib::Response& response) {
      // Chunked answers have no length, so httplib does not apply a range to them.
      response.set_chunked_content_provider("application/octet-stream", [this](size_t, httplib::DataSink& sink) {
        sink.write(bytes_.data(), bytes_.size());
        sink.done();
        return true;
      });
      response.status = 200;
    });
    server_.Get("/header", [](const httplib::Request& request, httplib::Response& response) {
      response.set_content(request.get_header_value("Authorization"), "text/plain");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    ASSERT_GT(port_, 0);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }

  void TearDown() override {
    // Its idle connections would keep the server waiting.
    fetcher_.reset();
    server_.stop();
    thread_.join();
  }

  std::string Url(const std::string& path) const { return "http://127.0.0.1:" + std::to_string(port_) + path; }

  absl::Status Fetch(const FetchRequest& request) {
    got_.clear();
    return fetcher_->Fetch(request, [this](std::string_view piece) {
      got_.append(piece);
      return absl::OkStatus();
    });
  }

  const std::string bytes_ = Pattern(100'000);
  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  std::unique_ptr<CurlHttpFetcher> fetcher_ = std::make_unique<CurlHttpFetcher>();
  std::string got_;
};

TEST_F(CurlHttpFetcherTest, FetchesAWholeFile) {
  ASSERT_TRUE(Fetch({.url = Url("/file")}).ok());
  EXPECT_EQ(got_, bytes_);
}

TEST_F(CurlHttpFetcherTest, FetchesARange) {
  ASSERT_TRUE(Fetch({.url = Url("/file"), .offset = 1000, .length = 2000}).ok());
  EXPECT_EQ(got_, bytes_.substr(1000, 2000));
  ASSERT_TRUE(Fetch({.url = Url("/file"), .offset = 99'000}).ok());
  EXPECT_EQ(got_, bytes_.substr(99'000));
  ASSERT_TRUE(Fetch({.url = Url("/file"), .length = 1}).ok());
  EXPECT_EQ(got_, bytes_.substr(0, 1));
}

TEST_F(CurlHttpFetcherTest, SkipsWhatAServerWithoutRangesSendsTooMuch) {
  const absl::Status status = Fetch({.url = Url("/no-range"), .offset = 1000, .length = 2000});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(got_, bytes_.substr(1000, 2000));
  ASSERT_TRUE(Fetch({.url = Url("/no-range"), .offset = 98'000}).ok());
  EXPECT_EQ(got_, bytes_.substr(98'000));
}

TEST_F(CurlHttpFetcherTest, MapsEachHttpStatus) {
  auto code = [&](int status) { return Fetch({.url = Url("/status/" + std::to_string(status))}).code(); };
  EXPECT_EQ(code(404), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(410), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(401), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code(403), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code(408), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(429), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(500), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(503), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(400), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(code(416), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(got_, "") << "the page of an error is not the file";
}

TEST_F(CurlHttpFetcherTest, FollowsRedirectsButNotToFilesNorForEver) {
  ASSERT_TRUE(Fetch({.url = Url("/redirect"), .offset = 10, .length = 20}).ok());
  EXPECT_EQ(got_, bytes_.substr(10, 20));
  EXPECT_FALSE(Fetch({.url = Url("/to-file")}).ok());
  EXPECT_EQ(got_, "");
  EXPECT_TRUE(absl::IsFailedPrecondition(Fetch({.url = Url("/loop")})));
}

TEST_F(CurlHttpFetcherTest, AConnectionThatBreaksIsUnavailableAfterWhatCame) {
  const absl::Status status = Fetch({.url = Url("/cut")});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(got_, bytes_.substr(0, 5000));
}

TEST_F(CurlHttpFetcherTest, AFileShorterThanAskedForIsUnavailable) {
  const absl::Status status = Fetch({.url = Url("/file"), .offset = 90'000, .length = 20'000});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(got_, bytes_.substr(90'000));
}

TEST_F(CurlHttpFetcherTest, ASinkErrorEndsTheFetchAndIsReturned) {
  int calls = 0;
  const absl::Status status = fetcher_->Fetch({.url = Url("/file")}, [&](std::string_view piece) {
    if (piece.empty()) return absl::OkStatus();
    ++calls;
    return absl::CancelledError("no longer wanted");
  });
  EXPECT_EQ(status, absl::CancelledError("no longer wanted"));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(Fetch({.url = Url("/file")}).ok()) << "the next fetch is not disturbed";
}

TEST_F(CurlHttpFetcherTest, ARefusedConnectionIsUnavailable) {
  const absl::Status status = Fetch({.url = "http://127.0.0.1:1/file"});
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(CurlHttpFetcherTest, ABadUrlIsInvalid) {
  EXPECT_TRUE(absl::IsInvalidArgument(Fetch({.url = "ftp://127.0.0.1/file"})));
  EXPECT_TRUE(absl::IsInvalidArgument(Fetch({.url = "http://[::broken/file"})));
  EXPECT_TRUE(absl::IsInvalidArgument(Fetch({})));
}

TEST_F(CurlHttpFetcherTest, SendsHeadersOfThisRequestOnly) {
  ASSERT_TRUE(Fetch({.url = Url("/header"), .headers = {"Authorization: Bearer t"}}).ok());
  EXPECT_EQ(got_, "Bearer t");
  ASSERT_TRUE(Fetch({.url = Url("/header")}).ok());
  EXPECT_EQ(got_, "");
}

TEST_F(CurlHttpFetcherTest, MessagesDoNotShowTheQuery) {
  const absl::Status status = Fetch({.url = Url("/status/404?token=secret")});
  EXPECT_THAT(std::string(status.message()), HasSubstr("/status/404"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

TEST_F(CurlHttpFetcherTest, ReadsLocalFilesWithRanges) {
  const std::string path = testing::TempDir() + "/curl_fetcher_" + std::to_string(getpid());
  ASSERT_TRUE(FileSystem::Real().WriteFileAtomically(path, bytes_).ok());
  ASSERT_TRUE(Fetch({.url = "file://" + path}).ok());
  EXPECT_EQ(got_, bytes_);
  ASSERT_TRUE(Fetch({.url = "file://" + path, .offset = 500, .length = 600}).ok());
  EXPECT_EQ(got_, bytes_.substr(500, 600));
  ASSERT_TRUE(Fetch({.url = "file://" + path, .offset = 500}).ok());
  EXPECT_EQ(got_, bytes_.substr(500));
  EXPECT_TRUE(absl::IsNotFound(Fetch({.url = "file://" + path + ".none"})));
  ASSERT_TRUE(FileSystem::Real().Remove(path).ok());
}

TEST(CurlHttpFetcherTlsTest, TrustsOnlyTheGivenCa) {
  std::string folder = testing::TempDir() + "/curl_tls_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string key = folder + "/key.pem";
  const std::string certificate = folder + "/certificate.pem";
  ASSERT_TRUE(RunCommandOk({.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                                     "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                                     "-days", "2", "-keyout", key, "-out", certificate}})
                  .ok());
  httplib::SSLServer server(certificate.c_str(), key.c_str());
  server.Get("/", [](const httplib::Request&, httplib::Response& response) { response.set_content("hello", "text"); });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();

  auto fetcher = std::make_unique<CurlHttpFetcher>();
  std::string got;
  auto sink = [&](std::string_view piece) {
    got.append(piece);
    return absl::OkStatus();
  };
  const std::string url = "https://localhost:" + std::to_string(port) + "/";
  const absl::Status trusted = fetcher->Fetch({.url = url, .ca_file = certificate}, sink);
  EXPECT_TRUE(trusted.ok()) << trusted;
  EXPECT_EQ(got, "hello");
  // May pass: with a clock that is not set, every certificate is not valid yet.
  const absl::Status untrusted = fetcher->Fetch({.url = url}, sink);
  EXPECT_TRUE(absl::IsUnavailable(untrusted)) << untrusted;
  EXPECT_NE(untrusted.message().find("certificate"), std::string::npos) << untrusted;
  EXPECT_EQ(got, "hello");

  fetcher.reset();
  server.stop();
  thread.join();
  ASSERT_TRUE(FileSystem::Real().RemoveTree(folder).ok());
}

}  // namespace
}  // namespace tandem
