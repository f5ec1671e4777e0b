// deploy: one unit, without a fleet
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/crypto/dsse.h"
#include "common/crypto/sha256.h"
#include "common/crypto/signed_metadata.h"
#include "common/net/message_envelope.h"
#include "common/net/mqtt_client.h"
#include "common/status/status.h"
#include "tandem/release/v1/release.pb.h"
#include "tandem/unit/v1/unit.pb.h"
#include "tools/release/command.h"

namespace tandem::release_tool {
namespace {

using release::v1::Assignment;
using release::v1::Release;

struct DeployOptions {
  DocumentOptions documents;
  std::string broker;
  std::string ca;
  std::string certificate;
  std::string key;
  std::string username;
  std::string password_file;
  std::string timeout = "1h";
  std::string verdict;
  std::vector<std::string> signers;
  bool publish_only = false;
};

// Messages from the client's threads to this one.
class Inbox {
 public:
  void Put(MqttMessage message) {
    std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    wake_.notify_all();
  }
  void SetConnection(bool connected, const std::string& reason) {
    std::lock_guard lock(mutex_);
    if (!connected && reason != reason_) std::cerr << reason << "\n";
    connected_ = connected;
    reason_ = reason;
    wake_.notify_all();
  }
  bool WaitForConnection(absl::Time deadline) {
    std::unique_lock lock(mutex_);
    return wake_.wait_until(lock, absl::ToChronoTime(deadline), [this] { return connected_; });
  }
  std::optional<MqttMessage> Take(absl::Time deadline) {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_until(lock, absl::ToChronoTime(deadline), [this] { return !messages_.empty(); })) {
      return std::nullopt;
    }
    MqttMessage message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<MqttMessage> messages_;
  bool connected_ = false;
  std::string reason_;
};

// The least a cloud does for one unit: hears it out, acknowledges, answers a provisional report, and knows the end.
class Deployment {
 public:
  Deployment(Assignment assignment, std::vector<Release> releases, std::string verdict, std::vector<PrivateKey> signers,
             MqttClient& client)
      : assignment_(std::move(assignment)),
        releases_(std::move(releases)),
        verdict_(std::move(verdict)),
        signers_(std::move(signers)),
        topics_(assignment_.namespace_(), assignment_.unit_id()),
        client_(client) {}

  // The result once there is one.
  std::optional<absl::Status> Handle(const MqttMessage& message) {
    absl::StatusOr<MessageEnvelope> envelope = DecodeMessage(message.payload);
    if (!envelope.ok()) {
      std::cerr << message.topic << ": " << ToPersonText(envelope.status()) << "\n";
      return std::nullopt;
    }
    const bool acknowledged = envelope->type == kFeedbackMessage || envelope->type == kAppliedMessage ||
                              envelope->type == kProvisionalMessage;
    // Acknowledged every time, told once: a repeat means that the ack did not arrive.
    if (acknowledged) Acknowledge(envelope->msg_id);
    const bool repeated = !seen_.insert(envelope->msg_id).second;
    // The verdict may have been lost on its way.
    if (repeated && envelope->type != kProvisionalMessage) return std::nullopt;
    if (envelope->type == kFeedbackMessage) return HandleFeedback(*envelope);
    if (envelope->type == kAppliedMessage) return HandleApplied(*envelope);
    if (envelope->type == kProvisionalMessage) return HandleProvisional(*envelope);
    if (envelope->type == kReportedMessage) return HandleReported(*envelope);
    if (envelope->type == kPresenceMessage) HandlePresence(*envelope);
    return std::nullopt;
  }

 private:
  template <typename Report>
  bool IsOurs(const Report& report) const {
    return report.sequence() == assignment_.sequence() && report.attempt() == assignment_.attempt();
  }

  // What of a report is not as assigned; empty: it runs all of it. A sequence that the unit has taken before, with
  // other releases, is reported as ours, too.
  template <typename Report>
  std::string Difference(const Report& report) const {
    std::map<std::string, unit::v1::PlaneReport> planes;
    for (const auto& plane : report.planes()) planes[plane.plane()] = plane;
    for (const auto& wanted : assignment_.planes()) {
      const std::string name = release::v1::Plane_Name(wanted.plane());
      const unit::v1::PlaneReport& plane = planes[name];
      if (plane.release_digest() == HexEncode(wanted.release_digest())) continue;
      return absl::StrCat(
          name, " is on ",
          plane.release_digest().empty() ? "no release" : absl::StrCat("release \"", plane.release_id(), "\""));
    }
    for (const auto& component : report.components()) {
      std::set<std::string> wanted;
      for (const Release& release : releases_) {
        for (const auto& part : release.components()) {
          const bool it = part.component_type() == component.component_type() &&
                          (part.component_id().empty() || part.component_id() == component.component_id());
          if (it && Assigned(part.plane())) wanted.insert(part.version());
        }
      }
      if (wanted.empty() || wanted.contains(component.version())) continue;
      return absl::StrCat(component.component_id(), " is on ", component.version(), ", not on ",
                          absl::StrJoin(wanted, " or "));
    }
    return "";
  }

  bool Assigned(release::v1::Plane plane) const {
    return std::ranges::any_of(assignment_.planes(), [&](const auto& wanted) { return wanted.plane() == plane; });
  }

  void Tell(const std::string& state, const std::string& text) {
    std::cout << absl::FormatTime("%H:%M:%S", absl::Now(), absl::LocalTimeZone()) << "  " << state
              << std::string(state.size() < 14 ? 14 - state.size() : 1, ' ') << text << std::endl;
  }

  std::optional<absl::Status> HandleFeedback(const MessageEnvelope& envelope) {
    unit::v1::Feedback feedback;
    if (!MessageFromJson(envelope.payload, feedback).ok()) return std::nullopt;
    if (feedback.state() == "refused" && feedback.sequence() == 0) {
      // Of what the unit could not read, or an older CM's: maybe ours.
      Tell(feedback.state(), feedback.reason());
      return std::nullopt;
    }
    if (!IsOurs(feedback)) return std::nullopt;
    Tell(feedback.state(), feedback.reason());
    if (feedback.state() == "refused" || feedback.state() == "reverted" || feedback.state() == "needs_service") {
      return absl::FailedPreconditionError(absl::StrCat("the unit says ", feedback.state(), ": ", feedback.reason()));
    }
    return std::nullopt;
  }

  std::optional<absl::Status> HandleApplied(const MessageEnvelope& envelope) {
    unit::v1::Applied applied;
    if (!MessageFromJson(envelope.payload, applied).ok() || !IsOurs(applied)) return std::nullopt;
    std::vector<std::string> versions;
    for (const auto& component : applied.components()) {
      versions.push_back(absl::StrCat(component.component_id(), " ", component.version()));
    }
    if (const std::string difference = Difference(applied); !difference.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("nothing was done: the unit has taken sequence ", assignment_.sequence(), " attempt ",
                       assignment_.attempt(), " before, and now ", difference, "; assign with a higher --sequence"));
    }
    Tell("applied", absl::StrJoin(versions, ", "));
    return absl::OkStatus();
  }

  std::optional<absl::Status> HandleProvisional(const MessageEnvelope& envelope) {
    unit::v1::Applied provisional;
    if (!MessageFromJson(envelope.payload, provisional).ok() || !IsOurs(provisional)) return std::nullopt;
    if (verdict_.empty()) {
      Tell("provisional", "the unit waits for a verdict; --verdict gives it");
      return std::nullopt;
    }
    Tell("provisional", "verdict: " + verdict_);
    release::v1::Verdict verdict;
    verdict.set_namespace_(assignment_.namespace_());
    verdict.set_unit_id(assignment_.unit_id());
    SetTime(verdict.mutable_issued_at(), absl::Now());
    verdict.set_sequence(assignment_.sequence());
    verdict.set_attempt(assignment_.attempt());
    verdict.set_verified(verdict_ == "verified");
    verdict.set_reason("by tandem-release deploy");
    const absl::StatusOr<std::string> sealed = SealDocument(verdict, kVerdictType, signers_);
    if (!sealed.ok()) return sealed.status();
    Send(topics_.verdict, kVerdictMessage, *sealed);
    return std::nullopt;
  }

  // A unit that had this assignment before only reports again; then its state is the answer.
  std::optional<absl::Status> HandleReported(const MessageEnvelope& envelope) {
    unit::v1::Reported reported;
    if (!MessageFromJson(envelope.payload, reported).ok() || !IsOurs(reported) || reported.phase() != "Idle") {
      return std::nullopt;
    }
    if (!Difference(reported).empty()) return std::nullopt;
    Tell("installed", "the unit runs what is assigned");
    return absl::OkStatus();
  }

  void HandlePresence(const MessageEnvelope& envelope) {
    unit::v1::Presence presence;
    if (!MessageFromJson(envelope.payload, presence).ok()) return;
    Tell(presence.online() ? "online" : "offline", absl::StrCat("boot ", presence.boot_id()));
  }

  void Acknowledge(const std::string& msg_id) {
    unit::v1::Ack ack;
    ack.add_msg_ids(msg_id);
    Send(topics_.ack, kAckMessage, ack);
  }

  void Send(const std::string& topic, const char* type, const google::protobuf::Message& payload) {
    absl::StatusOr<std::string> json = MessageToJson(payload);
    if (json.ok()) Send(topic, type, *json);
  }

  void Send(const std::string& topic, const char* type, const std::string& json) {
    absl::StatusOr<std::string> text =
        EncodeMessage({.msg_id = NewMessageId(), .type = type, .ts = absl::Now(), .payload = json});
    // What gets lost is asked for again: the unit repeats until it is acknowledged.
    if (text.ok()) client_.Publish({.topic = topic, .payload = *text}).IgnoreError();
  }

  const Assignment assignment_;
  const std::vector<Release> releases_;
  const std::string verdict_;
  const std::vector<PrivateKey> signers_;
  const UnitTopics topics_;
  MqttClient& client_;
  std::set<std::string> seen_;
};

absl::StatusOr<Assignment> ReadAssignment(const DesiredEnvelopes& documents) {
  ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(documents.assignment));
  Assignment assignment;
  if (envelope.payload_type != kAssignmentType || !assignment.ParseFromString(envelope.payload)) {
    return absl::InvalidArgumentError("the assignment cannot be read");
  }
  RETURN_IF_ERROR(CheckAssignment(assignment));
  return assignment;
}

absl::StatusOr<std::vector<Release>> ReadReleases(const DesiredEnvelopes& documents) {
  std::vector<Release> releases;
  for (const std::string& text : documents.releases) {
    ASSIGN_OR_RETURN(const DsseEnvelope envelope, ParseDsse(text));
    if (envelope.payload_type != kReleaseType || !releases.emplace_back().ParseFromString(envelope.payload)) {
      return absl::InvalidArgumentError("a release cannot be read");
    }
  }
  return releases;
}

absl::StatusOr<MqttOptions> MqttOptionsFrom(const DeployOptions& options) {
  MqttOptions mqtt{.url = options.broker,
                   .client_id = "tandem-release-" + NewMessageId(),
                   .ca_file = options.ca,
                   .certificate_file = options.certificate,
                   .key_file = options.key,
                   .username = options.username};
  if (!options.password_file.empty()) {
    ASSIGN_OR_RETURN(mqtt.password, ReadInput(options.password_file));
    while (!mqtt.password.empty() && mqtt.password.back() == '\n') mqtt.password.pop_back();
  }
  mqtt.backoff.max = absl::Seconds(5);
  return mqtt;
}

absl::Status PublishDesired(const DesiredEnvelopes& documents, const Assignment& assignment, MqttClient& client) {
  const UnitTopics topics(assignment.namespace_(), assignment.unit_id());
  const auto publish = [&](const std::string& topic, const char* type, const std::string& payload, bool retained) {
    absl::StatusOr<std::string> text =
        EncodeMessage({.msg_id = NewMessageId(), .type = type, .ts = absl::Now(), .payload = payload});
    if (!text.ok()) return text.status();
    // A unit that is away finds the retained state; a wake-up is for now only.
    const absl::Duration expiry = retained ? absl::ZeroDuration() : absl::Minutes(10);
    return client.PublishAndWait({.topic = topic, .payload = *text, .retained = retained, .expiry = expiry},
                                 absl::Seconds(30));
  };
  if (!documents.key_sets.empty()) {
    ASSIGN_OR_RETURN(const std::string key_sets, SerializeKeySets(documents.key_sets));
    RETURN_IF_ERROR(publish(topics.key_sets, kKeySetsMessage, key_sets, /*retained=*/true));
  }
  ASSIGN_OR_RETURN(const std::string desired, SerializeDesired(documents));
  RETURN_IF_ERROR(publish(topics.desired, kDesiredMessage, desired, /*retained=*/true));
  unit::v1::Wake wake;
  wake.set_sequence(assignment.sequence());
  ASSIGN_OR_RETURN(const std::string payload, MessageToJson(wake));
  return publish(topics.wake, kWakeMessage, payload, /*retained=*/false);
}

absl::Status Deploy(const DeployOptions& options) {
  ASSIGN_OR_RETURN(const DesiredEnvelopes documents, ReadDocuments(options.documents));
  ASSIGN_OR_RETURN(const Assignment assignment, ReadAssignment(documents));
  ASSIGN_OR_RETURN(const std::vector<Release> releases, ReadReleases(documents));
  ASSIGN_OR_RETURN(const absl::Duration timeout, ParseDurationText(options.timeout));
  ASSIGN_OR_RETURN(MqttOptions mqtt, MqttOptionsFrom(options));
  ASSIGN_OR_RETURN(std::vector<PrivateKey> signers, LoadPrivateKeys(options.signers));
  const absl::Time deadline = absl::Now() + timeout;
  const UnitTopics topics(assignment.namespace_(), assignment.unit_id());

  Inbox inbox;
  ASSIGN_OR_RETURN(
      std::unique_ptr<MqttClient> client,
      MqttClient::Create(std::move(mqtt),
                         {.connected = [&] { inbox.SetConnection(true, ""); },
                          .disconnected = [&](const std::string& reason) { inbox.SetConnection(false, reason); },
                          .message = [&](MqttMessage message) { inbox.Put(std::move(message)); }}));
  for (const std::string& topic :
       {topics.feedback, topics.applied, topics.provisional, topics.reported, topics.presence}) {
    client->Subscribe(topic);
  }
  client->Start();
  if (!inbox.WaitForConnection(deadline)) {
    return absl::DeadlineExceededError(absl::StrCat("no connection to ", options.broker, " within ", options.timeout));
  }
  RETURN_IF_ERROR(PublishDesired(documents, assignment, *client));
  std::cout << "published assignment " << assignment.sequence() << " attempt " << assignment.attempt() << " for "
            << assignment.unit_id() << std::endl;
  if (options.publish_only) return absl::OkStatus();

  Deployment deployment(assignment, releases, options.verdict, std::move(signers), *client);
  for (;;) {
    const std::optional<MqttMessage> message = inbox.Take(deadline);
    if (!message.has_value()) {
      return absl::DeadlineExceededError(
          absl::StrCat("the unit has not finished within ", options.timeout,
                       "; the desired state stays published, and the unit goes on with it"));
    }
    if (const std::optional<absl::Status> result = deployment.Handle(*message); result.has_value()) return *result;
  }
}

}  // namespace

void AddDeployCommand(CLI::App& app) {
  auto& options = Own<DeployOptions>();
  CLI::App* deploy = AddCommand(app, "deploy", "Brings one unit to a desired state and watches it, without a fleet", R"(
Example:
  tandem-release deploy --broker mqtts://broker.example.com:8883 --ca ca.pem --cert me.pem --cert-key me.key \
      --assignment assignment.json --release site/releases/gw-2.json --list list.json --key-set keys-1.json
Exit codes, for scripts: 0 the unit runs what is assigned; 1 it refused or reverted it, needs service, has taken this
sequence before with another release, or did not finish in time: the last line says which.)",
                                [&options] { return Deploy(options); });
  AddDocumentOptions(*deploy, options.documents);
  deploy->add_option("--broker", options.broker, "mqtts://host:8883, or mqtt://localhost:1883")->required();
  deploy->add_option("--ca", options.ca, "PEM file: CA of the broker; default: the system's");
  deploy->add_option("--cert", options.certificate, "PEM file: client certificate");
  deploy->add_option("--cert-key", options.key, "PEM file: its key");
  deploy->add_option("--username", options.username, "at the broker");
  deploy->add_option("--password-file", options.password_file, "file with the password");
  deploy->add_option("--timeout", options.timeout, "how long to watch, such as 30m")->capture_default_str();
  CLI::Option* const signers =
      deploy->add_option("--key", options.signers, "private assignment keys that sign the verdict");
  deploy->add_option("--verdict", options.verdict, "answer to a provisional report (commit_on: verified)")
      ->check(CLI::IsMember({"verified", "rejected"}))
      ->needs(signers);
  deploy->add_flag("--publish-only", options.publish_only, "do not watch the unit");
}

}  // namespace tandem::release_tool
