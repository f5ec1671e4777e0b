#include "cm/cloud/mqtt_bridge.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/config/yaml_config.h"
#include "common/crypto/desired_documents.h"
#include "common/log/log.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "common/storage/durable_record.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {
namespace {

constexpr int kSendAtOnce = 50;
constexpr uint64_t kMaxPasswordFile = 4096;

// A redelivered desired state is answered with the same report again; one that waits already is enough.
std::string OnceKey(const char* type, const unit::v1::Applied& report) {
  return absl::StrCat(type, " ", report.sequence(), " ", report.attempt());
}

}  // namespace

absl::StatusOr<MqttBridgeOptions> MqttBridgeOptionsFrom(const config::v1::CmConfig& config,
                                                        const std::string& boot_id) {
  const config::v1::Mqtt& mqtt = config.cloud().mqtt();
  MqttBridgeOptions options;
  options.unit_id = config.unit_id();
  options.name_space = config.namespace_();
  options.state_dir = config.state_dir();
  options.boot_id = boot_id;
  options.mqtt.url = mqtt.url();
  options.mqtt.ca_file = mqtt.tls().ca();
  options.mqtt.certificate_file = mqtt.tls().certificate();
  options.mqtt.key_file = mqtt.tls().key();
  options.mqtt.username = mqtt.username();
  options.mqtt.keepalive = DurationOr(mqtt.has_keepalive(), mqtt.keepalive(), absl::Seconds(30));
  options.mqtt.session_expiry = DurationOr(mqtt.has_session_expiry(), mqtt.session_expiry(), absl::Hours(24 * 7));
  if (mqtt.outbox_limit() != 0) options.outbox.limit = mqtt.outbox_limit();
  if (!mqtt.password_file().empty()) {
    ASSIGN_OR_RETURN(
        const std::string password,
        Annotate(FileSystem::Real().ReadFile(mqtt.password_file(), kMaxPasswordFile), "cloud.mqtt.password_file"));
    options.mqtt.password = std::string(absl::StripTrailingAsciiWhitespace(password));
  }
  RETURN_IF_ERROR(CheckTopicLevel(options.unit_id, "unit_id"));
  RETURN_IF_ERROR(CheckTopicLevel(options.name_space, "namespace"));
  return options;
}

absl::StatusOr<uint64_t> NextEpoch(FileSystem& fs, const std::string& path, uint64_t newest_used, absl::Time now) {
  DurableRecord file(fs, path);
  record::v1::EpochRecord record;
  absl::StatusOr<std::string> bytes = file.Read();
  if (bytes.ok() && record.ParseFromString(*bytes)) {
    record.set_epoch(record.epoch() + 1);
  } else if (bytes.ok() || absl::IsDataLoss(bytes.status())) {
    // The damaged copy may have held any number up to the seconds since 1970: no unit starts more often than that.
    record.set_epoch(static_cast<uint64_t>(std::max<int64_t>(absl::ToUnixSeconds(now), 1)));
    LogError("epoch record damaged, messages continue in a far higher epoch",
             {{"epoch", absl::StrCat(record.epoch())}, {"reason", ToPersonText(bytes.status())}});
  } else if (absl::IsNotFound(bytes.status())) {
    record.set_epoch(1);
  } else {
    return Annotate(bytes.status(), "epoch record");
  }
  record.set_epoch(std::max(record.epoch(), newest_used + 1));
  RETURN_IF_ERROR(Annotate(file.Write(record.SerializeAsString()), "epoch record"));
  return record.epoch();
}

class MqttBridge::Session : public std::enable_shared_from_this<MqttBridge::Session> {
 public:
  Session(EventLoop& loop, Clock& clock, MqttBridgeOptions options, std::unique_ptr<Outbox> outbox, uint64_t epoch)
      : loop_(loop),
        clock_(clock),
        options_(std::move(options)),
        topics_(options_.name_space, options_.unit_id),
        outbox_(std::move(outbox)),
        epoch_(epoch) {}

  absl::Status Start(CloudCallbacks callbacks);
  void Stop();
  absl::Status PublishReported(const unit::v1::Reported& reported);
  absl::Status Queue(const char* type, const std::string& topic, const google::protobuf::Message& payload,
                     bool droppable, std::string once_key);
  CloudState state() const;
  const UnitTopics& topics() const { return topics_; }

 private:
  template <typename F>
  void PostAlive(F f) {
    loop_.Post([weak = weak_from_this(), f = std::move(f)]() mutable {
      if (const std::shared_ptr<Session> session = weak.lock(); session != nullptr && session->running_) f(*session);
    });
  }

  absl::StatusOr<MessageEnvelope> Envelope(const char* type, const google::protobuf::Message& payload, uint64_t seq);
  absl::StatusOr<MqttMessage> PresenceMessage(bool online, uint64_t seq);
  // On the client's thread.
  std::optional<MqttMessage> NextWill();
  void HandleConnected();
  void HandleDisconnected(const std::string& reason);
  void HandleMessage(const MqttMessage& message);
  absl::Status Dispatch(const MqttMessage& message);
  void SendReported();
  void SendDue();

  EventLoop& loop_;
  Clock& clock_;
  const MqttBridgeOptions options_;
  const UnitTopics topics_;
  std::unique_ptr<Outbox> outbox_;
  const uint64_t epoch_;
  std::atomic<uint64_t> seq_ = 0;
  // Of the online message of the newest connection attempt; its will has the next number.
  std::atomic<uint64_t> online_seq_ = 0;
  CloudCallbacks callbacks_;
  std::unique_ptr<MqttClient> client_;
  bool running_ = false;
  bool connected_ = false;
  std::string error_;
  absl::Time connected_since_;
  std::optional<unit::v1::Reported> reported_;
  std::optional<EventLoop::TimerId> timer_;
};

absl::Status MqttBridge::Session::Start(CloudCallbacks callbacks) {
  callbacks_ = std::move(callbacks);
  MqttOptions mqtt = options_.mqtt;
  mqtt.client_id = absl::StrCat("tandem-", options_.name_space, "-", options_.unit_id);
  mqtt.will = [this] { return NextWill(); };
  // Paho acknowledges when the handler returns, which only queues; what must not be lost has its own `ack`, or is
  // retained and comes again.
  ASSIGN_OR_RETURN(
      client_,
      MqttClient::Create(std::move(mqtt),
                         {.connected = [this] { PostAlive([](Session& session) { session.HandleConnected(); }); },
                          .disconnected =
                              [this](const std::string& reason) {
                                PostAlive([reason](Session& session) { session.HandleDisconnected(reason); });
                              },
                          .message =
                              [this](MqttMessage message) {
                                PostAlive([message = std::move(message)](Session& session) {
                                  session.HandleMessage(message);
                                });
                              }}));
  for (const std::string& topic : {topics_.desired, topics_.wake, topics_.verdict, topics_.ack, topics_.key_sets}) {
    client_->Subscribe(topic);
  }
  running_ = true;
  client_->Start();
  return absl::OkStatus();
}

void MqttBridge::Session::Stop() {
  if (!running_) return;
  running_ = false;
  if (timer_.has_value()) loop_.Cancel(*timer_);
  absl::StatusOr<MqttMessage> goodbye = PresenceMessage(/*online=*/false, ++seq_);
  client_->Stop(goodbye.ok() ? std::make_optional(*goodbye) : std::nullopt);
  client_ = nullptr;
  connected_ = false;
}

absl::StatusOr<MessageEnvelope> MqttBridge::Session::Envelope(const char* type,
                                                              const google::protobuf::Message& payload, uint64_t seq) {
  MessageEnvelope envelope;
  envelope.msg_id = NewMessageId();
  envelope.type = type;
  envelope.ts = clock_.Now();
  envelope.boot_id = options_.boot_id;
  envelope.epoch = epoch_;
  envelope.seq = seq;
  ASSIGN_OR_RETURN(envelope.payload, MessageToJson(payload));
  return envelope;
}

absl::StatusOr<MqttMessage> MqttBridge::Session::PresenceMessage(bool online, uint64_t seq) {
  unit::v1::Presence presence;
  presence.set_online(online);
  presence.set_boot_id(options_.boot_id);
  presence.mutable_since()->set_seconds(absl::ToUnixSeconds(online ? connected_since_ : clock_.Now()));
  ASSIGN_OR_RETURN(const MessageEnvelope envelope, Envelope(kPresenceMessage, presence, seq));
  ASSIGN_OR_RETURN(std::string json, EncodeMessage(envelope));
  return MqttMessage{.topic = topics_.presence, .payload = std::move(json), .retained = true};
}

std::optional<MqttMessage> MqttBridge::Session::NextWill() {
  // Receivers go by (epoch, seq): the will must be newer than the online message of the connection that it ends.
  const uint64_t online = seq_.fetch_add(2) + 1;
  online_seq_ = online;
  absl::StatusOr<MqttMessage> will = PresenceMessage(/*online=*/false, online + 1);
  return will.ok() ? std::make_optional(*std::move(will)) : std::nullopt;
}

void MqttBridge::Session::HandleConnected() {
  connected_ = true;
  error_.clear();
  connected_since_ = clock_.Now();
  if (absl::StatusOr<MqttMessage> presence = PresenceMessage(/*online=*/true, online_seq_); presence.ok()) {
    client_->Publish(*presence).IgnoreError();
  }
  SendReported();
  outbox_->ResetDelays();
  SendDue();
  if (callbacks_.connection) callbacks_.connection(true, "");
}

void MqttBridge::Session::HandleDisconnected(const std::string& reason) {
  // Told when it goes, and when the reason changes; not for each attempt.
  const bool changed = connected_ || error_ != reason;
  connected_ = false;
  error_ = reason;
  if (changed && callbacks_.connection) callbacks_.connection(false, reason);
}

void MqttBridge::Session::HandleMessage(const MqttMessage& message) {
  // An empty payload is how a retained message is taken back.
  if (message.payload.empty()) return;
  const absl::Status status = Annotate(Dispatch(message), absl::StrCat("topic ", message.topic));
  if (!status.ok() && callbacks_.unreadable) callbacks_.unreadable(status);
}

absl::Status MqttBridge::Session::Dispatch(const MqttMessage& message) {
  ASSIGN_OR_RETURN(const MessageEnvelope envelope, DecodeMessage(message.payload));
  const auto is = [&](const std::string& topic, const char* type) {
    return message.topic == topic && envelope.type == type;
  };
  if (is(topics_.desired, kDesiredMessage)) {
    ASSIGN_OR_RETURN(DesiredEnvelopes desired, ParseDesired(envelope.payload));
    if (callbacks_.desired) {
      callbacks_.desired({.assignment = std::move(desired.assignment),
                          .releases = std::move(desired.releases),
                          .release_list = std::move(desired.release_list),
                          .key_sets = std::move(desired.key_sets)});
    }
  } else if (is(topics_.key_sets, kKeySetsMessage)) {
    ASSIGN_OR_RETURN(std::vector<std::string> key_sets, ParseKeySets(envelope.payload));
    if (callbacks_.key_sets) callbacks_.key_sets(std::move(key_sets));
  } else if (is(topics_.wake, kWakeMessage)) {
    unit::v1::Wake wake;
    RETURN_IF_ERROR(MessageFromJson(envelope.payload, wake));
    if (callbacks_.wake) callbacks_.wake(wake.sequence());
  } else if (is(topics_.verdict, kVerdictMessage)) {
    unit::v1::Verdict verdict;
    RETURN_IF_ERROR(MessageFromJson(envelope.payload, verdict));
    if (callbacks_.verdict) callbacks_.verdict(verdict);
  } else if (is(topics_.ack, kAckMessage)) {
    unit::v1::Ack ack;
    RETURN_IF_ERROR(MessageFromJson(envelope.payload, ack));
    RETURN_IF_ERROR(outbox_->Acknowledge({ack.msg_ids().begin(), ack.msg_ids().end()}));
    SendDue();
  } else {
    return absl::InvalidArgumentError(absl::StrCat("a message of type \"", envelope.type, "\" does not belong here"));
  }
  return absl::OkStatus();
}

absl::Status MqttBridge::Session::PublishReported(const unit::v1::Reported& reported) {
  reported_ = reported;
  SendReported();
  return absl::OkStatus();
}

void MqttBridge::Session::SendReported() {
  if (!connected_ || !reported_.has_value()) return;
  absl::StatusOr<MessageEnvelope> envelope = Envelope(kReportedMessage, *reported_, ++seq_);
  if (!envelope.ok()) return;
  absl::StatusOr<std::string> json = EncodeMessage(*envelope);
  if (!json.ok()) return;
  // A failure means that the connection is going: it is sent again when it is back.
  client_->Publish({.topic = topics_.reported, .payload = *std::move(json), .retained = true}).IgnoreError();
}

absl::Status MqttBridge::Session::Queue(const char* type, const std::string& topic,
                                        const google::protobuf::Message& payload, bool droppable,
                                        std::string once_key) {
  ASSIGN_OR_RETURN(const MessageEnvelope envelope, Envelope(type, payload, ++seq_));
  ASSIGN_OR_RETURN(std::string json, EncodeMessage(envelope));
  RETURN_IF_ERROR(outbox_->Add({.epoch = envelope.epoch,
                                .seq = envelope.seq,
                                .msg_id = envelope.msg_id,
                                .type = type,
                                .topic = topic,
                                .json = std::move(json),
                                .droppable = droppable,
                                .once_key = std::move(once_key)}));
  SendDue();
  return absl::OkStatus();
}

void MqttBridge::Session::SendDue() {
  if (timer_.has_value()) loop_.Cancel(*timer_);
  timer_.reset();
  if (!connected_) return;
  absl::StatusOr<std::vector<OutboxMessage>> due = outbox_->TakeDue(clock_.Monotonic(), kSendAtOnce);
  if (!due.ok()) {
    LogError("outbox cannot be read", {{"reason", ToPersonText(due.status())}});
    return;
  }
  for (OutboxMessage& message : *due) {
    if (!client_->Publish({.topic = message.topic, .payload = std::move(message.json)}).ok()) break;
  }
  const absl::Duration next = outbox_->NextDue();
  if (next == absl::InfiniteDuration()) return;
  const absl::Duration wait = std::max(next - clock_.Monotonic(), absl::Milliseconds(1));
  timer_ = loop_.PostAfter(wait, [weak = weak_from_this()] {
    const std::shared_ptr<Session> session = weak.lock();
    if (session == nullptr || !session->running_) return;
    session->timer_.reset();
    session->SendDue();
  });
}

CloudState MqttBridge::Session::state() const {
  return {.connected = connected_,
          .endpoint = options_.mqtt.url,
          .error = error_,
          .outbox_messages = outbox_->size(),
          .dropped_messages = outbox_->dropped()};
}

MqttBridge::MqttBridge(std::shared_ptr<Session> session) : session_(std::move(session)) {}

absl::StatusOr<std::unique_ptr<MqttBridge>> MqttBridge::Create(EventLoop& loop, FileSystem& fs, Clock& clock,
                                                               MqttBridgeOptions options) {
  RETURN_IF_ERROR(CheckTopicLevel(options.unit_id, "unit_id"));
  RETURN_IF_ERROR(CheckTopicLevel(options.name_space, "namespace"));
  ASSIGN_OR_RETURN(std::unique_ptr<Outbox> outbox,
                   Outbox::Open(JoinPath(options.state_dir, "outbox.db"), options.outbox));
  ASSIGN_OR_RETURN(const uint64_t epoch,
                   NextEpoch(fs, JoinPath(options.state_dir, "epoch.rec"), outbox->newest_epoch(), clock.Now()));
  return std::unique_ptr<MqttBridge>(
      new MqttBridge(std::make_shared<Session>(loop, clock, std::move(options), std::move(outbox), epoch)));
}

absl::StatusOr<std::unique_ptr<MqttBridge>> MqttBridge::Create(EventLoop& loop, Clock& clock,
                                                               const config::v1::CmConfig& config,
                                                               const std::string& boot_id) {
  ASSIGN_OR_RETURN(MqttBridgeOptions options, MqttBridgeOptionsFrom(config, boot_id));
  return Create(loop, FileSystem::Real(), clock, std::move(options));
}

MqttBridge::~MqttBridge() { session_->Stop(); }

absl::Status MqttBridge::Start(CloudCallbacks callbacks) { return session_->Start(std::move(callbacks)); }
void MqttBridge::Stop() { session_->Stop(); }
absl::Status MqttBridge::PublishReported(const unit::v1::Reported& reported) {
  return session_->PublishReported(reported);
}
absl::Status MqttBridge::QueueFeedback(const unit::v1::Feedback& feedback) {
  return session_->Queue(kFeedbackMessage, session_->topics().feedback, feedback, /*droppable=*/true, "");
}
absl::Status MqttBridge::QueueApplied(const unit::v1::Applied& applied) {
  return session_->Queue(kAppliedMessage, session_->topics().applied, applied, /*droppable=*/false,
                         OnceKey(kAppliedMessage, applied));
}
absl::Status MqttBridge::QueueProvisional(const unit::v1::Applied& provisional) {
  return session_->Queue(kProvisionalMessage, session_->topics().provisional, provisional, /*droppable=*/false,
                         OnceKey(kProvisionalMessage, provisional));
}
CloudState MqttBridge::state() const { return session_->state(); }

}  // namespace tandem::cm
