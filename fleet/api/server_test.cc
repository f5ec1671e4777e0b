// Both servers over real sockets: who gets in, and that they say the same.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"
#include "fleet/api/grpc_server.h"
#include "fleet/api/http_request.h"
#include "fleet/api/http_server.h"
#include "fleet/api/methods.h"
#include "fleet/api/openapi.h"
#include "fleet/web/web_files.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "gtest/gtest.h"
#include "httplib.h"
#include "tandem/fleet/v1/fleet.grpc.pb.h"
#include "tests/support/certificates.h"
#include "tests/support/fleet_api.h"
#include "tests/support/text_file.h"

namespace tandem::fleet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() : fixture_({.failures_per_minute = 1'000'000}) {
    auto grpc_server = GrpcServer::Start(fixture_.operations, fixture_.authenticator, {.listen = "127.0.0.1:0"});
    EXPECT_TRUE(grpc_server.ok()) << grpc_server.status();
    grpc_ = *std::move(grpc_server);
    auto http_server = HttpServer::Start(fixture_.operations, fixture_.authenticator, {.listen = "127.0.0.1:0"});
    EXPECT_TRUE(http_server.ok()) << http_server.status();
    http_ = *std::move(http_server);
    channel_ = grpc::CreateChannel(absl::StrCat("127.0.0.1:", grpc_->port()), grpc::InsecureChannelCredentials());
  }
  ~ServerTest() override { fixture_.operations.Stop(); }

  // Any method, by its name, with an empty or a given request.
  absl::StatusCode CallGrpc(std::string_view method, const std::string& authorization,
                            const google::protobuf::Message& request, std::string* answer = nullptr) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    grpc::Slice slice(request.SerializeAsString());
    const grpc::ByteBuffer bytes(&slice, 1);
    grpc::GenericStub stub(channel_);
    grpc::CompletionQueue queue;
    auto call =
        stub.PrepareUnaryCall(&context, absl::StrCat("/tandem.fleet.v1.Fleet/", std::string(method)), bytes, &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    grpc::Slice whole;
    if (answer != nullptr && response.DumpToSingleSlice(&whole).ok()) {
      *answer = std::string(reinterpret_cast<const char*>(whole.begin()), whole.size());
    }
    return static_cast<absl::StatusCode>(status.error_code());
  }

  httplib::Result CallHttp(const std::string& verb, const std::string& target, const std::string& authorization,
                           const std::string& body = "{}") {
    httplib::Client client("127.0.0.1", http_->port());
    client.set_read_timeout(20);
    client.set_url_encode(false);
    httplib::Headers headers;
    if (!authorization.empty()) headers.emplace("Authorization", authorization);
    if (verb == "GET") return client.Get(target, headers);
    return client.Post(target, headers, body, "application/json");
  }

  static std::string PathOf(const Route& route) {
    return absl::StrReplaceAll(std::string(route.path),
                               {{"{unit_id}", "x"}, {"{release}", "x"}, {"{id}", "7"}, {"{rollout}", "7"}});
  }

  ApiFixture fixture_;
  std::unique_ptr<GrpcServer> grpc_;
  std::unique_ptr<HttpServer> http_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(ServerTest, EveryMethodRefusesWhoeverMayNotCallIt) {
  const std::string expired = fixture_.Token("old", v1::RELEASE_MANAGER, absl::Minutes(1));
  fixture_.clock.Advance(absl::Minutes(2));
  const std::string revoked = fixture_.Token("gone", v1::RELEASE_MANAGER);
  v1::RevokeTokenRequest revoke;
  revoke.set_id(2);
  ASSERT_TRUE(fixture_.operations.RevokeToken(kManager, revoke).ok());
  const std::string good = fixture_.Token("rita", v1::RELEASE_MANAGER);
  const std::map<std::string, std::string> strangers = {
      {"nothing", ""},
      {"no scheme", good},
      {"another scheme", absl::StrCat("Basic ", good)},
      {"empty", "Bearer "},
      {"wrong", "Bearer tnd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
      {"cut off", absl::StrCat("Bearer ", good.substr(0, good.size() - 1))},
      {"the hash", absl::StrCat("Bearer ", HashOfSecret(good))},
      {"SQL", "Bearer ' OR 1=1 --"},
      {"long", absl::StrCat("Bearer ", std::string(4000, 'a'))},
      {"expired", absl::StrCat("Bearer ", expired)},
      {"revoked", absl::StrCat("Bearer ", revoked)}};
  for (const Route& route : Routes()) {
    const auto request = FindMethod(route.method)->make_request();
    for (const auto& [what, authorization] : strangers) {
      EXPECT_EQ(CallGrpc(route.method, authorization, *request), absl::StatusCode::kUnauthenticated)
          << route.method << " " << what;
      const auto answer = CallHttp(std::string(route.verb), PathOf(route), authorization);
      ASSERT_TRUE(answer) << route.method << " " << what;
      EXPECT_EQ(answer->status, 401) << route.method << " " << what;
      EXPECT_THAT(answer->body, Not(HasSubstr("revoked")));
      EXPECT_THAT(answer->body, Not(HasSubstr("expired")));
    }
  }
}

TEST_F(ServerTest, EveryMethodTakesItsRoleAndHigherOnesOnly) {
  std::map<v1::Role, std::string> tokens;
  for (const v1::Role role : {v1::VIEWER, v1::OPERATOR, v1::RELEASE_MANAGER}) {
    tokens[role] = absl::StrCat("Bearer ", fixture_.Token("someone", role));
  }
  for (const Route& route : Routes()) {
    const auto request = FindMethod(route.method)->make_request();
    for (const auto& [role, authorization] : tokens) {
      const absl::StatusCode code = CallGrpc(route.method, authorization, *request);
      const auto answer = CallHttp(std::string(route.verb), PathOf(route), authorization);
      ASSERT_TRUE(answer);
      if (role < route.role) {
        EXPECT_EQ(code, absl::StatusCode::kPermissionDenied) << route.method << " " << role;
        EXPECT_EQ(answer->status, 403) << route.method << " " << role;
        EXPECT_THAT(answer->body, HasSubstr(std::string(RoleName(route.role))));
      } else if (route.method != "FreezeRelease") {
        // What an empty request gets is another matter.
        EXPECT_NE(code, absl::StatusCode::kPermissionDenied) << route.method << " " << role;
        EXPECT_NE(code, absl::StatusCode::kUnauthenticated) << route.method << " " << role;
        EXPECT_NE(code, absl::StatusCode::kUnimplemented) << route.method << " " << role;
        EXPECT_NE(answer->status, 403) << route.method << " " << role;
        EXPECT_NE(answer->status, 401) << route.method << " " << role;
      }
    }
  }
}

TEST_F(ServerTest, StrangersLearnNothingFromPathsThatAreNoMethod) {
  for (const std::string path : {"/index.html", "/v1/openapi.json", "/v1/audit/export", "/nope", "/v1/units/%0a",
                                 "/v1/../x", "/healthz/x", "/v1/units?filter=%"}) {
    const auto answer = CallHttp("GET", path, "");
    ASSERT_TRUE(answer) << path;
    EXPECT_EQ(answer->status, 401) << path;
  }
  const auto health = CallHttp("GET", "/healthz", "");
  ASSERT_TRUE(health);
  EXPECT_EQ(health->status, 200);
  EXPECT_EQ(health->body, "ok\n");
}

TEST_F(ServerTest, GrpcAndHttpGiveTheSameAnswers) {
  fixture_.ImportReleases({"r1", "r2"});
  fixture_.RegisterUnits("gw", 20);
  v1::CreateRolloutRequest create;
  *create.mutable_spec() = fixture_.Spec("r1");
  ASSERT_TRUE(fixture_.operations.CreateRollout(kManager, create).ok());
  const std::string authorization = absl::StrCat("Bearer ", fixture_.Token("rita", v1::RELEASE_MANAGER));
  const std::map<std::string, std::string> fields = {
      {"unit_id", "gw-0003"}, {"release", "r1"}, {"id", "1"}, {"rollout", "1"}};
  for (const Route& route : Routes()) {
    if (route.verb != "GET") continue;
    RoutedRequest routed{&route};
    std::string path(route.path);
    for (const auto& [name, value] : fields) {
      if (absl::StrReplaceAll({{absl::StrCat("{", name, "}"), value}}, &path) > 0) routed.fields[name] = value;
    }
    // It needs one of two that are not in its path.
    if (std::string_view(route.method) == "GetVerification") {
      routed.fields["rollout"] = "1";
      path += "?rollout=1";
    }
    const auto request = FindMethod(route.method)->make_request();
    ASSERT_TRUE(FillRequest(routed, "", *request).ok());
    std::string bytes;
    ASSERT_EQ(CallGrpc(route.method, authorization, *request, &bytes), absl::StatusCode::kOk) << route.method;
    const auto answer = CallHttp("GET", path, authorization);
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->status, 200) << route.method << answer->body;
    const auto direct = FindMethod(route.method)->run(fixture_.operations, kManager, *request);
    ASSERT_TRUE(direct.ok());
    const std::unique_ptr<google::protobuf::Message> over_grpc((*direct)->New());
    ASSERT_TRUE(over_grpc->ParseFromString(bytes));
    EXPECT_EQ(ToJson(*over_grpc) + "\n", answer->body) << route.method;
  }
}

TEST_F(ServerTest, PostsTakeTheirBodyAndThePath) {
  fixture_.ImportReleases({"r1"});
  const std::string authorization = absl::StrCat("Bearer ", fixture_.Token("otto", v1::OPERATOR));
  auto answer = CallHttp("POST", "/v1/units", authorization, R"({"units":[{"unit_id":"gw-1","tags":{"lab":"yes"}}]})");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200) << answer->body;
  EXPECT_EQ(nlohmann::json::parse(answer->body)["created"], "1");
  answer = CallHttp("POST", "/v1/releases/r1/freeze", authorization, R"({"frozen":true,"reason":"bad"})");
  EXPECT_EQ(answer->status, 200) << answer->body;
  EXPECT_EQ(nlohmann::json::parse(answer->body)["frozen"], true);
  EXPECT_EQ(fixture_.AuditOf("release/r1").front().actor(), "token:otto");
  // An operator stops; to let go is the release manager's.
  answer = CallHttp("POST", "/v1/releases/r1/freeze", authorization, R"({"frozen":false,"reason":"good"})");
  EXPECT_EQ(answer->status, 403);
}

TEST_F(ServerTest, HostileBodiesGetOneClearAnswer) {
  const std::string authorization = absl::StrCat("Bearer ", fixture_.Token("otto", v1::OPERATOR));
  const std::map<std::string, std::string> bodies = {
      {"not JSON", "{"},
      {"an array", "[]"},
      {"deep", std::string(100'000, '[')},
      {"deep objects", absl::StrCat(R"({"units":)", std::string(5000, '['), std::string(5000, ']'), "}")},
      {"no UTF-8", "{\"units\":[{\"unit_id\":\"\xff\xfe\"}]}"},
      {"twice", R"({"units":[],"units":[]})"},
      {"unknown", R"({"unitz":[]})"},
      {"unknown inside", R"({"units":[{"unit_id":"a","colour":"red"}]})"},
      {"wrong type", R"({"units":{"a":1}})"},
      {"a NUL", R"({"units":[{"unit_id":"a\u0000b"}]})"},
      {"a line feed", R"({"units":[{"unit_id":"a","site":"x\ny"}]})"},
      {"a slash", R"({"units":[{"unit_id":"a/b"}]})"},
      {"a wildcard", R"({"units":[{"unit_id":"+"}]})"},
      {"a long text", absl::StrCat(R"({"units":[{"unit_id":"a","site":")", std::string(1 << 20, 'x'), R"("}]})")}};
  for (const auto& [what, body] : bodies) {
    const auto answer = CallHttp("POST", "/v1/units", authorization, body);
    ASSERT_TRUE(answer) << what;
    EXPECT_EQ(answer->status, 400) << what << answer->body;
    const auto json = nlohmann::json::parse(answer->body, nullptr, false);
    ASSERT_TRUE(json.is_object()) << what << answer->body;
    EXPECT_EQ(json["error"]["code"], "INVALID_ARGUMENT") << what;
    EXPECT_LT(answer->body.size(), 1000u) << what;
  }
  EXPECT_THAT(CallHttp("POST", "/v1/units", authorization, R"({"unitz":[]})")->body, HasSubstr("unitz"));
  const auto form = httplib::Client("127.0.0.1", http_->port())
                        .Post("/v1/units", {{"Authorization", authorization}}, "a=b", "text/plain");
  ASSERT_TRUE(form);
  EXPECT_EQ(form->status, 400);
}

TEST_F(ServerTest, ABodyThatIsTooLargeIsRefused) {
  const std::string authorization = absl::StrCat("Bearer ", fixture_.Token("otto", v1::OPERATOR));
  const auto answer = CallHttp("POST", "/v1/units", authorization, std::string((16 << 20) + 1, ' '));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 413);
  EXPECT_THAT(answer->body, HasSubstr("16 MiB"));
}

TEST_F(ServerTest, PathTricksAreRefused) {
  const std::string authorization = absl::StrCat("Bearer ", fixture_.Token("rita", v1::RELEASE_MANAGER));
  for (const std::string path : {"/v1/units/../tokens", "/v1//units", "/v1/units/%2e%2e", "/v1/units/%00",
                                 "/v1/units/%zz", "/v1/units/%0d%0aX:y", "/v1/units/"}) {
    const auto answer = CallHttp("GET", path, authorization);
    ASSERT_TRUE(answer) << path;
    EXPECT_EQ(answer->status, 400) << path << answer->body;
  }
  EXPECT_EQ(CallHttp("GET", "/v1/units/a%2Fb", authorization)->status, 404);
  EXPECT_EQ(CallHttp("GET", "/v1/units?colour=red", authorization)->status, 400);
  EXPECT_EQ(CallHttp("GET", "/v1/units?page_size=1&page_size=2", authorization)->status, 400);
  EXPECT_EQ(CallHttp("GET", "/v1/units?page_size=-1", authorization)->status, 400);
  EXPECT_EQ(CallHttp("POST", "/v1/fleet", authorization)->status, 405);
}

TEST_F(ServerTest, OpenApiIsServed) {
  const std::string authorization = absl::StrCat("Bearer ", fixture_.Token("vera", v1::VIEWER));
  const auto answer = CallHttp("GET", "/v1/openapi.json", authorization);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, OpenApiDocument());
}

TEST_F(ServerTest, TheAuditLogIsExportedWhole) {
  fixture_.RegisterUnits("gw", 2345);
  const std::string authorization = absl::StrCat("Bearer ", fixture_.Token("vera", v1::VIEWER));
  const auto answer = CallHttp("GET", "/v1/audit/export", authorization);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->get_header_value("Content-Type"), "application/x-ndjson");
  int64_t last = 0;
  int lines = 0;
  for (const absl::string_view line : absl::StrSplit(answer->body, '\n', absl::SkipEmpty())) {
    const auto entry = nlohmann::json::parse(std::string(line));
    const int64_t id = std::stoll(entry["id"].get<std::string>());
    EXPECT_GT(id, last);
    last = id;
    ++lines;
  }
  EXPECT_EQ(lines, 2346) << "the units, and the token";
}

TEST_F(ServerTest, TheUnixSocketNeedsNoTokenWhereThatIsConfigured) {
  ApiFixture fixture({.unix_socket_role = v1::RELEASE_MANAGER});
  const std::string socket = fixture.folder + "/fleet.sock";
  auto server = GrpcServer::Start(fixture.operations, fixture.authenticator, {.unix_socket = socket});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(std::filesystem::status(socket).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write |
                std::filesystem::perms::group_read | std::filesystem::perms::group_write);
  const auto stub = v1::Fleet::NewStub(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::Principal principal;
  const grpc::Status status = stub->WhoAmI(&context, {}, &principal);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(principal.actor(), "local");
  EXPECT_EQ(principal.role(), v1::RELEASE_MANAGER);
}

TEST(Servers, ListenWithoutTlsOnThisComputerOnly) {
  ApiFixture fixture;
  for (const std::string listen : {"0.0.0.0:0", "[::]:0", "example.com:7443"}) {
    EXPECT_EQ(GrpcServer::Start(fixture.operations, fixture.authenticator, {.listen = listen}).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(HttpServer::Start(fixture.operations, fixture.authenticator, {.listen = listen}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(Servers, ACertificateIsAPrincipalAndWithoutOneATokenIsNeeded) {
  const auto certificates = TestCertificates::Make();
  ASSERT_TRUE(certificates.ok()) << certificates.status();
  const auto ci = certificates->Client("ci");
  const auto other = certificates->Client("other");
  ASSERT_TRUE(ci.ok() && other.ok());
  ApiFixture fixture({.principals = {{"ci", v1::OPERATOR}}});
  config::v1::Tls tls;
  tls.set_ca(certificates->ca());
  tls.set_certificate(certificates->server().certificate);
  tls.set_key(certificates->server().key);
  const auto grpc_server =
      GrpcServer::Start(fixture.operations, fixture.authenticator, {.listen = "127.0.0.1:0", .tls = tls});
  ASSERT_TRUE(grpc_server.ok()) << grpc_server.status();
  const auto http_server =
      HttpServer::Start(fixture.operations, fixture.authenticator, {.listen = "127.0.0.1:0", .tls = tls});
  ASSERT_TRUE(http_server.ok()) << http_server.status();

  const auto who_grpc = [&](const CertificateFiles* files, const std::string& token) {
    grpc::SslCredentialsOptions options{.pem_root_certs = ReadText(certificates->ca())};
    if (files != nullptr) {
      options.pem_cert_chain = ReadText(files->certificate);
      options.pem_private_key = ReadText(files->key);
    }
    const auto stub = v1::Fleet::NewStub(
        grpc::CreateChannel(absl::StrCat("localhost:", (*grpc_server)->port()), grpc::SslCredentials(options)));
    grpc::ClientContext context;
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
    v1::Principal principal;
    const grpc::Status status = stub->WhoAmI(&context, {}, &principal);
    return status.ok() ? principal.actor() : absl::StrCat("error ", static_cast<int>(status.error_code()));
  };
  const auto who_http = [&](const CertificateFiles* files, const std::string& token) -> std::string {
    httplib::SSLClient client("localhost", (*http_server)->port(), files == nullptr ? "" : files->certificate,
                              files == nullptr ? "" : files->key);
    client.set_ca_cert_path(certificates->ca().c_str());
    httplib::Headers headers;
    if (!token.empty()) headers.emplace("Authorization", "Bearer " + token);
    const auto answer = client.Get("/v1/whoami", headers);
    if (!answer) return "no answer";
    if (answer->status != 200) return absl::StrCat("error ", answer->status);
    return nlohmann::json::parse(answer->body)["actor"];
  };
  const std::string token = fixture.Token("vera", v1::VIEWER);
  EXPECT_EQ(who_grpc(&*ci, ""), "certificate:ci");
  EXPECT_EQ(who_http(&*ci, ""), "certificate:ci");
  EXPECT_EQ(who_grpc(&*other, ""), "error 16");
  EXPECT_EQ(who_http(&*other, ""), "error 401");
  EXPECT_EQ(who_grpc(nullptr, ""), "error 16");
  EXPECT_EQ(who_http(nullptr, ""), "error 401");
  EXPECT_EQ(who_grpc(nullptr, token), "token:vera");
  EXPECT_EQ(who_http(nullptr, token), "token:vera");
  // A token says more than a certificate: one that is wrong is not forgiven.
  EXPECT_EQ(who_grpc(&*ci, "tnd_wrong"), "error 16");
  EXPECT_EQ(who_http(&*ci, "tnd_wrong"), "error 401");
}

TEST_F(ServerTest, ThePageIsForAnybodyAndKeptByItsTag) {
  if (WebFiles().empty()) GTEST_SKIP() << "built without the page";
  httplib::Client client("127.0.0.1", http_->port());
  client.set_decompress(false);
  const httplib::Headers browser = {{"Accept-Encoding", "gzip, deflate, br"}};
  for (const WebFile& file : WebFiles()) {
    const auto answer = client.Get(std::string(file.path), browser);
    ASSERT_TRUE(answer) << file.path;
    EXPECT_EQ(answer->status, 200) << file.path;
    EXPECT_TRUE(answer->body == file.gzip) << file.path;
    EXPECT_EQ(answer->get_header_value("Content-Encoding"), "gzip");
    EXPECT_EQ(answer->get_header_value("Content-Type"), file.content_type);
    EXPECT_EQ(answer->get_header_value("Content-Security-Policy"), kPageSecurityPolicy);
    EXPECT_EQ(answer->get_header_value("X-Content-Type-Options"), "nosniff");
    EXPECT_THAT(answer->get_header_value("Cache-Control"), HasSubstr(file.immutable ? "immutable" : "no-cache"));
    httplib::Headers again = browser;
    again.emplace("If-None-Match", std::string(file.etag));
    EXPECT_EQ(client.Get(std::string(file.path), again)->status, 304) << file.path;
  }
  EXPECT_EQ(client.Get("/favicon.ico", browser)->status, 404);
  // Not for those who cannot read it; and the API stays closed.
  EXPECT_EQ(client.Get("/", httplib::Headers{{"Accept-Encoding", "identity"}})->status, 406);
  EXPECT_EQ(client.Get("/assets/nope.js", browser)->status, 401);
  EXPECT_EQ(client.Post("/", httplib::Headers{}, "{}", "application/json")->status, 401);
}

// What a stream says until `enough`, or for five seconds.
std::string ReadEvents(int port, const std::string& target, const std::string& authorization,
                       const std::function<bool(const std::string&)>& enough) {
  httplib::Client client("127.0.0.1", port);
  client.set_read_timeout(5);
  std::string text;
  // As browsers ask.
  const httplib::Headers headers = {{"Authorization", authorization}, {"Accept-Encoding", "gzip, deflate, br"}};
  client.Get(target, headers, [&](const char* data, size_t size) {
    text.append(data, size);
    return !enough(text);
  });
  return text;
}

TEST_F(ServerTest, EventsTellViewersWhatChangesWithinASecond) {
  fixture_.RegisterUnits("gw", 3);
  const std::string viewer = absl::StrCat("Bearer ", fixture_.Token("vera", v1::VIEWER));
  absl::Time revoked;
  absl::Time told;
  const std::string text =
      ReadEvents(http_->port(), "/v1/events?watch=unit/gw-0001", viewer, [&](const std::string& so_far) {
        if (revoked == absl::Time()) {
          EXPECT_THAT(so_far, HasSubstr("event: hello"));
          v1::RevokeUnitRequest request;
          request.set_unit_id("gw-0001");
          request.set_revoked(true);
          request.set_reason("lost");
          EXPECT_TRUE(fixture_.operations.RevokeUnit(kOperator, request).ok());
          revoked = absl::Now();
        }
        told = absl::Now();
        return so_far.find("unit/gw-0001") != std::string::npos;
      });
  EXPECT_THAT(text, HasSubstr("event: change\ndata: {\"changed\":["));
  EXPECT_LT(told - revoked, absl::Seconds(1));
}

TEST_F(ServerTest, EventsRefuseStrangersAndWhatCannotBeWatched) {
  EXPECT_EQ(CallHttp("GET", "/v1/events", "Bearer tnd_wrong")->status, 401);
  const std::string viewer = absl::StrCat("Bearer ", fixture_.Token("vera", v1::VIEWER));
  EXPECT_EQ(CallHttp("GET", "/v1/events?watch=gw-0001", viewer)->status, 400);
}

TEST_F(ServerTest, EventsEndWhenTheControllerEnds) {
  const std::string viewer = absl::StrCat("Bearer ", fixture_.Token("vera", v1::VIEWER));
  const absl::Time begin = absl::Now();
  ReadEvents(http_->port(), "/v1/events", viewer, [&](const std::string&) {
    fixture_.operations.Stop();
    return false;
  });
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
  EXPECT_EQ(CallHttp("GET", "/v1/events", viewer)->status, 503);
}

}  // namespace
}  // namespace tandem::fleet
