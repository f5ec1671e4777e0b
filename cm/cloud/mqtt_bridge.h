// The link to the cloud over MQTT v5: topics and delivery rules of docs/cloud-messages.md.
//
//   ASSIGN_OR_RETURN(auto bridge, MqttBridge::Create(loop, clock, config, boot_id));
//   RETURN_IF_ERROR(bridge->Start({.desired = ..., ...}));
#ifndef TANDEM_CM_CLOUD_MQTT_BRIDGE_H_
#define TANDEM_CM_CLOUD_MQTT_BRIDGE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/cloud/cloud_bridge.h"
#include "cm/cloud/outbox.h"
#include "common/net/mqtt_client.h"
#include "common/storage/file_system.h"
#include "common/time/clock.h"
#include "common/time/event_loop.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

struct MqttBridgeOptions {
  std::string unit_id;
  std::string name_space;
  // Holds outbox.db and epoch.rec.
  std::string state_dir;
  std::string boot_id;
  // Without client id and will, which the bridge sets.
  MqttOptions mqtt;
  OutboxOptions outbox;
  // How often the reported state is said where nothing changes.
  absl::Duration heartbeat = absl::Minutes(5);
};

// INVALID_ARGUMENT naming the field; reads the password file.
absl::StatusOr<MqttBridgeOptions> MqttBridgeOptionsFrom(const config::v1::CmConfig& config, const std::string& boot_id);

// This start's epoch: one more than the last one's, durable before it is used. A damaged record is logged; the epoch
// then continues above whatever could have been used.
absl::StatusOr<uint64_t> NextEpoch(FileSystem& fs, const std::string& path, uint64_t newest_used, absl::Time now);

// As CloudBridge says. Created, used and destroyed on the event thread; `loop`, `fs` and `clock` must outlive it.
class MqttBridge : public CloudBridge {
 public:
  static absl::StatusOr<std::unique_ptr<MqttBridge>> Create(EventLoop& loop, FileSystem& fs, Clock& clock,
                                                            MqttBridgeOptions options);
  // The same from CM's configuration, over the real file system.
  static absl::StatusOr<std::unique_ptr<MqttBridge>> Create(EventLoop& loop, Clock& clock,
                                                            const config::v1::CmConfig& config,
                                                            const std::string& boot_id);
  ~MqttBridge() override;

  absl::Status Start(CloudCallbacks callbacks) override;
  void Stop() override;
  absl::Status PublishReported(const unit::v1::Reported& reported) override;
  absl::Status QueueFeedback(const unit::v1::Feedback& feedback) override;
  absl::Status QueueApplied(const unit::v1::Applied& applied) override;
  absl::Status QueueProvisional(const unit::v1::Applied& provisional) override;
  absl::Status QueueDiagnosticResult(const unit::v1::DiagnosticResult& result, const std::string& run_id,
                                     const std::string& triggered_by) override;
  CloudState state() const override;

 private:
  // Shared with tasks on the loop, which find it gone after Stop().
  class Session;
  explicit MqttBridge(std::shared_ptr<Session> session);
  std::shared_ptr<Session> session_;
};

}  // namespace tandem::cm

#endif  // TANDEM_CM_CLOUD_MQTT_BRIDGE_H_
