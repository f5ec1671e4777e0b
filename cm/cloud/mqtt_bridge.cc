#include "cm/cloud/mqtt_bridge.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cm/cloud/sqlite_outbox.h"
#include "cm/cloud/unit_session.h"
#include "common/config/yaml_config.h"
#include "common/log/log.h"
#include "common/net/message_envelope.h"
#include "common/status/status.h"
#include "common/storage/durable_record.h"
#include "tandem/record/v1/record.pb.h"

namespace tandem::cm {
namespace {

constexpr uint64_t kMaxPasswordFile = 4096;

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
  options.heartbeat = DurationOr(mqtt.has_heartbeat(), mqtt.heartbeat(), options.heartbeat);
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

// Brings a UnitSession and its connection together on the event thread.
class MqttBridge::Session : public std::enable_shared_from_this<MqttBridge::Session>, public MqttPublisher {
 public:
  Session(EventLoop& loop, Clock& clock, MqttBridgeOptions options, std::unique_ptr<Outbox> outbox, uint64_t epoch)
      : loop_(loop),
        clock_(clock),
        options_(std::move(options)),
        outbox_(std::move(outbox)),
        unit_({.unit_id = options_.unit_id,
               .name_space = options_.name_space,
               .boot_id = options_.boot_id,
               .epoch = epoch,
               .heartbeat = options_.heartbeat},
              clock, *outbox_, *this) {}

  absl::Status Start(CloudCallbacks callbacks);
  void Stop();
  CloudState state() const;

  // Runs `f` on the unit, and is there again when it has something to send.
  template <typename F>
  auto Do(F f) {
    auto result = f(unit_);
    SetTimer();
    return result;
  }

  // The unit's way out.
  absl::Status Publish(const MqttMessage& message) override { return client_->Publish(message); }

 private:
  // From a thread of the client.
  void PostAlive(std::function<void(UnitSession& unit)> f) {
    loop_.Post([weak = weak_from_this(), f = std::move(f)] {
      const std::shared_ptr<Session> session = weak.lock();
      if (session == nullptr || !session->running_) return;
      f(session->unit_);
      session->SetTimer();
    });
  }
  void SetTimer();

  EventLoop& loop_;
  Clock& clock_;
  const MqttBridgeOptions options_;
  std::unique_ptr<Outbox> outbox_;
  UnitSession unit_;
  std::unique_ptr<MqttClient> client_;
  bool running_ = false;
  std::optional<EventLoop::TimerId> timer_;
};

absl::Status MqttBridge::Session::Start(CloudCallbacks callbacks) {
  unit_.SetCallbacks(std::move(callbacks));
  MqttOptions mqtt = options_.mqtt;
  mqtt.client_id = absl::StrCat("tandem-", options_.name_space, "-", options_.unit_id);
  mqtt.will = [this] { return unit_.NextWill(); };
  // The library acknowledges when the handler returns, which only queues; what must not be lost has its own `ack`, or
  // is retained and comes again.
  ASSIGN_OR_RETURN(client_,
                   MqttClient::Create(std::move(mqtt),
                                      {.connected = [this] { PostAlive([](UnitSession& unit) { unit.Connected(); }); },
                                       .disconnected =
                                           [this](const std::string& reason) {
                                             PostAlive([reason](UnitSession& unit) { unit.Disconnected(reason); });
                                           },
                                       .message =
                                           [this](MqttMessage message) {
                                             PostAlive([message = std::move(message)](UnitSession& unit) {
                                               unit.HandleMessage(message);
                                             });
                                           }}));
  for (const std::string& topic : unit_.Subscriptions()) client_->Subscribe(topic);
  running_ = true;
  client_->Start();
  return absl::OkStatus();
}

void MqttBridge::Session::Stop() {
  if (!running_) return;
  running_ = false;
  if (timer_.has_value()) loop_.Cancel(*timer_);
  client_->Stop(unit_.Goodbye());
  client_ = nullptr;
}

void MqttBridge::Session::SetTimer() {
  if (timer_.has_value()) loop_.Cancel(*timer_);
  timer_.reset();
  const absl::Duration next = unit_.NextDue();
  if (!running_ || next == absl::InfiniteDuration()) return;
  const absl::Duration wait = std::max(next - clock_.Monotonic(), absl::Milliseconds(1));
  timer_ = loop_.PostAfter(wait, [weak = weak_from_this()] {
    const std::shared_ptr<Session> session = weak.lock();
    if (session == nullptr || !session->running_) return;
    session->timer_.reset();
    session->unit_.Tick();
    session->SetTimer();
  });
}

CloudState MqttBridge::Session::state() const {
  return {.connected = unit_.connected(),
          .endpoint = options_.mqtt.url,
          .error = unit_.error(),
          .outbox_messages = outbox_->size(),
          .dropped_messages = outbox_->dropped()};
}

MqttBridge::MqttBridge(std::shared_ptr<Session> session) : session_(std::move(session)) {}

absl::StatusOr<std::unique_ptr<MqttBridge>> MqttBridge::Create(EventLoop& loop, FileSystem& fs, Clock& clock,
                                                               MqttBridgeOptions options) {
  RETURN_IF_ERROR(CheckTopicLevel(options.unit_id, "unit_id"));
  RETURN_IF_ERROR(CheckTopicLevel(options.name_space, "namespace"));
  ASSIGN_OR_RETURN(std::unique_ptr<Outbox> outbox,
                   SqliteOutbox::Open(JoinPath(options.state_dir, "outbox.db"), options.outbox));
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
  return session_->Do([&](UnitSession& unit) { return unit.PublishReported(reported); });
}
absl::Status MqttBridge::QueueFeedback(const unit::v1::Feedback& feedback) {
  return session_->Do([&](UnitSession& unit) { return unit.QueueFeedback(feedback); });
}
absl::Status MqttBridge::QueueApplied(const unit::v1::Applied& applied) {
  return session_->Do([&](UnitSession& unit) { return unit.QueueApplied(applied); });
}
absl::Status MqttBridge::QueueProvisional(const unit::v1::Applied& provisional) {
  return session_->Do([&](UnitSession& unit) { return unit.QueueProvisional(provisional); });
}
absl::Status MqttBridge::QueueDiagnosticResult(const unit::v1::DiagnosticResult& result, const std::string& run_id,
                                               const std::string& triggered_by) {
  return session_->Do([&](UnitSession& unit) { return unit.QueueDiagnosticResult(result, run_id, triggered_by); });
}
CloudState MqttBridge::state() const { return session_->state(); }

}  // namespace tandem::cm
