#include "fleet/messaging/mqtt_unit_link.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/message_envelope.h"
#include "common/net/pending_publishes.h"
#include "common/status/status.h"
#include "fleet/messaging/retained_pass.h"

namespace tandem::fleet {
namespace {

// Wakes, verdicts and acknowledgements that wait for the broker, besides what has an answer.
constexpr int kMaxBuffered = 20'000;
// The broker's answers come on the connection that brings what units say, behind all of it: with a busy fleet a quarter
// of a second later, so few in flight would be few in a second.
constexpr int kInFlight = 1000;
constexpr size_t kAcknowledgeAtOnce = 1000;

absl::StatusOr<std::string> Encode(const char* type, std::string payload) {
  // epoch and seq stay 0: what the fleet says is ordered by the sequence numbers of what is signed.
  return EncodeMessage({.msg_id = NewMessageId(), .type = type, .ts = absl::Now(), .payload = std::move(payload)});
}

absl::StatusOr<std::string> Encode(const char* type, const google::protobuf::Message& payload) {
  ASSIGN_OR_RETURN(std::string json, MessageToJson(payload));
  return Encode(type, std::move(json));
}

}  // namespace

struct MqttUnitLink::Impl {
  explicit Impl(MqttUnitLinkOptions impl_options) : options(std::move(impl_options)) {}

  MqttHandlers Handlers() {
    return {.connected = [this] { HandleConnection(true, ""); },
            .disconnected = [this](const std::string& reason) { HandleConnection(false, reason); },
            .message = [this](MqttMessage message) { intake->Take(std::move(message), Intake::Lane::kLive); }};
  }

  void HandleConnection(bool now_connected, const std::string& reason) {
    bool changed = false;
    {
      std::lock_guard lock(mutex);
      changed = connected != now_connected || error != reason;
      connected = now_connected;
      error = reason;
    }
    if (now_connected && pass != nullptr) pass->Request();
    // Told when it goes, and when the reason changes; not for each attempt.
    if (changed && callbacks.connection) callbacks.connection(now_connected, reason);
  }

  absl::Status Publish(const absl::StatusOr<MqttMessage>& message) {
    RETURN_IF_ERROR(message.status());
    if (client == nullptr) return absl::UnavailableError("the link is not started");
    RETURN_IF_ERROR(client->Publish(*message));
    ++published;
    return absl::OkStatus();
  }

  void PublishWithAnswer(const absl::StatusOr<MqttMessage>& message, Done done) {
    if (!message.ok())
      return refused.Complete(refused.Add(absl::InfiniteDuration(), std::move(done)), message.status());
    if (client == nullptr) {
      return refused.Complete(refused.Add(absl::InfiniteDuration(), std::move(done)),
                              absl::UnavailableError("the link is not started"));
    }
    client->PublishWithAnswer(*message, [this, done = std::move(done)](const absl::Status& status) {
      if (status.ok()) ++published;
      done(status);
    });
  }

  // A message to one unit.
  template <typename Payload>
  absl::StatusOr<MqttMessage> ToUnit(const std::string& unit_id, std::string UnitTopics::*topic, const char* type,
                                     const Payload& payload) {
    RETURN_IF_ERROR(CheckTopicLevel(unit_id, "unit id"));
    ASSIGN_OR_RETURN(std::string json, Encode(type, payload));
    return MqttMessage{.topic = UnitTopics(options.name_space, unit_id).*topic, .payload = std::move(json)};
  }

  const MqttUnitLinkOptions options;
  UnitLinkCallbacks callbacks;
  mutable std::mutex mutex;
  bool connected = false;
  std::string error;
  std::atomic<uint64_t> published = 0;
  // Answers to what cannot even be handed over.
  PendingPublishes refused;
  // Made by Start(), and kept after Stop(): state() reads them.
  std::unique_ptr<Intake> intake;
  std::unique_ptr<MqttClient> client;
  std::unique_ptr<RetainedPass> pass;
};

MqttUnitLink::MqttUnitLink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<MqttUnitLink>> MqttUnitLink::Create(MqttUnitLinkOptions options) {
  RETURN_IF_ERROR(CheckTopicLevel(options.name_space, "namespace"));
  RETURN_IF_ERROR(CheckTopicLevel(options.group, "group"));
  if (options.max_in_flight < 1) return absl::InvalidArgumentError("max_in_flight must be at least 1");
  options.mqtt.client_id = absl::StrCat(options.group, "-", NewMessageId());
  options.mqtt.session_expiry = absl::ZeroDuration();
  options.mqtt.will = nullptr;
  options.mqtt.max_in_flight = std::max({options.max_in_flight, options.mqtt.max_in_flight, kInFlight});
  options.mqtt.max_buffered = std::max(options.max_in_flight + kMaxBuffered, options.mqtt.max_buffered);
  options.intake.name_space = options.name_space;
  auto impl = std::make_unique<Impl>(std::move(options));
  ASSIGN_OR_RETURN(impl->client, MqttClient::Create(impl->options.mqtt, impl->Handlers()));
  return std::unique_ptr<MqttUnitLink>(new MqttUnitLink(std::move(impl)));
}

MqttUnitLink::~MqttUnitLink() { Stop(); }

absl::Status MqttUnitLink::Start(UnitLinkCallbacks callbacks) {
  if (impl_->intake != nullptr) return absl::FailedPreconditionError("the link was started before");
  const std::string& ns = impl_->options.name_space;
  impl_->callbacks = callbacks;
  impl_->intake = std::make_unique<Intake>(impl_->options.intake, std::move(callbacks));
  const std::string reported = absl::StrCat(ns, "/+/reported");
  const std::string presence = absl::StrCat(ns, "/+/presence");
  if (impl_->options.read_retained) {
    impl_->pass = std::make_unique<RetainedPass>(
        RetainedPassOptions{
            .mqtt = impl_->options.mqtt, .filters = {reported, presence}, .quiet = impl_->options.retained_quiet},
        [impl = impl_.get()](MqttMessage message) { impl->intake->Take(std::move(message), Intake::Lane::kRetained); });
  }
  const std::string release = absl::StrCat(ns, "/+/release/");
  for (const std::string& filter : {reported, presence, release + "feedback", release + "provisional",
                                    release + "applied", absl::StrCat(ns, "/+/diagnostics/result")}) {
    impl_->client->Subscribe(absl::StrCat("$share/", impl_->options.group, "/", filter), /*qos=*/1, /*retained=*/false);
  }
  impl_->client->Start();
  return absl::OkStatus();
}

void MqttUnitLink::Stop() {
  impl_->client->Stop();
  impl_->pass = nullptr;
  if (impl_->intake != nullptr) impl_->intake->Stop();
  impl_->refused.Stop();
  std::lock_guard lock(impl_->mutex);
  impl_->connected = false;
}

int MqttUnitLink::MaxInFlight() const { return impl_->options.max_in_flight; }

void MqttUnitLink::PublishDesired(const std::string& unit_id, const std::string& documents, Done done) {
  absl::StatusOr<MqttMessage> message = impl_->ToUnit(unit_id, &UnitTopics::desired, kDesiredMessage, documents);
  if (message.ok()) message->retained = true;
  impl_->PublishWithAnswer(message, std::move(done));
}

void MqttUnitLink::ClearDesired(const std::string& unit_id, Done done) {
  absl::StatusOr<MqttMessage> message =
      MqttMessage{.topic = UnitTopics(impl_->options.name_space, unit_id).desired, .retained = true};
  if (absl::Status status = CheckTopicLevel(unit_id, "unit id"); !status.ok()) message = std::move(status);
  impl_->PublishWithAnswer(message, std::move(done));
}

absl::Status MqttUnitLink::Wake(const std::string& unit_id, uint64_t sequence, absl::Duration expiry) {
  unit::v1::Wake wake;
  wake.set_sequence(sequence);
  absl::StatusOr<MqttMessage> message = impl_->ToUnit(unit_id, &UnitTopics::wake, kWakeMessage, wake);
  if (message.ok()) message->expiry = expiry;
  return Annotate(impl_->Publish(message), absl::StrCat("wake ", unit_id));
}

absl::Status MqttUnitLink::PublishVerdict(const std::string& unit_id, const std::string& envelope) {
  return Annotate(impl_->Publish(impl_->ToUnit(unit_id, &UnitTopics::verdict, kVerdictMessage, envelope)),
                  absl::StrCat("verdict for ", unit_id));
}

void MqttUnitLink::PublishDiagnostic(const std::string& unit_id, const std::string& command, absl::Duration expiry,
                                     Done done) {
  absl::StatusOr<MqttMessage> message =
      impl_->ToUnit(unit_id, &UnitTopics::diagnostics_command, kDiagnosticRunMessage, command);
  if (message.ok()) message->expiry = expiry;
  impl_->PublishWithAnswer(message, std::move(done));
}

absl::Status MqttUnitLink::Acknowledge(const std::string& unit_id, const std::vector<std::string>& msg_ids) {
  for (size_t at = 0; at < msg_ids.size(); at += kAcknowledgeAtOnce) {
    unit::v1::Ack ack;
    const size_t end = std::min(msg_ids.size(), at + kAcknowledgeAtOnce);
    for (size_t i = at; i < end; ++i) ack.add_msg_ids(msg_ids[i]);
    RETURN_IF_ERROR(Annotate(impl_->Publish(impl_->ToUnit(unit_id, &UnitTopics::ack, kAckMessage, ack)),
                             absl::StrCat("acknowledge to ", unit_id)));
  }
  return absl::OkStatus();
}

void MqttUnitLink::PublishKeySets(const std::string& key_sets, Done done) {
  absl::StatusOr<std::string> json = Encode(kKeySetsMessage, key_sets);
  absl::StatusOr<MqttMessage> message = MqttMessage();
  if (!json.ok()) {
    message = json.status();
  } else {
    message = MqttMessage{
        .topic = absl::StrCat(impl_->options.name_space, "/keysets"), .payload = *std::move(json), .retained = true};
  }
  impl_->PublishWithAnswer(message, std::move(done));
}

UnitLinkState MqttUnitLink::state() const {
  std::lock_guard lock(impl_->mutex);
  UnitLinkState state{.connected = impl_->connected, .error = impl_->error, .endpoint = impl_->options.mqtt.url};
  state.published = impl_->published;
  if (impl_->intake == nullptr) return state;
  state.received = impl_->intake->received();
  state.unreadable = impl_->intake->unreadable();
  state.dropped = impl_->intake->dropped();
  return state;
}

}  // namespace tandem::fleet
