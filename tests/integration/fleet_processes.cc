#include "tests/integration/fleet_processes.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "tests/support/text_file.h"

namespace tandem {
namespace {

constexpr char kNamespace[] = "acme";
constexpr absl::Duration kStartTimeout = absl::Seconds(90);

template <typename T>
T OrDie(absl::StatusOr<T> value, const std::string& what) {
  if (value.ok()) return *std::move(value);
  ADD_FAILURE() << what << ": " << value.status();
  std::abort();
}

void OrDie(const absl::Status& status, const std::string& what) {
  if (status.ok()) return;
  ADD_FAILURE() << what << ": " << status;
  std::abort();
}

std::string Program(const std::string& name) { return absl::StrCat(TANDEM_BINARIES, "/", name); }

}  // namespace

FleetProcesses::FleetProcesses(FleetProcessesOptions options)
    : options_(std::move(options)), maker_(kNamespace, absl::Now()) {
  // A Unix socket's path must be short.
  folder_ = "/tmp/fleet_XXXXXX";
  if (mkdtemp(folder_.data()) == nullptr) std::abort();
  broker_ = std::make_unique<Mosquitto>(OrDie(Mosquitto::Start(), "Mosquitto"));
  std::string url;
  if (options_.postgres) {
    postgres_ = OrDie(Postgres::Start(), "PostgreSQL");
    url = OrDie(postgres_->CreateDatabase(), "database");
  }
  OrDie(SavePrivateKey(maker_.assignment[0], folder_ + "/assignment.pem"), "assignment key");
  WriteText(folder_ + "/keyset.json", maker_.KeySetEnvelope());
  for (int i = 0; i < options_.controllers; ++i) {
    WriteConfig(i, url);
    controllers_.push_back(std::make_unique<ChildProcess>(
        std::vector<std::string>{Program("tandem-fleet"), "--config", absl::StrCat(folder_, "/fleet", i, ".yaml")},
        absl::StrCat(folder_, "/fleet", i, ".log")));
    // The first one makes the token.
    controllers_.back()->Start();
    if (i == 0) {
      // There before it is written.
      const auto is_whole = [&] {
        const std::string path = folder_ + "/data0/admin.token";
        if (std::filesystem::exists(path)) token_ = ReadText(path);
        return absl::EndsWith(token_, "\n");
      };
      EXPECT_TRUE(WaitUntil(is_whole, kStartTimeout));
      absl::StripTrailingAsciiWhitespace(&token_);
    }
  }
  EXPECT_TRUE(WaitUntil([&] { return Overview().broker().connected(); }, kStartTimeout)) << Log(0);
  Import();
  watcher_ = OrDie(MqttClient::Create({.url = broker_->url(),
                                       .client_id = "watcher",
                                       .backoff = {.first = absl::Milliseconds(50), .max = absl::Milliseconds(200)}},
                                      {.connected = [] {},
                                       .disconnected = [](const std::string&) {},
                                       .message = [this](const MqttMessage& message) { TakeDesired(message); }}),
                   "watcher");
  watcher_->Subscribe(absl::StrCat(kNamespace, "/+/desired"));
  watcher_->Start();
  std::vector<std::string> simulator = {Program("tandem-fleet-sim"),
                                        "--broker",
                                        broker_->url(),
                                        "--namespace",
                                        kNamespace,
                                        "--units",
                                        absl::StrCat(options_.units),
                                        "--key-set",
                                        folder_ + "/keyset.json",
                                        "--update-time",
                                        "100ms..400ms",
                                        "--resend",
                                        "1s",
                                        "--component",
                                        "part=0.1.0",
                                        "--quiet"};
  simulator.insert(simulator.end(), options_.simulator.begin(), options_.simulator.end());
  simulator_ = std::make_unique<ChildProcess>(simulator, folder_ + "/sim.log");
  simulator_->Start();
  EXPECT_TRUE(WaitUntil([&] { return Overview().online() == static_cast<uint64_t>(options_.units); }, kStartTimeout))
      << Overview().DebugString() << ReadText(folder_ + "/sim.log") << Log(0);
}

FleetProcesses::~FleetProcesses() {
  simulator_->Kill();
  for (const auto& controller : controllers_) controller->Stop();
  watcher_ = nullptr;
  if (testing::Test::HasFailure()) {
    for (size_t i = 0; i < controllers_.size(); ++i) {
      const std::string log = Log(static_cast<int>(i));
      std::cerr << "--- controller " << i << "\n" << log.substr(log.size() > 6000 ? log.size() - 6000 : 0);
    }
  }
  std::filesystem::remove_all(folder_);
}

void FleetProcesses::WriteConfig(int controller, const std::string& url) {
  WriteText(absl::StrCat(folder_, "/fleet", controller, ".yaml"),
            absl::StrCat("namespace: ", kNamespace, "\ndata: ", folder_, "/data", controller,
                         "\nassignment_key: ", folder_, "/assignment.pem\nbroker: {url: \"", broker_->url(),
                         "\"}\napi: {grpc: none, http: none}\nopen_registration: true\ncontroller_id: controller-",
                         controller, url.empty() ? "" : absl::StrCat("\npostgres: \"", url, "\""), "\n"));
}

void FleetProcesses::Start(int controller) { controllers_.at(controller)->Start(); }

std::string FleetProcesses::Log(int controller) const {
  return ReadText(absl::StrCat(folder_, "/fleet", controller, ".log"));
}

template <typename Request, typename Response>
absl::Status FleetProcesses::Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                  const Request& request, Response& response) {
  grpc::Status status;
  for (size_t i = 0; i < controllers_.size(); ++i) {
    const auto channel = grpc::CreateChannel(absl::StrCat("unix:", folder_, "/data", i, "/fleet.sock"),
                                             grpc::InsecureChannelCredentials());
    Stub stub(channel);
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token_));
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    status = (stub.*method)(&context, request, &response);
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE) break;
  }
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

void FleetProcesses::Import() {
  fleet::v1::Keys keys;
  fleet::v1::ImportDocumentRequest key_sets;
  key_sets.add_envelopes(maker_.KeySetEnvelope());
  OrDie(Call(&Stub::ImportKeySets, key_sets, keys), "import the key set");
  std::vector<std::string> envelopes;
  for (const auto& [id, version] : {std::pair("r1", "1.0.0"), std::pair("r2", "2.0.0"), std::pair("r3", "3.0.0")}) {
    release::v1::Release document = maker_.ReleaseOf(id, {{.type = "part", .version = version}});
    if (options_.diagnostics) {
      release::v1::Diagnostic& diagnostic = *document.add_diagnostics();
      diagnostic.set_name("inference");
      diagnostic.set_run_after_ota(true);
      diagnostic.set_timeout_secs(2);
      diagnostic.mutable_check()->mutable_exec()->add_command("check");
    }
    envelopes.push_back(maker_.Seal(document));
    fleet::v1::ImportReleaseRequest request;
    request.set_envelope(envelopes.back());
    request.add_base_urls("http://127.0.0.1:1/");
    fleet::v1::Release release;
    OrDie(Call(&Stub::ImportRelease, request, release), "import a release");
  }
  fleet::v1::ImportDocumentRequest list;
  list.add_envelopes(maker_.Seal(maker_.ListOf(1, envelopes)));
  OrDie(Call(&Stub::ImportReleaseList, list, keys), "import the release list");
}

fleet::v1::Rollout FleetProcesses::Roll(const std::string& release, std::vector<double> percents) {
  fleet::v1::CreateRolloutRequest request;
  request.mutable_spec()->set_name(release);
  request.mutable_spec()->set_release(release);
  request.mutable_spec()->mutable_score_age()->set_seconds(absl::ToInt64Seconds(options_.score_age));
  for (const double percent : percents) request.mutable_spec()->add_rings()->set_percent(percent);
  fleet::v1::Rollout rollout;
  EXPECT_TRUE(WaitUntil([&] { return Call(&Stub::CreateRollout, request, rollout).ok(); }, absl::Seconds(10)));
  return rollout;
}

fleet::v1::Rollout FleetProcesses::Show(uint64_t id) {
  fleet::v1::GetRolloutRequest request;
  request.set_id(id);
  fleet::v1::Rollout rollout;
  // Empty while nobody answers.
  Call(&Stub::GetRollout, request, rollout).IgnoreError();
  return rollout;
}

fleet::v1::FleetOverview FleetProcesses::Overview() {
  fleet::v1::FleetOverview overview;
  Call(&Stub::GetFleet, fleet::v1::GetFleetRequest(), overview).IgnoreError();
  return overview;
}

fleet::v1::Release FleetProcesses::Release(const std::string& release_id) {
  fleet::v1::GetReleaseRequest request;
  request.set_release(release_id);
  fleet::v1::Release release;
  Call(&Stub::GetRelease, request, release).IgnoreError();
  return release;
}

fleet::v1::Verification FleetProcesses::Verification(uint64_t rollout) {
  fleet::v1::GetVerificationRequest request;
  request.set_rollout(rollout);
  request.set_page_size(1000);
  fleet::v1::Verification verification;
  Call(&Stub::GetVerification, request, verification).IgnoreError();
  return verification;
}

size_t FleetProcesses::Audits(const std::string& event) {
  fleet::v1::ListAuditRequest request;
  request.set_page_size(1000);
  size_t found = 0;
  do {
    fleet::v1::ListAuditResponse page;
    if (!Call(&Stub::ListAudit, request, page).ok()) return 0;
    for (const fleet::v1::AuditEntry& entry : page.entries()) found += entry.event() == event ? 1 : 0;
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return found;
}

uint64_t FleetProcesses::UnitsAt(const std::string& release_id) {
  const fleet::v1::FleetOverview overview = Overview();
  for (const fleet::v1::VersionShare& share : overview.versions()) {
    if (share.plane() == "firmware" && share.release_id() == release_id) return share.units();
  }
  return 0;
}

absl::Status FleetProcesses::Change(uint64_t rollout, const std::string& verb) {
  fleet::v1::ChangeRolloutRequest request;
  request.set_id(rollout);
  request.set_verb(verb);
  fleet::v1::Rollout changed;
  return Call(&Stub::ChangeRollout, request, changed);
}

bool FleetProcesses::WaitUntil(const std::function<bool()>& done, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (absl::Now() < deadline) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return done();
}

void FleetProcesses::TakeDesired(const MqttMessage& message) {
  if (message.payload.empty()) return;
  const absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(message.payload);
  ASSERT_TRUE(envelope.ok()) << envelope.status();
  const absl::StatusOr<DesiredEnvelopes> desired = ParseDesired(envelope->payload);
  ASSERT_TRUE(desired.ok()) << desired.status();
  const absl::StatusOr<DsseEnvelope> assignment = ParseDsse(desired->assignment);
  ASSERT_TRUE(assignment.ok()) << assignment.status();
  release::v1::Assignment document;
  ASSERT_TRUE(document.ParseFromString(assignment->payload));
  const std::vector<std::string> levels = absl::StrSplit(message.topic, '/');
  const std::string digest = Sha256(assignment->payload);
  std::lock_guard lock(mutex_);
  const auto [known, fresh] = orders_.try_emplace({levels.at(1), document.sequence()}, digest);
  if (!fresh && known->second != digest) conflicts_.push_back(absl::StrCat(levels.at(1), " ", document.sequence()));
  if (document.unit_id() != levels.at(1)) conflicts_.push_back(absl::StrCat(levels.at(1), ": ", document.unit_id()));
}

std::vector<std::string> FleetProcesses::Conflicts() {
  std::lock_guard lock(mutex_);
  return conflicts_;
}

}  // namespace tandem
