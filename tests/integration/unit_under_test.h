// A unit made of real processes: tandem-cm, one tandem-mock-um per UM, a real Mosquitto, and a cloud that signs.
//
//   UnitUnderTest unit;
//   unit.AddUm({.node_id = "model", .priority = 10});
//   unit.Start();
//   unit.Assign({{"model", "2.0"}});
//   ASSERT_TRUE(unit.WaitForOutcome("applied"));
#ifndef TANDEM_TESTS_INTEGRATION_UNIT_UNDER_TEST_H_
#define TANDEM_TESTS_INTEGRATION_UNIT_UNDER_TEST_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/net/message_envelope.h"
#include "common/net/mqtt_client.h"
#include "tandem/local/v1/local.grpc.pb.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tests/support/certificates.h"
#include "tests/support/child_process.h"
#include "tests/support/mosquitto.h"
#include "tests/support/test_documents.h"

namespace tandem {

struct UmSpec {
  std::string node_id;
  uint32_t priority = 10;
  bool switches_boot = false;
  // YAML lines of the phases, such as "start: {fail: broken}"; each is indented by the fixture.
  std::vector<std::string> behaviour;
  std::string version = "1.0";
  // Not in CM's configuration.
  bool unknown = false;
  // In CM's configuration, but played by the test itself: there is no process.
  bool played = false;
  // On another computer: registers over TCP, with a certificate for its node_id.
  std::string computer = {};
  // In CM's configuration, such as "aos8".
  std::string profile = {};
  // Prepare fetches the artifact for real.
  bool download = false;
  // A real tandem-um with the payload plugin; `behaviour` are then lines of its component.
  bool payload = false;
};

class UnitUnderTest {
 public:
  // `cm_extra`: more YAML for CM's configuration.
  explicit UnitUnderTest(std::string cm_extra = "");
  ~UnitUnderTest();
  UnitUnderTest(const UnitUnderTest&) = delete;
  UnitUnderTest& operator=(const UnitUnderTest&) = delete;

  // CM also listens on TCP, for UMs of other computers. Before AddUm().
  void ListenOnTcp();
  void AddUm(UmSpec spec);
  // Broker, cloud, CM and all UMs.
  void Start();
  // All processes at once, by SIGKILL; PowerOn() brings them back.
  void PowerCut();
  void PowerOn();
  void StartCm();
  void KillCm();
  void StartUm(const std::string& node_id);
  // Stays away until StartUm().
  void KillUm(const std::string& node_id);
  // By SIGKILL, and up again at the next look.
  void RestartUm(const std::string& node_id);
  // Writes the behaviour anew; counts when the process starts the next time.
  void SetBehaviour(const std::string& node_id, std::vector<std::string> behaviour);

  // --- the cloud ---
  // Publishes a desired state that wants these versions (node id -> version) and returns its sequence.
  uint64_t Assign(const std::map<std::string, std::string>& versions, uint32_t attempt = 1);
  // The same with everything a test may want to change before it is signed.
  uint64_t Assign(const std::map<std::string, std::string>& versions,
                  const std::function<void(release::v1::Assignment&, release::v1::Release&)>& change);
  void Publish(const DesiredEnvelopes& desired);
  // `payload`: JSON.
  void PublishMessage(const std::string& topic, const std::string& type, const std::string& payload, bool retained);
  // The fleet's verdict on the newest assignment's update.
  void PublishVerdict(bool verified, const std::string& reason);
  release::v1::Verdict VerdictOf(bool verified, const std::string& reason) const;
  void PublishVerdict(const std::string& envelope);
  // Of the newest release.
  release::v1::DiagnosticCommand DiagnosticCommandOf(const std::string& diagnostic, const std::string& run_id) const;
  void OrderDiagnostic(const std::string& envelope);
  void OrderDiagnostic(const std::string& diagnostic, const std::string& run_id) {
    OrderDiagnostic(maker_.Seal(DiagnosticCommandOf(diagnostic, run_id)));
  }
  unit::v1::Reported LastReported();
  std::optional<unit::v1::DiagnosticResult> DiagnosticResultOf(const std::string& diagnostic,
                                                               const std::string& run_id);
  void PublishKeySets(const std::vector<std::string>& envelopes);
  DesiredEnvelopes MakeDesired(const std::map<std::string, std::string>& versions, uint64_t sequence,
                               const std::function<void(release::v1::Assignment&, release::v1::Release&)>& change);
  // States of the feedback messages so far, each once, in their order.
  std::vector<std::string> FeedbackStates();
  // The reason of the last feedback with this state.
  std::string FeedbackReason(const std::string& state);
  bool HasFeedback(const std::string& state);
  void StopAcks() { acks_ = false; }
  // Where assignments say that the artifacts are; default: nowhere.
  void SetBaseUrls(std::vector<std::string> urls) { base_urls_ = std::move(urls); }
  // The artifact's bytes; by default a few that tell what they are.
  void SetContent(const std::string& node_id, const std::string& version, const std::string& content);
  std::string Content(const std::string& node_id, const std::string& version) const;
  // Below the base URLs.
  std::string ArtifactPath(const std::string& node_id, const std::string& version) const;

  // --- what the unit says ---
  std::optional<local::v1::UnitStatus> Status();
  std::string Phase();
  // nullopt as long as nothing ended.
  std::string Version(const std::string& node_id);
  std::string UmState(const std::string& node_id);
  local::v1::LocalService::StubInterface& local() { return *local_; }

  // Polls, and restarts programs that "rebooted" or crashed, until `condition` holds.
  bool WaitFor(const std::function<bool()>& condition, absl::Duration timeout = absl::Seconds(30));
  bool WaitForPhase(const std::string& phase);
  // The update with the newest sequence ended like this.
  bool WaitForOutcome(const std::string& outcome);

  // Everything a reader of a failed test wants.
  std::string Story();

  // A program of this build.
  static std::string Program(const std::string& name);
  std::string um_unix_address() const { return "unix:" + folder_ + "/um.sock"; }
  // With ListenOnTcp().
  std::string um_tcp_address() const;
  // Of CM, and of UMs on other computers, in files that a test may replace: {tls_folder}/ca.pem, cm.pem, cm.key,
  // {node_id}.pem, {node_id}.key.
  std::string tls_folder() const { return folder_ + "/tls"; }
  // Certificates of another CA take the place of all that are there.
  void RotateCertificates();
  TestCertificates& certificates() { return *certificates_; }
  pid_t um_pid(const std::string& node_id) const { return ums_.at(node_id).process->pid(); }
  pid_t cm_pid() const { return cm_->pid(); }
  std::string cm_log() const;

  const std::string& folder() const { return folder_; }
  TestMaker& maker() { return maker_; }
  Mosquitto& broker() { return *broker_; }
  uint64_t sequence() const { return sequence_; }

 private:
  struct Um {
    UmSpec spec;
    std::unique_ptr<ChildProcess> process;
    bool wanted = false;
  };

  void WriteCertificates();
  void WriteCmConfig();
  void WriteUmConfig(const Um& um);
  void Supervise();
  void ConnectCloud();

  std::string folder_;
  const std::string cm_extra_;
  int tcp_port_ = 0;
  std::unique_ptr<TestCertificates> certificates_;
  std::vector<std::string> base_urls_;
  // By node_id and version.
  std::map<std::pair<std::string, std::string>, std::string> contents_;
  TestMaker maker_;
  std::unique_ptr<Mosquitto> broker_;
  std::unique_ptr<MqttClient> cloud_;
  std::unique_ptr<ChildProcess> cm_;
  bool cm_wanted_ = false;
  std::map<std::string, Um> ums_;
  std::unique_ptr<local::v1::LocalService::StubInterface> local_;
  uint64_t sequence_ = 0;
  // Of the newest desired state that was made.
  std::string release_digest_;
  bool acks_ = true;

  std::mutex mutex_;
  std::vector<MessageEnvelope> feedback_;
};

}  // namespace tandem

#endif  // TANDEM_TESTS_INTEGRATION_UNIT_UNDER_TEST_H_
