// UMs on other computers: mutual TLS, certificates that change, streams that hang, artifacts through CM; and UMs that
// speak the wire of Aos 8.
#include <signal.h>

#include <filesystem>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/grpc/credentials.h"
#include "common/net/curl_http_fetcher.h"
#include "common/storage/file_system.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/aos_um.h"
#include "tests/integration/raw_um.h"
#include "tests/integration/unit_under_test.h"
#include "tests/support/nginx.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

namespace umv2 = updatemanager::v2;

std::shared_ptr<grpc::ChannelCredentials> Credentials(const std::string& ca, const CertificateFiles& files) {
  config::v1::Tls tls;
  tls.set_ca(ca);
  tls.set_certificate(files.certificate);
  tls.set_key(files.key);
  return *MakeChannelCredentials(tls);
}

// The bytes of an artifact, or why there are none.
absl::StatusOr<std::string> Download(const std::string& url) {
  std::string bytes;
  CurlHttpFetcher fetcher;
  FetchRequest request;
  request.url = url;
  const absl::Status status = fetcher.Fetch(request, [&](std::string_view piece) {
    bytes.append(piece);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return bytes;
}

class TransportTest : public testing::Test {
 protected:
  void SetUp() override { unit_.ListenOnTcp(); }

  std::shared_ptr<grpc::ChannelCredentials> CredentialsOf(const std::string& name) {
    const auto [files, fresh] = clients_.try_emplace(name);
    if (fresh) files->second = *unit_.certificates().Client(name);
    return Credentials(unit_.certificates().ca(), files->second);
  }

  // A server with the artifacts of these versions.
  void Serve(const std::map<std::string, std::string>& versions) {
    server_ = *Nginx::Start();
    for (const auto& [node_id, version] : versions) {
      server_->Put(unit_.ArtifactPath(node_id, version), unit_.Content(node_id, version));
    }
    unit_.SetBaseUrls({server_->url()});
  }

  int RequestsFor(const std::string& path) {
    int count = 0;
    for (const Nginx::Request& request : server_->Requests()) count += absl::EndsWith(request.path, path) ? 1 : 0;
    return count;
  }

  UnitUnderTest unit_;
  std::unique_ptr<Nginx> server_;
  std::map<std::string, CertificateFiles> clients_;
};

TEST_F(TransportTest, AUmOnAnotherComputerIsUpdatedWithBytesThatCmFetchedForIt) {
  unit_.AddUm({.node_id = "local", .priority = 10, .behaviour = {}});
  unit_.AddUm({.node_id = "remote", .priority = 20, .behaviour = {}, .computer = "ecu2", .download = true});
  unit_.SetContent("remote", "2.0", std::string(3 << 20, 'r'));
  Serve({{"local", "2.0"}, {"remote", "2.0"}});
  unit_.Start();
  unit_.Assign({{"local", "2.0"}, {"remote", "2.0"}});
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  EXPECT_EQ(unit_.Version("local"), "2.0");
  EXPECT_EQ(unit_.Version("remote"), "2.0");
  EXPECT_EQ(RequestsFor(unit_.ArtifactPath("remote", "2.0")), 1) << "CM fetches it once, the UM gets it from CM";
}

TEST_F(TransportTest, UmsThatNeedTheSameBytesShareTheDownload) {
  for (const char* node : {"first", "second"}) {
    unit_.AddUm({.node_id = node, .behaviour = {}, .computer = "ecu2", .download = true});
    unit_.SetContent(node, "2.0", std::string(3 << 20, 's'));
  }
  Serve({{"first", "2.0"}});
  ASSERT_TRUE(server_->Restart(/*bytes_per_second=*/4 << 20).ok());
  unit_.Start();
  unit_.Assign({{"first", "2.0"}, {"second", "2.0"}});
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  EXPECT_EQ(RequestsFor(unit_.ArtifactPath("first", "2.0")), 1);
}

TEST_F(TransportTest, ARemoteUmGoesOnWithItsDownloadWhenCmWasRestarted) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .computer = "ecu2", .payload = true});
  unit_.SetContent("remote", "2.0", std::string(96 << 20, 'r'));
  Serve({{"remote", "2.0"}});
  unit_.Start();
  unit_.Assign({{"remote", "2.0"}});
  ASSERT_TRUE(unit_.WaitFor([&] {
    const auto status = unit_.Status();
    if (!status.has_value() || status->ums(0).components().empty()) return false;
    return absl::StrContains(unit_.cm_log(), "command") &&
           !absl::StrContains(status->ums(0).activity(), "CM fetches") && status->ums(0).components(0).bytes_done() > 0;
  })) << unit_.Story();
  kill(unit_.um_pid("remote"), SIGSTOP);
  ASSERT_NE(unit_.UmState("remote"), "PREPARED") << "the test came too late";
  unit_.KillCm();
  kill(unit_.um_pid("remote"), SIGCONT);
  unit_.StartCm();
  ASSERT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
  EXPECT_EQ(unit_.Version("remote"), "2.0");
  EXPECT_EQ(RequestsFor(unit_.ArtifactPath("remote", "2.0")), 1);
}

TEST_F(TransportTest, TheArtifactServerWantsTheTokenOfTheRunningUpdate) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .played = true, .computer = "ecu2"});
  Serve({{"remote", "2.0"}});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.Status().has_value(); }));
  RawUm um(unit_.um_tcp_address(), CredentialsOf("remote"));
  um.Send(IdleStatus("remote"));
  unit_.Assign({{"remote", "2.0"}});
  const auto command = um.Next();
  ASSERT_TRUE(command.has_value() && command->has_prepare_update()) << unit_.Story();
  const std::string url = command->prepare_update().components(0).url();
  EXPECT_EQ(Download(url).value_or("nothing"), unit_.Content("remote", "2.0"));
  // .../a/{token}/{digest}
  std::string foreign = url;
  char& digit = foreign[foreign.rfind('/') - 1];
  digit = digit == '0' ? '1' : '0';
  EXPECT_TRUE(absl::IsNotFound(Download(foreign).status()));
  umv2::UpdateStatus failed = IdleStatus("remote");
  failed.set_update_state(umv2::FAILED);
  failed.mutable_error()->set_message("no");
  um.Send(failed);
  ASSERT_TRUE(unit_.WaitForPhase("Reverting")) << unit_.Story();
  um.Send(IdleStatus("remote"));
  ASSERT_TRUE(unit_.WaitForOutcome("reverted")) << unit_.Story();
  EXPECT_TRUE(absl::IsNotFound(Download(url).status())) << "the update is over";
}

TEST_F(TransportTest, ACertificateForAnotherNameIsRefusedAndReported) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .played = true, .computer = "ecu2"});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.Status().has_value(); }));
  RawUm impostor(unit_.um_tcp_address(), CredentialsOf("other"));
  impostor.Send(IdleStatus("remote"));
  const auto end = impostor.WaitForEnd();
  ASSERT_TRUE(end.has_value()) << unit_.Story();
  EXPECT_EQ(end->error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(end->error_message(), HasSubstr("is for other"));
  EXPECT_TRUE(unit_.WaitFor([&] { return unit_.HasFeedback("um_refused"); })) << unit_.Story();
  EXPECT_THAT(unit_.FeedbackReason("um_refused"), HasSubstr("not for node_id \"remote\""));
}

TEST_F(TransportTest, WithoutACertificateOfTheRightCaNobodyGetsAStream) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .played = true, .computer = "ecu2"});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.Status().has_value(); }));
  const auto foreign_ca = *TestCertificates::Make();
  const auto foreign = Credentials(unit_.certificates().ca(), *foreign_ca.Client("remote"));
  grpc::SslCredentialsOptions no_certificate;
  no_certificate.pem_root_certs = FileSystem::Real().ReadFile(unit_.certificates().ca()).value();
  for (const auto& credentials : {foreign, grpc::SslCredentials(no_certificate), grpc::InsecureChannelCredentials()}) {
    RawUm um(unit_.um_tcp_address(), credentials);
    um.Send(IdleStatus("remote"));
    const auto end = um.WaitForEnd();
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(end->error_code(), grpc::StatusCode::UNAVAILABLE) << end->error_message();
  }
  EXPECT_EQ(unit_.UmState("remote"), "");
  RawUm real(unit_.um_tcp_address(), CredentialsOf("remote"));
  real.Send(IdleStatus("remote"));
  EXPECT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE"; })) << unit_.Story();
}

TEST_F(TransportTest, CertificatesThatChangeOnDiskCountWithoutARestart) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .computer = "ecu2"});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE"; })) << unit_.Story();
  const auto old = CredentialsOf("remote");
  const pid_t cm = unit_.cm_pid();
  const pid_t um = unit_.um_pid("remote");
  unit_.RotateCertificates();
  // Who comes with a certificate of the old CA is turned away as soon as CM has seen the new one ...
  ASSERT_TRUE(unit_.WaitFor([&] {
    RawUm stale(unit_.um_tcp_address(), old);
    stale.Send(IdleStatus("remote"));
    const auto end = stale.WaitForEnd();
    return end.has_value() && end->error_code() == grpc::StatusCode::UNAVAILABLE;
  })) << unit_.Story();
  // ... and the UM, which read its new files too, comes again when CM has been away.
  ASSERT_EQ(unit_.cm_pid(), cm);
  unit_.KillCm();
  unit_.StartCm();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE"; })) << unit_.Story();
  EXPECT_EQ(unit_.um_pid("remote"), um);
}

TEST_F(TransportTest, TheStatusTellsWhatCmFetchesForOthersAndWhatKeepsItFromThat) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .computer = "ecu2"});
  Serve({});
  server_->Stop();
  unit_.Start();
  unit_.Assign({{"remote", "2.0"}});
  EXPECT_TRUE(unit_.WaitFor([&] {
    const auto status = unit_.Status();
    return status.has_value() && absl::StrContains(status->ums(0).activity(), "CM fetches it: trying again in");
  })) << unit_.Story();
}

TEST_F(TransportTest, CertificatesThatAreBrokenWhileTheyAreReplacedHarmNobody) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .computer = "ecu2"});
  Serve({{"remote", "2.0"}});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE"; })) << unit_.Story();
  const pid_t cm = unit_.cm_pid();
  const pid_t um = unit_.um_pid("remote");
  for (const char* file : {"cm.pem", "remote.pem", "ca.pem"}) {
    std::filesystem::resize_file(absl::StrCat(unit_.tls_folder(), "/", file), 0);
  }
  ASSERT_TRUE(unit_.WaitFor([&] { return absl::StrContains(unit_.cm_log(), "the last good ones stay"); }));
  // With what they had, both go on: also a new connection.
  {
    RawUm second(unit_.um_tcp_address(), CredentialsOf("remote"));
    second.Send(IdleStatus("remote"));
    const auto end = second.WaitForEnd();
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(end->error_code(), grpc::StatusCode::ALREADY_EXISTS) << end->error_message();
  }
  EXPECT_EQ(unit_.cm_pid(), cm);
  EXPECT_EQ(unit_.um_pid("remote"), um);
  unit_.Assign({{"remote", "2.0"}});
  EXPECT_TRUE(unit_.WaitForOutcome("applied")) << unit_.Story();
}

TEST_F(TransportTest, ASecondLiveStreamIsRefusedAndADeadFirstOneIsReplaced) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .computer = "ecu2"});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE"; })) << unit_.Story();
  {
    RawUm second(unit_.um_tcp_address(), CredentialsOf("remote"));
    second.Send(IdleStatus("remote"));
    const auto end = second.WaitForEnd();
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(end->error_code(), grpc::StatusCode::ALREADY_EXISTS) << end->error_message();
    EXPECT_TRUE(unit_.WaitFor([&] { return unit_.HasFeedback("um_refused"); })) << unit_.Story();
  }
  // Long without a word, as UMs are between updates; then the computer hangs, and nobody closes its connection.
  absl::SleepFor(absl::Seconds(4));
  kill(unit_.um_pid("remote"), SIGSTOP);
  EXPECT_TRUE(unit_.WaitFor([&] {
    RawUm second(unit_.um_tcp_address(), CredentialsOf("remote"));
    second.Send(IdleStatus("remote", "1.5"));
    return !second.WaitForEnd(absl::Milliseconds(300)).has_value() && unit_.Version("remote") == "1.5";
  })) << unit_.Story();
  unit_.KillUm("remote");
}

TEST_F(TransportTest, AKilledUmMayComeBackAtOnce) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .computer = "ecu2"});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE"; })) << unit_.Story();
  unit_.KillUm("remote");
  unit_.StartUm("remote");
  EXPECT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE"; }, absl::Seconds(5))) << unit_.Story();
}

TEST_F(TransportTest, AUmOfAnotherComputerDoesNotComeOverTheUnixSocket) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .played = true, .computer = "ecu2"});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.Status().has_value(); }));
  RawUm um(unit_.um_unix_address(), grpc::InsecureChannelCredentials());
  um.Send(IdleStatus("remote"));
  const auto end = um.WaitForEnd();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(end->error_message(), HasSubstr("belongs to computer ecu2"));
}

TEST_F(TransportTest, AStreamThatChangesItsNodeIdIsEnded) {
  unit_.AddUm({.node_id = "remote", .behaviour = {}, .played = true, .computer = "ecu2"});
  unit_.AddUm({.node_id = "victim", .behaviour = {}, .computer = "ecu2"});
  unit_.Start();
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.Status().has_value(); }));
  RawUm um(unit_.um_tcp_address(), CredentialsOf("remote"));
  um.Send(IdleStatus("remote"));
  ASSERT_TRUE(unit_.WaitFor([&] { return unit_.UmState("remote") == "IDLE" && unit_.UmState("victim") == "IDLE"; }));
  um.Send(IdleStatus("victim", "6.6"));
  const auto end = um.WaitForEnd();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(unit_.Version("victim"), "1.0");
}

// --- Aos 8 ---

TEST(Aos, UmsOfAos8AreUpdatedInTheirOrderWithTheirDigestAndThroughTheirCrashes) {
  for (const char* crash : {"", "prepare", "start", "apply"}) {
    UnitUnderTest unit;
    unit.AddUm({.node_id = "low", .behaviour = {}, .played = true, .profile = "aos8"});
    unit.AddUm({.node_id = "high", .behaviour = {}, .played = true, .profile = "aos8"});
    const auto server = *Nginx::Start();
    for (const char* node : {"low", "high"}) server->Put(unit.ArtifactPath(node, "2.0"), unit.Content(node, "2.0"));
    unit.SetBaseUrls({server->url()});
    unit.Start();
    Journal journal;
    AosUm low(unit.um_unix_address(), "low", 1, journal, {});
    AosUm high(unit.um_unix_address(), "high", 9, journal, {crash});
    unit.Assign({{"low", "2.0"}, {"high", "2.0"}});
    ASSERT_TRUE(unit.WaitForOutcome("applied")) << crash << unit.Story();
    EXPECT_EQ(unit.Version("low"), "2.0") << crash;
    EXPECT_EQ(unit.Version("high"), "2.0") << crash;
    std::vector<std::string> starts;
    for (const std::string& entry : journal.entries()) {
      if (absl::EndsWith(entry, "start")) starts.push_back(entry);
    }
    if (std::string(crash) == "start") {
      EXPECT_THAT(starts, ElementsAre("high start", "high start", "low start"));
    } else {
      EXPECT_THAT(starts, ElementsAre("high start", "low start")) << crash;
    }
  }
}

TEST(Aos, AFailureElsewhereBringsAnAos8UmBack) {
  UnitUnderTest unit;
  unit.AddUm({.node_id = "aos", .behaviour = {}, .played = true, .profile = "aos8"});
  unit.AddUm({.node_id = "other", .priority = 1, .behaviour = {"check: {fail: never asked}", "start: {delay: 200ms}"}});
  const auto server = *Nginx::Start();
  server->Put(unit.ArtifactPath("aos", "2.0"), unit.Content("aos", "2.0"));
  unit.SetBaseUrls({server->url()});
  unit.Start();
  Journal journal;
  AosUm aos(unit.um_unix_address(), "aos", 9, journal, {});
  unit.Assign({{"aos", "2.0"}, {"other", "2.0"}}, [](release::v1::Assignment&, release::v1::Release& release) {
    release::v1::Probe& probe = *release.mutable_health()->add_probes();
    probe.set_name("latency");
    probe.mutable_exec()->add_command("false");
  });
  ASSERT_TRUE(unit.WaitForOutcome("reverted")) << unit.Story();
  EXPECT_EQ(unit.Version("aos"), "1.0");
  EXPECT_EQ(unit.Version("other"), "1.0");
  EXPECT_THAT(journal.entries(), ElementsAre("aos prepare", "aos start", "aos revert"));
}

}  // namespace
}  // namespace tandem
