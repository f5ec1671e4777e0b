#include "fleet/messaging/retained_pass.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/net/message_envelope.h"
#include "common/time/clock.h"

namespace tandem::fleet {
namespace {}  // namespace

RetainedPass::RetainedPass(RetainedPassOptions options, std::function<void(MqttMessage message)> message)
    : options_(std::move(options)), message_(std::move(message)), thread_([this] { Run(); }) {}

RetainedPass::~RetainedPass() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

void RetainedPass::Request() {
  std::lock_guard lock(mutex_);
  requested_ = true;
  wake_.notify_all();
}

void RetainedPass::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || requested_; });
    if (stopping_) return;
    requested_ = false;
    connected_ = false;
    lock.unlock();
    RunOnce();
    lock.lock();
  }
}

void RetainedPass::RunOnce() {
  MqttOptions mqtt = options_.mqtt;
  absl::StrAppend(&mqtt.client_id, "-retained-", NewMessageId());
  absl::StatusOr<std::unique_ptr<MqttClient>> client =
      MqttClient::Create(std::move(mqtt), {.connected =
                                               [this] {
                                                 std::lock_guard lock(mutex_);
                                                 connected_ = true;
                                                 newest_ = Clock::Real().Monotonic();
                                                 wake_.notify_all();
                                               },
                                           .disconnected =
                                               [this](const std::string&) {
                                                 // It connects again, and is given everything again.
                                                 std::lock_guard lock(mutex_);
                                                 connected_ = false;
                                               },
                                           .message =
                                               [this](MqttMessage message) {
                                                 // What is published meanwhile goes to the shared subscriptions.
                                                 if (!message.retained) return;
                                                 message_(std::move(message));
                                                 std::lock_guard lock(mutex_);
                                                 newest_ = Clock::Real().Monotonic();
                                               }});
  // The options are those of the link's own connection.
  if (!client.ok()) return;
  for (const std::string& filter : options_.filters) (*client)->Subscribe(filter, /*qos=*/0);
  (*client)->Start();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!connected_) {
      wake_.wait(lock);
      continue;
    }
    const absl::Duration left = newest_ + options_.quiet - Clock::Real().Monotonic();
    if (left <= absl::ZeroDuration()) break;
    wake_.wait_for(lock, absl::ToChronoNanoseconds(left));
  }
  lock.unlock();
  (*client)->Stop();
}

}  // namespace tandem::fleet
