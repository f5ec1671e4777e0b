#include "tests/integration/unit_under_test.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/crypto/desired_documents.h"
#include "common/crypto/sha256.h"
#include "grpcpp/create_channel.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/support/free_port.h"
#include "tests/support/text_file.h"

namespace tandem {
namespace {

constexpr char kNamespace[] = "acme";
constexpr char kUnit[] = "unit-1";

template <typename Value>
Value ValueOrDie(absl::StatusOr<Value> result) {
  if (!result.ok()) {
    std::cerr << "test set-up: " << result.status() << std::endl;
    std::abort();
  }
  return *std::move(result);
}

}  // namespace

UnitUnderTest::UnitUnderTest(std::string cm_extra) : cm_extra_(std::move(cm_extra)), maker_(kNamespace, absl::Now()) {
  std::string name = (std::filesystem::temp_directory_path() / "unit_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) std::abort();
  folder_ = name;
  WriteText(folder_ + "/keyset.json", maker_.KeySetEnvelope());
  WriteText(folder_ + "/boot_id", "boot-1\n");
  broker_ = std::make_unique<Mosquitto>(ValueOrDie(Mosquitto::Start()));
}

UnitUnderTest::~UnitUnderTest() {
  ums_.clear();
  cm_.reset();
  cloud_.reset();
  broker_.reset();
  std::filesystem::remove_all(folder_);
}

std::string UnitUnderTest::Program(const std::string& name) { return absl::StrCat(TANDEM_BINARIES, "/", name); }

void UnitUnderTest::ListenOnTcp() {
  tcp_port_ = FreePort();
  std::filesystem::create_directories(tls_folder());
  RotateCertificates();
}

void UnitUnderTest::RotateCertificates() {
  certificates_ = std::make_unique<TestCertificates>(ValueOrDie(TestCertificates::Make()));
  WriteCertificates();
}

void UnitUnderTest::WriteCertificates() {
  // As an administrator does it: each file is replaced as a whole.
  const auto put = [&](const std::string& from, const std::string& name) {
    const std::string to = absl::StrCat(tls_folder(), "/", name);
    std::filesystem::copy_file(from, to + ".new", std::filesystem::copy_options::overwrite_existing);
    std::filesystem::rename(to + ".new", to);
  };
  put(certificates_->ca(), "ca.pem");
  put(certificates_->server().key, "cm.key");
  put(certificates_->server().certificate, "cm.pem");
  for (const auto& [node_id, um] : ums_) {
    if (um.spec.computer.empty()) continue;
    const CertificateFiles files = ValueOrDie(certificates_->Client(node_id));
    put(files.key, node_id + ".key");
    put(files.certificate, node_id + ".pem");
  }
}

std::string UnitUnderTest::um_tcp_address() const { return absl::StrCat("localhost:", tcp_port_); }

std::string UnitUnderTest::cm_log() const { return ReadText(folder_ + "/cm.log"); }

void UnitUnderTest::AddUm(UmSpec spec) {
  const std::string node_id = spec.node_id;
  Um& um = ums_[node_id];
  um.spec = std::move(spec);
  if (!um.spec.computer.empty()) WriteCertificates();
  um.process =
      std::make_unique<ChildProcess>(std::vector<std::string>{Program(um.spec.payload ? "tandem-um" : "tandem-mock-um"),
                                                              "--config", absl::StrCat(folder_, "/", node_id, ".yaml")},
                                     absl::StrCat(folder_, "/", node_id, ".log"));
  WriteUmConfig(um);
  if (!um.spec.payload) return;
  const std::string data = absl::StrCat(folder_, "/data-", node_id);
  std::filesystem::create_directories(absl::StrCat(data, "/versions/", um.spec.version));
  WriteText(absl::StrCat(data, "/versions/", um.spec.version, "/payload"), Content(node_id, um.spec.version));
  std::filesystem::create_symlink("versions/" + um.spec.version, data + "/current");
}

void UnitUnderTest::SetContent(const std::string& node_id, const std::string& version, const std::string& content) {
  contents_[{node_id, version}] = content;
}

std::string UnitUnderTest::Content(const std::string& node_id, const std::string& version) const {
  const auto found = contents_.find({node_id, version});
  return found == contents_.end() ? absl::StrCat(node_id, version) : found->second;
}

std::string UnitUnderTest::ArtifactPath(const std::string& node_id, const std::string& version) const {
  return absl::StrCat("artifacts/", HexEncode(Sha256(Content(node_id, version))));
}

void UnitUnderTest::SetBehaviour(const std::string& node_id, std::vector<std::string> behaviour) {
  ums_.at(node_id).spec.behaviour = std::move(behaviour);
  WriteUmConfig(ums_.at(node_id));
}

void UnitUnderTest::WriteUmConfig(const Um& um) {
  const std::string& node_id = um.spec.node_id;
  std::string yaml;
  if (um.spec.computer.empty()) {
    absl::StrAppend(&yaml, "cm: ", um_unix_address(), "\n");
  } else {
    absl::StrAppend(&yaml, "cm: ", um_tcp_address(), "\ntls: {ca: ", tls_folder(),
                    "/ca.pem, certificate: ", tls_folder(), "/", node_id, ".pem, key: ", tls_folder(), "/", node_id,
                    ".key}\n");
  }
  absl::StrAppend(&yaml, "log: {level: info}\nums:\n  - node_id: ", node_id, "\n    priority: ", um.spec.priority,
                  "\n    state_dir: ", folder_, "/um-", node_id, "\n");
  if (um.spec.payload) {
    absl::StrAppend(&yaml, "    payload:\n      components:\n        - component_id: ", node_id,
                    "\n          component_type: ", node_id, "-type\n          folder: ", folder_, "/data-", node_id,
                    "\n");
    for (const std::string& line : um.spec.behaviour) absl::StrAppend(&yaml, "          ", line, "\n");
  } else {
    absl::StrAppend(&yaml, "    switches_boot: ", um.spec.switches_boot ? "true" : "false",
                    "\n    download: ", um.spec.download ? "true" : "false",
                    "\n    components: [{component_id: ", node_id, ", component_type: ", node_id, "-type, version: \"",
                    um.spec.version, "\"}]\n");
    for (const std::string& line : um.spec.behaviour) absl::StrAppend(&yaml, "    ", line, "\n");
  }
  WriteText(absl::StrCat(folder_, "/", um.spec.node_id, ".yaml"), yaml);
}

void UnitUnderTest::WriteCmConfig() {
  std::string yaml = absl::StrCat(
      "unit_id: ", kUnit, "\nnamespace: ", kNamespace, "\nstate_dir: ", folder_, "/cm\ntrust: {key_set: ", folder_,
      "/keyset.json}\nlocal_api: {unix_socket: ", folder_, "/cm.sock}\nboot_id_file: ", folder_,
      "/boot_id\ncloud: {mqtt: {url: \"", broker_->url(), "\"}}\nnodes:\n");
  for (const auto& [node_id, um] : ums_) {
    if (um.spec.unknown) continue;
    absl::StrAppend(&yaml, "  - node_id: ", node_id, "\n");
    if (!um.spec.computer.empty()) absl::StrAppend(&yaml, "    computer: ", um.spec.computer, "\n");
    if (!um.spec.profile.empty()) absl::StrAppend(&yaml, "    profile: ", um.spec.profile, "\n");
  }
  absl::StrAppend(&yaml, "um_server:\n  unix_socket: ", folder_, "/um.sock\n  keepalive: 1s\n");
  if (tcp_port_ != 0) {
    absl::StrAppend(&yaml, "  listen: 127.0.0.1:", tcp_port_, "\n  tls: {ca: ", tls_folder(),
                    "/ca.pem, certificate: ", tls_folder(), "/cm.pem, key: ", tls_folder(),
                    "/cm.key}\nartifacts: {listen: \"127.0.0.1:0\"}\n");
  }
  WriteText(folder_ + "/cm.yaml", yaml + cm_extra_);
}

void UnitUnderTest::ConnectCloud() {
  const UnitTopics topics(kNamespace, kUnit);
  MqttHandlers handlers;
  handlers.message = [this](MqttMessage message) {
    absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(message.payload);
    if (!envelope.ok()) return;
    std::lock_guard lock(mutex_);
    feedback_.push_back(*std::move(envelope));
  };
  handlers.connected = [] {};
  handlers.disconnected = [](const std::string&) {};
  MqttOptions options;
  options.url = broker_->url();
  options.client_id = "test-cloud";
  options.backoff = {.first = absl::Milliseconds(50), .max = absl::Milliseconds(200)};
  cloud_ = ValueOrDie(MqttClient::Create(options, handlers));
  cloud_->Subscribe(topics.feedback);
  cloud_->Subscribe(topics.applied);
  cloud_->Subscribe(topics.provisional);
  cloud_->Subscribe(topics.diagnostics_result);
  cloud_->Subscribe(topics.reported);
  cloud_->Start();
}

void UnitUnderTest::Start() {
  WriteCmConfig();
  cm_ = std::make_unique<ChildProcess>(std::vector<std::string>{Program("tandem-cm"), "--config", folder_ + "/cm.yaml"},
                                       folder_ + "/cm.log");
  ConnectCloud();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 50);
  local_ = local::v1::LocalService::NewStub(grpc::CreateCustomChannel(absl::StrCat("unix:", folder_, "/cm.sock"),
                                                                      grpc::InsecureChannelCredentials(), arguments));
  PowerOn();
}

void UnitUnderTest::PowerOn() {
  StartCm();
  for (auto& [node_id, um] : ums_) StartUm(node_id);
}

void UnitUnderTest::PowerCut() {
  KillCm();
  for (auto& [node_id, um] : ums_) KillUm(node_id);
}

void UnitUnderTest::StartCm() {
  cm_wanted_ = true;
  cm_->Start();
}

void UnitUnderTest::KillCm() {
  cm_wanted_ = false;
  cm_->Kill();
}

void UnitUnderTest::StartUm(const std::string& node_id) {
  Um& um = ums_.at(node_id);
  if (um.spec.played) return;
  um.wanted = true;
  um.process->Start();
}

void UnitUnderTest::KillUm(const std::string& node_id) {
  ums_.at(node_id).wanted = false;
  ums_.at(node_id).process->Kill();
}

void UnitUnderTest::RestartUm(const std::string& node_id) {
  ums_.at(node_id).process->Kill();
  Supervise();
}

void UnitUnderTest::Supervise() {
  if (cm_wanted_ && !cm_->Running()) cm_->Start();
  for (auto& [node_id, um] : ums_) {
    if (um.wanted && !um.process->Running()) um.process->Start();
  }
  // Everything the cloud has seen is acknowledged, as a fleet does after it has stored it.
  unit::v1::Ack ack;
  {
    std::lock_guard lock(mutex_);
    for (const MessageEnvelope& message : feedback_) ack.add_msg_ids(message.msg_id);
  }
  if (!acks_ || ack.msg_ids().empty()) return;
  MessageEnvelope envelope;
  envelope.msg_id = NewMessageId();
  envelope.type = kAckMessage;
  envelope.ts = absl::Now();
  envelope.payload = ValueOrDie(MessageToJson(ack));
  cloud_
      ->Publish(
          {.topic = UnitTopics(kNamespace, kUnit).ack, .payload = ValueOrDie(EncodeMessage(envelope)), .expiry = {}})
      .IgnoreError();
}

DesiredEnvelopes UnitUnderTest::MakeDesired(
    const std::map<std::string, std::string>& versions, uint64_t sequence,
    const std::function<void(release::v1::Assignment&, release::v1::Release&)>& change) {
  std::vector<TestComponent> components;
  std::string id = "release";
  for (const auto& [node_id, version] : versions) {
    TestComponent component;
    component.type = node_id + "-type";
    component.version = version;
    component.content = Content(node_id, version);
    components.push_back(component);
    absl::StrAppend(&id, "-", node_id, version);
  }
  release::v1::Release release = maker_.ReleaseOf(id, components);
  release::v1::Assignment unused;
  if (change) change(unused, release);
  const std::string envelope = maker_.Seal(release);
  release_digest_ = PayloadDigest(envelope);
  release::v1::Assignment assignment = maker_.AssignmentOf(kUnit, sequence, {envelope});
  assignment.set_attempt(1);
  if (!base_urls_.empty()) assignment.clear_base_urls();
  for (const std::string& url : base_urls_) assignment.add_base_urls(url);
  if (change) change(assignment, release);
  DesiredEnvelopes desired = maker_.Desired(kUnit, sequence, {envelope});
  desired.assignment = maker_.Seal(assignment);
  return desired;
}

uint64_t UnitUnderTest::Assign(const std::map<std::string, std::string>& versions, uint32_t attempt) {
  return Assign(versions,
                [&](release::v1::Assignment& assignment, release::v1::Release&) { assignment.set_attempt(attempt); });
}

uint64_t UnitUnderTest::Assign(const std::map<std::string, std::string>& versions,
                               const std::function<void(release::v1::Assignment&, release::v1::Release&)>& change) {
  Publish(MakeDesired(versions, ++sequence_, change));
  return sequence_;
}

void UnitUnderTest::Publish(const DesiredEnvelopes& desired) {
  PublishMessage(UnitTopics(kNamespace, kUnit).desired, kDesiredMessage, ValueOrDie(SerializeDesired(desired)),
                 /*retained=*/true);
}

void UnitUnderTest::PublishVerdict(bool verified, const std::string& reason) {
  PublishVerdict(maker_.Seal(VerdictOf(verified, reason)));
}

release::v1::Verdict UnitUnderTest::VerdictOf(bool verified, const std::string& reason) const {
  release::v1::Verdict verdict;
  verdict.set_namespace_(kNamespace);
  verdict.set_unit_id(kUnit);
  verdict.set_sequence(sequence_);
  verdict.set_attempt(1);
  verdict.set_verified(verified);
  verdict.set_reason(reason);
  return verdict;
}

void UnitUnderTest::PublishVerdict(const std::string& envelope) {
  PublishMessage(UnitTopics(kNamespace, kUnit).verdict, kVerdictMessage, envelope, /*retained=*/false);
}

unit::v1::Reported UnitUnderTest::LastReported() {
  std::lock_guard lock(mutex_);
  unit::v1::Reported newest;
  for (const MessageEnvelope& message : feedback_) {
    unit::v1::Reported reported;
    if (message.type == kReportedMessage && MessageFromJson(message.payload, reported).ok()) newest = reported;
  }
  return newest;
}

release::v1::DiagnosticCommand UnitUnderTest::DiagnosticCommandOf(const std::string& diagnostic,
                                                                  const std::string& run_id) const {
  release::v1::DiagnosticCommand command;
  command.set_namespace_(kNamespace);
  command.set_unit_id(kUnit);
  command.set_run_id(run_id);
  command.set_release_digest(release_digest_);
  command.set_diagnostic(diagnostic);
  command.set_triggered_by("ota_verify");
  SetTimestamp(command.mutable_issued_at(), absl::Now());
  SetTimestamp(command.mutable_expires(), absl::Now() + absl::Minutes(10));
  return command;
}

void UnitUnderTest::OrderDiagnostic(const std::string& envelope) {
  PublishMessage(UnitTopics(kNamespace, kUnit).diagnostics_command, kDiagnosticRunMessage, envelope,
                 /*retained=*/false);
}

std::optional<unit::v1::DiagnosticResult> UnitUnderTest::DiagnosticResultOf(const std::string& diagnostic,
                                                                            const std::string& run_id) {
  std::lock_guard lock(mutex_);
  std::optional<unit::v1::DiagnosticResult> newest;
  for (const MessageEnvelope& message : feedback_) {
    unit::v1::DiagnosticResult result;
    if (message.type != kDiagnosticResultMessage || message.run_id != run_id) continue;
    if (MessageFromJson(message.payload, result).ok() && result.diagnostic() == diagnostic) newest = result;
  }
  return newest;
}

void UnitUnderTest::PublishKeySets(const std::vector<std::string>& envelopes) {
  PublishMessage(UnitTopics(kNamespace, kUnit).key_sets, kKeySetsMessage, ValueOrDie(SerializeKeySets(envelopes)),
                 /*retained=*/true);
}

void UnitUnderTest::PublishMessage(const std::string& topic, const std::string& type, const std::string& payload,
                                   bool retained) {
  MessageEnvelope envelope;
  envelope.msg_id = NewMessageId();
  envelope.type = type;
  envelope.ts = absl::Now();
  envelope.payload = payload;
  const MqttMessage message{
      .topic = topic, .payload = ValueOrDie(EncodeMessage(envelope)), .retained = retained, .expiry = {}};
  const bool published =
      WaitFor([&] { return cloud_->PublishAndWait(message, absl::Seconds(2)).ok(); }, absl::Seconds(20));
  if (!published) std::abort();
}

std::vector<std::string> UnitUnderTest::FeedbackStates() {
  std::lock_guard lock(mutex_);
  std::vector<std::string> states;
  std::vector<uint64_t> seen;
  for (const MessageEnvelope& message : feedback_) {
    if (message.type != kFeedbackMessage) continue;
    const uint64_t order = message.epoch << 32 | message.seq;
    if (std::find(seen.begin(), seen.end(), order) != seen.end()) continue;
    seen.push_back(order);
    unit::v1::Feedback feedback;
    if (MessageFromJson(message.payload, feedback).ok()) states.push_back(feedback.state());
  }
  return states;
}

std::string UnitUnderTest::FeedbackReason(const std::string& state) {
  std::lock_guard lock(mutex_);
  std::string reason;
  for (const MessageEnvelope& message : feedback_) {
    unit::v1::Feedback feedback;
    if (message.type == kFeedbackMessage && MessageFromJson(message.payload, feedback).ok() &&
        feedback.state() == state) {
      reason = feedback.reason();
    }
  }
  return reason;
}

bool UnitUnderTest::HasFeedback(const std::string& state) {
  const std::vector<std::string> states = FeedbackStates();
  return std::find(states.begin(), states.end(), state) != states.end();
}

std::optional<local::v1::UnitStatus> UnitUnderTest::Status() {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  context.set_wait_for_ready(true);
  local::v1::UnitStatus status;
  if (!local_->GetStatus(&context, {}, &status).ok()) return std::nullopt;
  return status;
}

std::string UnitUnderTest::Phase() {
  const auto status = Status();
  return status.has_value() ? status->phase() : "";
}

std::string UnitUnderTest::Version(const std::string& node_id) {
  const auto status = Status();
  if (!status.has_value()) return "";
  for (const auto& um : status->ums()) {
    if (um.node_id() == node_id && !um.components().empty()) return um.components(0).version();
  }
  return "";
}

std::string UnitUnderTest::UmState(const std::string& node_id) {
  const auto status = Status();
  if (!status.has_value()) return "";
  for (const auto& um : status->ums()) {
    if (um.node_id() == node_id && um.connected()) return um.state();
  }
  return "";
}

bool UnitUnderTest::WaitFor(const std::function<bool()>& condition, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (absl::Now() < deadline) {
    Supervise();
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

bool UnitUnderTest::WaitForPhase(const std::string& phase) {
  return WaitFor([&] { return Phase() == phase; });
}

bool UnitUnderTest::WaitForOutcome(const std::string& outcome) {
  const bool ended = WaitFor(
      [&] {
        const auto status = Status();
        return status.has_value() && status->phase() == "Idle" && status->last_update().sequence() == sequence_ &&
               status->last_update().outcome() != "running";
      },
      absl::Seconds(60));
  const auto status = Status();
  return ended && status.has_value() && status->last_update().outcome() == outcome;
}

std::string UnitUnderTest::Story() {
  std::string story;
  const auto status = Status();
  if (status.has_value()) absl::StrAppend(&story, "\n--- status ---\n", status->DebugString());
  absl::StrAppend(&story, "\n--- tandem-cm ---\n", ReadText(folder_ + "/cm.log"));
  for (const auto& [node_id, um] : ums_) {
    absl::StrAppend(&story, "\n--- ", node_id, " ---\n", ReadText(absl::StrCat(folder_, "/", node_id, ".log")));
  }
  return story;
}

}  // namespace tandem
