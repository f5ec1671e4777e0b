// CM's side of the link to the cloud as an interface: MQTT (mqtt_bridge.h), and a fake for tests (fake_cloud_bridge.h).
#ifndef TANDEM_CM_CLOUD_CLOUD_BRIDGE_H_
#define TANDEM_CM_CLOUD_CLOUD_BRIDGE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cm/trust/verifier.h"
#include "tandem/unit/v1/unit.pb.h"

namespace tandem::cm {

// All run on the event thread, in the order of arrival. None of what they carry was verified.
struct CloudCallbacks {
  // The retained desired state, after each (re)connect and whenever it changes. The same one may come again.
  std::function<void(DesiredEnvelopes documents)> desired;
  // Look at the desired state: one with this sequence should be there.
  std::function<void(uint64_t sequence)> wake;
  // The fleet's answer to a provisional report: the envelope of a signed release.v1.Verdict.
  std::function<void(const std::string& envelope)> verdict;
  // Run a diagnostic: the envelope of a signed release.v1.DiagnosticCommand.
  std::function<void(const std::string& envelope)> diagnostic;
  // The chain of key sets, oldest first (envelopes).
  std::function<void(std::vector<std::string> key_sets)> key_sets;
  // `error` says why there is no connection; empty with a connection and after an orderly end.
  std::function<void(bool connected, const std::string& error)> connection;
  // Something came that is not what its topic says; for the log and the feedback.
  std::function<void(const absl::Status& status)> unreadable;
};

// For people.
struct CloudState {
  bool connected = false;
  std::string endpoint;
  // Of the last try; empty while connected.
  std::string error;
  // Messages on disk that the cloud has not acknowledged.
  uint64_t outbox_messages = 0;
  // Feedback that was dropped because the outbox was full, since it was made.
  uint64_t dropped_messages = 0;
};

// Methods are called on the event thread. Nothing here waits for the network.
class CloudBridge {
 public:
  virtual ~CloudBridge() = default;

  // Connects in the background and stays connected until Stop(); an unreachable broker is no error. INVALID_ARGUMENT:
  // the configuration cannot work.
  virtual absl::Status Start(CloudCallbacks callbacks) = 0;

  // Says goodbye (presence offline) when connected, and ends; no callback comes after it.
  virtual void Stop() = 0;

  // What the unit runs; retained. Only the latest one counts: it is sent again after each reconnect, and is not kept
  // over a restart of CM.
  virtual absl::Status PublishReported(const unit::v1::Reported& reported) = 0;

  // After OK these survive a power cut and are sent, in order, until the cloud acknowledges each. When the outbox is
  // full the oldest *feedback* goes; the others are never dropped.
  virtual absl::Status QueueFeedback(const unit::v1::Feedback& feedback) = 0;
  virtual absl::Status QueueApplied(const unit::v1::Applied& applied) = 0;
  virtual absl::Status QueueProvisional(const unit::v1::Applied& provisional) = 0;
  // One of each (run_id, diagnostic) waits.
  virtual absl::Status QueueDiagnosticResult(const unit::v1::DiagnosticResult& result, const std::string& run_id,
                                             const std::string& triggered_by) = 0;

  virtual CloudState state() const = 0;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_CLOUD_BRIDGE_H_
