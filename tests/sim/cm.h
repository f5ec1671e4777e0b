// CM's process: the real coordinator with everything that it stands on, but for gRPC, MQTT and HTTP.
#ifndef TANDEM_TESTS_SIM_CM_H_
#define TANDEM_TESTS_SIM_CM_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cm/cloud/outbox.h"
#include "cm/health/gate_runner.h"
#include "cm/trust/trust_store.h"
#include "cm/um_registry/um_registry.h"
#include "cm/update/coordinator.h"
#include "cm/update/delivery.h"
#include "common/image/stager.h"
#include "tandem/record/v1/record.pb.h"
#include "tests/sim/cloud.h"
#include "tests/sim/computer.h"
#include "tests/sim/network.h"
#include "tests/sim/stream.h"
#include "tests/support/fake_history.h"

namespace tandem::sim {

class CloudLink;
class Um;

class Cm : public Process {
 public:
  struct Hooks {
    // CM hands a command to a stream.
    std::function<void(Um& um, const updatemanager::v2::CMMessages& message)> sends;
    std::function<void()> phase_changed;
    std::function<bool()> standstill;
  };

  Cm(World& world, Computer& computer, Network& network, Cloud& cloud, config::v1::CmConfig config, Hooks hooks);
  ~Cm() override;

  // In place of the one in memory, in a temporary folder; before the first start.
  void UseDurableOutbox();
  // For the next start.
  config::v1::CmConfig& config() { return config_; }
  // nullptr while it is down.
  cm::Coordinator* coordinator() { return coordinator_.get(); }
  cm::Limits limits() const { return cm::LimitsOf(config_.budgets()); }

  // What is on disk now; nullopt: nothing that can be read.
  std::optional<record::v1::UnitUpdateRecord> DurableUpdate();
  std::optional<record::v1::CommittedRecord> DurableCommitted();

  // The hardware's watchdog, once somebody fed it: whether it would reset the unit now.
  bool WatchdogBarks() const { return watchdog_armed_ && world_.now() - fed_at_ > kWatchdogTimeout; }
  void DisarmWatchdog() { watchdog_armed_ = false; }
  // As the bootloader does for a trial boot.
  void ArmWatchdog() {
    watchdog_armed_ = true;
    fed_at_ = world_.now();
  }
  static constexpr absl::Duration kWatchdogTimeout = absl::Seconds(12);

  // --- of the streams ---
  void OnStatus(const std::shared_ptr<Stream>& stream, Computer& from, const updatemanager::v2::UpdateStatus& status);
  void OnClosed(const std::shared_ptr<Stream>& stream);
  // A stream that breaks when this process ends.
  void Opened(const std::shared_ptr<Stream>& stream) { streams_.push_back(stream); }
  bool OnSend(Um& um, const updatemanager::v2::CMMessages& message) {
    if (CanAct()) hooks_.sends(um, message);
    return CanAct();
  }

 protected:
  absl::Status Open() override;
  void Close() override;

 private:
  template <typename Record>
  std::optional<Record> Durable(const char* file);
  void KeepFeeding();

  Network& network_;
  Cloud& cloud_;
  config::v1::CmConfig config_;
  const Hooks hooks_;
  bool watchdog_armed_ = false;
  absl::Duration fed_at_;
  // Durable, though not files of the fake disk: in memory, or opened anew by each life from a real folder.
  std::unique_ptr<cm::Outbox> outbox_;
  std::string outbox_folder_;
  cm::FakeHistory history_;

  std::unique_ptr<NetworkFetcher> fetcher_;
  std::unique_ptr<Stager> stager_;
  std::optional<cm::TrustStore> trust_;
  std::optional<cm::DesiredStore> desired_;
  std::unique_ptr<cm::UmRegistry> registry_;
  std::unique_ptr<cm::ArtifactDelivery> delivery_;
  std::unique_ptr<CloudLink> link_;
  std::unique_ptr<cm::ProbeWorkers> probe_workers_;
  std::unique_ptr<cm::Coordinator> coordinator_;
  std::set<const Stream*> registered_;
  std::vector<std::weak_ptr<Stream>> streams_;
};

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_CM_H_
