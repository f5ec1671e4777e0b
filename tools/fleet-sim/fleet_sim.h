// A fleet of simulated units against a real broker, on one thread: each unit with a connection of its own, or all of
// them over a few.
//
//   ASSIGN_OR_RETURN(auto sim, FleetSim::Create(options));
//   RETURN_IF_ERROR(sim->Run([&] { return sim->idle_for() > absl::Seconds(10); }));
//   sim->figures().applied;
#ifndef TANDEM_TOOLS_FLEET_SIM_FLEET_SIM_H_
#define TANDEM_TOOLS_FLEET_SIM_FLEET_SIM_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/fleet-sim/mqtt_line.h"
#include "tools/fleet-sim/sim_unit.h"

namespace tandem::fleetsim {

struct FleetSimOptions {
  WorldOptions world;
  BehaviourOptions behaviour;
  LineOptions line;
  // 0: one connection for each unit.
  uint32_t connections = 0;
  // Units that connect (or, over few connections, say hello) in a second.
  double connect_rate = 1000;
  // Before a lost connection is tried again, and half as long again.
  absl::Duration reconnect = absl::Seconds(1);
};

// Not thread-safe but for Stop().
class FleetSim : private LineListener {
 public:
  // INVALID_ARGUMENT: the options. RESOURCE_EXHAUSTED: too many files for this process.
  static absl::StatusOr<std::unique_ptr<FleetSim>> Create(FleetSimOptions options);
  ~FleetSim() override;

  // What units trust from the start (a file with the envelope); otherwise the first key set that they see.
  absl::Status TrustKeySet(const std::string& file);

  // Until `done`, which is asked some times a second, or Stop(); units then say goodbye.
  void Run(const std::function<bool()>& done);
  // From any thread, or a signal.
  void Stop() { stopping_ = true; }

  const Figures& figures() const { return world_->figures; }
  // Units that are connected; over few connections: that have said hello.
  uint32_t connected() const { return connected_; }
  uint32_t units() const { return static_cast<uint32_t>(units_.size()); }
  // All units that will appear are there, none has an update or anything to be acknowledged, and nobody has heard
  // anything for so long. Zero: one has.
  absl::Duration idle_for() const;
  // Of the last thing that went wrong with a connection.
  const std::string& last_error() const { return last_error_; }
  const SimUnit& unit(uint32_t number) const { return units_[number]; }
  const World& world() const { return *world_; }
  // Resident memory of this process, bytes.
  static uint64_t ResidentBytes();

 private:
  class Air;
  struct Timer {
    absl::Duration due;
    uint32_t unit;
    enum class What : uint8_t { kTick, kConnect, kCut } what;
    bool operator>(const Timer& other) const { return due > other.due; }
  };

  explicit FleetSim(FleetSimOptions options);
  absl::Status Prepare();

  bool sleepy() const { return options_.connections > 0; }
  absl::Duration Now() const { return world_->clock.Monotonic(); }
  void Connect(uint32_t unit);
  void Arm(uint32_t unit);
  void RunTimers();
  void CountBusy(uint32_t unit);
  void SayGoodbye();

  std::optional<MqttMessage> LineWill(uint32_t line) override;
  void LineConnected(uint32_t line) override;
  void LineLost(uint32_t line, const std::string& reason) override;
  void LineMessage(uint32_t line, MqttMessage message) override;

  const FleetSimOptions options_;
  std::unique_ptr<World> world_;
  std::unique_ptr<MqttLines> lines_;
  std::deque<SimUnit> units_;
  // When each unit's timer comes next; what else waits for it in `timers_` is old.
  std::vector<absl::Duration> armed_;
  std::vector<bool> busy_;
  // How often each connection was made.
  std::vector<uint32_t> lives_;
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  // Of few connections: those that were lost, and when they are tried again.
  std::deque<std::pair<absl::Duration, uint32_t>> lines_to_connect_;
  uint32_t connected_ = 0;
  uint32_t appeared_ = 0;
  uint32_t busy_units_ = 0;
  absl::Duration last_news_;
  std::string last_error_;
  volatile bool stopping_ = false;
};

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_FLEET_SIM_H_
