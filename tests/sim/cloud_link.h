// CM's side of the link to the simulated cloud: the real session and outbox, without MQTT between them.
#ifndef TANDEM_TESTS_SIM_CLOUD_LINK_H_
#define TANDEM_TESTS_SIM_CLOUD_LINK_H_

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "cm/cloud/cloud_bridge.h"
#include "cm/cloud/unit_session.h"
#include "common/time/event_loop.h"
#include "tests/sim/cloud.h"

namespace tandem::sim {

class CloudLink : public cm::CloudBridge, public CloudClient, private MqttPublisher {
 public:
  // `can_write`: whether the disk takes what is queued.
  CloudLink(EventLoop& loop, Clock& clock, Cloud& cloud, cm::Outbox& outbox, uint64_t epoch,
            std::function<absl::Status()> can_write, std::function<bool()> can_act)
      : loop_(loop),
        clock_(clock),
        cloud_(cloud),
        can_write_(std::move(can_write)),
        can_act_(std::move(can_act)),
        session_({.unit_id = kUnitId, .name_space = kNameSpace, .boot_id = "boot", .epoch = epoch}, clock, outbox,
                 *this) {}
  ~CloudLink() override { cloud_.SetClient(nullptr); }

  absl::Status Start(cm::CloudCallbacks callbacks) override {
    session_.SetCallbacks(std::move(callbacks));
    (void)session_.NextWill();
    cloud_.SetClient(this);
    return absl::OkStatus();
  }
  void Stop() override { cloud_.SetClient(nullptr); }

  absl::Status PublishReported(const unit::v1::Reported& reported) override {
    return Do([&] { return session_.PublishReported(reported); });
  }
  absl::Status QueueFeedback(const unit::v1::Feedback& feedback) override {
    return Queue([&] { return session_.QueueFeedback(feedback); });
  }
  absl::Status QueueApplied(const unit::v1::Applied& applied) override {
    return Queue([&] { return session_.QueueApplied(applied); });
  }
  absl::Status QueueProvisional(const unit::v1::Applied& provisional) override {
    return Queue([&] { return session_.QueueProvisional(provisional); });
  }
  absl::Status QueueDiagnosticResult(const unit::v1::DiagnosticResult&, const std::string&,
                                     const std::string&) override {
    return absl::UnimplementedError("no diagnostics here");
  }
  cm::CloudState state() const override { return {.connected = session_.connected()}; }

  void Connected() override {
    (void)Do([&] {
      session_.Connected();
      return absl::OkStatus();
    });
  }
  void Disconnected() override {
    (void)Do([&] {
      session_.Disconnected("connection lost");
      return absl::OkStatus();
    });
  }
  void Receive(const MqttMessage& message) override {
    (void)Do([&] {
      session_.HandleMessage(message);
      return absl::OkStatus();
    });
  }

 private:
  absl::Status Publish(const MqttMessage& message) override {
    return can_act_() ? cloud_.Publish(message) : absl::UnavailableError("CM has ended");
  }

  template <typename F>
  absl::Status Queue(F f) {
    if (absl::Status writable = can_write_(); !writable.ok()) return writable;
    return Do(f);
  }
  template <typename F>
  absl::Status Do(F f) {
    absl::Status status = f();
    SetTimer();
    return status;
  }
  void SetTimer() {
    if (timer_.has_value()) loop_.Cancel(*timer_);
    timer_.reset();
    const absl::Duration next = session_.NextDue();
    if (next == absl::InfiniteDuration()) return;
    timer_ = loop_.PostAfter(std::max(next - clock_.Monotonic(), absl::Milliseconds(1)), [this] {
      timer_.reset();
      session_.Tick();
      SetTimer();
    });
  }

  EventLoop& loop_;
  Clock& clock_;
  Cloud& cloud_;
  const std::function<absl::Status()> can_write_;
  const std::function<bool()> can_act_;
  cm::UnitSession session_;
  std::optional<EventLoop::TimerId> timer_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_CLOUD_LINK_H_
