// One simulated unit: the unit's real message code (cm::UnitSession), its outbox, and an update that does nothing but
// report. It is awake, with all of these, while it is connected by itself; among a million on few connections only
// while it has something to say.
//
//   SimUnit unit(world, 17);
//   on connect: unit.Connected(); on a message: unit.HandleMessage(message); at unit.NextDue(): unit.Tick();
#ifndef TANDEM_TOOLS_FLEET_SIM_SIM_UNIT_H_
#define TANDEM_TOOLS_FLEET_SIM_SIM_UNIT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/net/mqtt_message.h"
#include "tools/fleet-sim/order.h"
#include "tools/fleet-sim/world.h"

namespace tandem::fleetsim {

class SimUnit {
 public:
  // `world` must outlive it.
  SimUnit(World& world, uint32_t number);
  ~SimUnit();
  SimUnit(const SimUnit&) = delete;
  SimUnit& operator=(const SimUnit&) = delete;

  // As UnitSession says.
  std::optional<MqttMessage> NextWill();
  void Connected();
  void Disconnected(const std::string& reason);
  std::optional<MqttMessage> Goodbye();
  void HandleMessage(const MqttMessage& message);

  // As the clock's Monotonic().
  absl::Duration NextDue() const;
  void Tick();

  // It has an update to go on with, or something that is not acknowledged.
  bool busy() const;
  bool connected() const;
  const UnitMemory& memory() const { return memory_; }

 private:
  class Awake;
  friend class Awake;

  Awake& WakeUp();
  void SleepIfIdle();

  World& world_;
  const uint32_t number_;
  uint32_t epoch_ = 0;
  uint32_t boots_ = 1;
  // Orders for diagnostics so far.
  uint32_t diagnostics_ = 0;
  // Of the newest desired state; the same again says nothing new.
  uint64_t desired_hash_ = 0;
  // While it sleeps.
  absl::Duration next_heartbeat_ = absl::InfiniteDuration();
  UnitMemory memory_;
  std::unique_ptr<Awake> awake_;
};

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_SIM_UNIT_H_
