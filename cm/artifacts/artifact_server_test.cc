#include "cm/artifacts/artifact_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/crypto/sha256.h"
#include "common/net/curl_http_fetcher.h"
#include "tests/support/certificates.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;

class ArtifactServerTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string folder = testing::TempDir() + "artifact_server_test_XXXXXX";
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    for (int i = 0; i < 1'000'000; ++i) content_.push_back(static_cast<char>(i * 7 + i / 251));
    std::ofstream(folder_ + "/whole") << content_;
    std::ofstream(folder_ + "/tar") << "header" << content_ << "trailer";
    digest_ = Sha256(content_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  FileRange Whole() { return {folder_ + "/whole", 0, content_.size()}; }
  absl::StatusOr<std::string> Get(const FetchRequest& request) { return Get(fetcher_, request); }
  static absl::StatusOr<std::string> Get(CurlHttpFetcher& fetcher, const FetchRequest& request) {
    std::string got;
    const absl::Status status = fetcher.Fetch(request, [&](std::string_view piece) {
      got.append(piece);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;
    return got;
  }

  std::string folder_;
  std::string content_;
  std::string digest_;
  CurlHttpFetcher fetcher_;
};

TEST_F(ArtifactServerTest, ServesFilesAndRangesInsideABundle) {
  auto server = *ArtifactServer::Start({});
  const std::string one = server->Allow("update-1", {{digest_, Whole()}});
  const std::string two = server->Allow("update-2", {{digest_, {folder_ + "/tar", 6, content_.size()}}});
  for (const std::string& token : {one, two}) {
    const std::string url = server->UrlOf(token, digest_);
    EXPECT_EQ(*Get({.url = url}), content_);
    EXPECT_EQ(*Get({.url = url, .offset = 5, .length = 10}), content_.substr(5, 10));
    EXPECT_EQ(*Get({.url = url, .offset = 999'999}), content_.substr(999'999));
  }
}

TEST_F(ArtifactServerTest, ATokenOpensOnlyItsUpdateAndOnlyUntilItIsRevoked) {
  auto server = *ArtifactServer::Start({});
  const std::string token = server->Allow("update-1", {{digest_, Whole()}});
  EXPECT_EQ(server->Allow("update-1", {}), token);
  const std::string other = server->Allow("update-2", {});
  EXPECT_NE(other, token);
  EXPECT_EQ(Get({.url = server->UrlOf(other, digest_)}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Get({.url = server->UrlOf(token, Sha256("other"))}).status().code(), absl::StatusCode::kNotFound);
  server->Revoke("update-1");
  EXPECT_EQ(Get({.url = server->UrlOf(token, digest_)}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ArtifactServerTest, TheTokenMayComeAsABearer) {
  auto server = *ArtifactServer::Start({});
  const std::string token = server->Allow("update-1", {{digest_, Whole()}});
  const std::string url = absl::StrCat("http://127.0.0.1:", server->port(), "/a/", HexEncode(digest_));
  EXPECT_EQ(*Get({.url = url, .headers = {"Authorization: Bearer " + token}}), content_);
  EXPECT_EQ(Get({.url = url}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Get({.url = url, .headers = {"Authorization: Bearer "}}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ArtifactServerTest, ServesSeveralClientsAtOnce) {
  auto server = *ArtifactServer::Start({});
  const std::string url = server->UrlOf(server->Allow("update-1", {{digest_, Whole()}}), digest_);
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&] { EXPECT_EQ(Get({.url = url}).value_or(""), content_); });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(ArtifactServerTest, AUrlOutlivesTheServer) {
  ArtifactServerOptions options{.token_key = std::string(32, 'k')};
  auto server = *ArtifactServer::Start(options);
  const std::string url = server->UrlOf(server->Allow("update-1", {{digest_, Whole()}}), digest_);
  options.preferred_port = server->port();
  server.reset();
  server = *ArtifactServer::Start(options);
  // Nobody is turned away before it is known what is allowed; what is yet to come is asked for again.
  std::thread early([&] { EXPECT_EQ(Get({.url = url}).status().code(), absl::StatusCode::kUnavailable); });
  server->Allow("update-1", {{digest_, {}}});
  early.join();
  server->Allow("update-1", {{digest_, Whole()}});
  EXPECT_EQ(*Get({.url = url}), content_);
  // Somebody else has the port: another one will do.
  EXPECT_TRUE(ArtifactServer::Start(options).ok());
}

TEST_F(ArtifactServerTest, HttpsAsksForAClientCertificateWhenConfigured) {
  const TestCertificates certificates = *TestCertificates::Make();
  const CertificateFiles unit = *certificates.Client("um");
  auto started = ArtifactServer::Start({.certificate_file = certificates.server().certificate,
                                        .key_file = certificates.server().key,
                                        .ca_file = certificates.ca()});
  ASSERT_TRUE(started.ok()) << started.status();
  auto server = *std::move(started);
  const std::string url = server->UrlOf(server->Allow("update-1", {{digest_, Whole()}}), digest_);
  ASSERT_THAT(url, HasSubstr("https://"));
  EXPECT_EQ(
      *Get({.url = url, .ca_file = certificates.ca(), .certificate_file = unit.certificate, .key_file = unit.key}),
      content_);
  EXPECT_FALSE(Get({.url = url, .ca_file = certificates.ca()}).ok());
  EXPECT_FALSE(Get({.url = absl::StrReplaceAll(url, {{"https", "http"}})}).ok());
}

TEST_F(ArtifactServerTest, RenewedTlsFilesServeNewConnections) {
  const TestCertificates before = *TestCertificates::Make();
  const TestCertificates after = *TestCertificates::Make();
  const std::string certificate = folder_ + "/server.pem";
  const std::string key = folder_ + "/server.key";
  const std::string ca = folder_ + "/ca.pem";
  const auto install = [](const std::string& from, const std::string& to) {
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  };
  install(before.server().certificate, certificate);
  install(before.server().key, key);
  install(before.ca(), ca);
  auto server = *ArtifactServer::Start({.certificate_file = certificate, .key_file = key, .ca_file = ca});
  const std::string url = server->UrlOf(server->Allow("update-1", {{digest_, Whole()}}), digest_);
  // Whether a client and a server of these CAs understand each other.
  const auto get = [&](const TestCertificates& client, const TestCertificates& trusted) {
    const CertificateFiles files = *client.Client("um");
    // Of its own: no connection from before is used again.
    CurlHttpFetcher fetcher;
    const auto got = Get(
        fetcher, {.url = url, .ca_file = trusted.ca(), .certificate_file = files.certificate, .key_file = files.key});
    return got.ok() && *got == content_;
  };
  EXPECT_TRUE(get(before, before));
  // Half of a renewal.
  install(after.server().certificate, certificate);
  EXPECT_TRUE(get(before, before));
  install(after.server().key, key);
  EXPECT_TRUE(get(before, after));
  EXPECT_FALSE(get(before, before));
  EXPECT_FALSE(get(after, after));
  install(after.ca(), ca);
  EXPECT_TRUE(get(after, after));
  EXPECT_FALSE(get(before, after));
  std::filesystem::remove(key);
  EXPECT_TRUE(get(after, after));
  // Nor does a client without a certificate get in now.
  EXPECT_FALSE(Get({.url = url, .ca_file = after.ca()}).ok());
}

TEST_F(ArtifactServerTest, OptionsThatCannotWorkAreRefused) {
  EXPECT_EQ(ArtifactServer::Start({.listen = "nowhere"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ArtifactServer::Start({.listen = "0.0.0.0:0"}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ArtifactServer::Start({.listen = "localhost.evil.com:0"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(ArtifactServer::Check({.listen = "0.0.0.0:1", .certificate_file = "c", .key_file = "k"}).message()),
      HasSubstr("public_url"));
  const absl::Status missing = ArtifactServer::Start({.certificate_file = "/no", .key_file = "/no"}).status();
  EXPECT_TRUE(absl::IsNotFound(missing)) << missing;
  EXPECT_THAT(missing.message(), HasSubstr("tls.certificate: open /no: No such file"));
  auto server = *ArtifactServer::Start({});
  EXPECT_EQ(ArtifactServer::Start({.listen = absl::StrCat("127.0.0.1:", server->port())}).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace tandem::cm
