#include "common/net/publish_window.h"

#include <utility>

namespace tandem {

PublishWindow::PublishWindow(Send send, absl::Duration timeout, size_t max_waiting)
    : send_(std::move(send)), timeout_(timeout), max_waiting_(max_waiting) {}

void PublishWindow::Open(size_t window) {
  std::lock_guard lock(mutex_);
  window_ = window;
}

void PublishWindow::Close(const absl::Status& status) {
  {
    std::lock_guard lock(mutex_);
    window_ = 0;
    waiting_.clear();
    in_flight_.clear();
  }
  pending_.CompleteAll(status);
}

void PublishWindow::Stop() {
  Close(absl::UnavailableError("the client was stopped"));
  pending_.Stop();
}

absl::Status PublishWindow::Publish(const MqttMessage& message, Done done) {
  std::lock_guard lock(mutex_);
  if (window_ == 0) return absl::UnavailableError("not connected to the broker");
  if (waiting_.size() >= max_waiting_) return absl::UnavailableError("too many messages wait for the broker");
  // Written and read under the lock: the answer may come before Add() returns.
  auto id = std::make_shared<uint64_t>(0);
  *id = pending_.Add(
      timeout_, [this, id, done = std::move(done)](const absl::Status& status) { HandleAnswer(id, status, done); });
  waiting_.emplace(*id, message);
  SendWaiting();
  return absl::OkStatus();
}

void PublishWindow::Refuse(absl::Status status, Done done) {
  pending_.Complete(pending_.Add(timeout_, std::move(done)), std::move(status));
}

void PublishWindow::HandleAnswer(const std::shared_ptr<uint64_t>& id, const absl::Status& status, const Done& done) {
  {
    std::lock_guard lock(mutex_);
    waiting_.erase(*id);
    in_flight_.erase(*id);
    SendWaiting();
  }
  if (done) done(status);
}

void PublishWindow::SendWaiting() {
  while (!waiting_.empty() && in_flight_.size() < window_) {
    const auto next = waiting_.extract(waiting_.begin());
    in_flight_.insert(next.key());
    if (absl::Status sent = send_(next.key(), next.mapped()); !sent.ok())
      pending_.Complete(next.key(), std::move(sent));
  }
}

}  // namespace tandem
