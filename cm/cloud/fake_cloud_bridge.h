// A cloud in memory for tests: keeps what the unit said, and says what a test wants.
#ifndef TANDEM_CM_CLOUD_FAKE_CLOUD_BRIDGE_H_
#define TANDEM_CM_CLOUD_FAKE_CLOUD_BRIDGE_H_

#include <string>
#include <utility>
#include <vector>

#include "cm/cloud/cloud_bridge.h"
#include "common/status/status.h"

namespace tandem::cm {

// All on one thread. Deliver…() call the unit's callbacks at once.
class FakeCloudBridge : public CloudBridge {
 public:
  absl::Status Start(CloudCallbacks callbacks) override {
    callbacks_ = std::move(callbacks);
    started_ = true;
    return absl::OkStatus();
  }
  void Stop() override { started_ = false; }
  absl::Status PublishReported(const unit::v1::Reported& message) override {
    reported.push_back(message);
    return absl::OkStatus();
  }
  absl::Status QueueFeedback(const unit::v1::Feedback& message) override { return Queue(feedback, message); }
  absl::Status QueueApplied(const unit::v1::Applied& message) override { return Queue(applied, message); }
  absl::Status QueueProvisional(const unit::v1::Applied& message) override { return Queue(provisional, message); }
  absl::Status QueueDiagnosticResult(const unit::v1::DiagnosticResult& message, const std::string& run_id,
                                     const std::string& triggered_by) override {
    RETURN_IF_ERROR(Queue(results, message));
    runs.emplace_back(run_id, triggered_by);
    return absl::OkStatus();
  }
  CloudState state() const override { return {.connected = connected_, .endpoint = "fake"}; }

  void DeliverDesired(const DesiredEnvelopes& documents) {
    if (started_ && callbacks_.desired) callbacks_.desired(documents);
  }
  void DeliverWake(uint64_t sequence) {
    if (started_ && callbacks_.wake) callbacks_.wake(sequence);
  }
  void DeliverVerdict(const std::string& envelope) {
    if (started_ && callbacks_.verdict) callbacks_.verdict(envelope);
  }
  void DeliverDiagnostic(const std::string& envelope) {
    if (started_ && callbacks_.diagnostic) callbacks_.diagnostic(envelope);
  }
  void DeliverKeySets(const std::vector<std::string>& key_sets) {
    if (started_ && callbacks_.key_sets) callbacks_.key_sets(key_sets);
  }
  void SetConnected(bool connected, const std::string& error = "") {
    connected_ = connected;
    if (started_ && callbacks_.connection) callbacks_.connection(connected, error);
  }
  // The next Queue…() calls return this; OK ends it.
  void FailQueue(absl::Status status) { queue_status_ = std::move(status); }

  // In the order said.
  std::vector<unit::v1::Reported> reported;
  std::vector<unit::v1::Feedback> feedback;
  std::vector<unit::v1::Applied> applied;
  std::vector<unit::v1::Applied> provisional;
  std::vector<unit::v1::DiagnosticResult> results;
  // Of each result: run_id and triggered_by.
  std::vector<std::pair<std::string, std::string>> runs;

 private:
  template <typename Message>
  absl::Status Queue(std::vector<Message>& queue, const Message& message) {
    if (queue_status_.ok()) queue.push_back(message);
    return queue_status_;
  }

  CloudCallbacks callbacks_;
  bool started_ = false;
  bool connected_ = false;
  absl::Status queue_status_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_FAKE_CLOUD_BRIDGE_H_
