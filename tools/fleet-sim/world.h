// What all simulated units share: options, behaviour, the releases they have seen, the way out, and sums.
#ifndef TANDEM_TOOLS_FLEET_SIM_WORLD_H_
#define TANDEM_TOOLS_FLEET_SIM_WORLD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/net/mqtt_message.h"
#include "common/time/clock.h"
#include "tools/fleet-sim/behaviour.h"
#include "tools/fleet-sim/catalog.h"
#include "tools/fleet-sim/order.h"

namespace tandem::fleetsim {

// Sums over all units, since the start.
struct Figures {
  uint64_t connects = 0;
  uint64_t connections_lost = 0;
  uint64_t connection_errors = 0;
  // Messages published, with all copies; those that want an acknowledgement, their repetitions, and those that have it.
  uint64_t sent = 0;
  uint64_t queued = 0;
  uint64_t resent = 0;
  uint64_t acknowledged = 0;
  uint64_t not_sent = 0;
  uint64_t received = 0;
  uint64_t unreadable = 0;
  // Orders as units read them.
  uint64_t orders = 0;
  uint64_t repeated = 0;
  uint64_t refreshed = 0;
  uint64_t refused = 0;
  uint64_t verified = 0;
  uint64_t key_sets = 0;
  // Updates.
  uint64_t running = 0;
  uint64_t applied = 0;
  uint64_t reverted = 0;
  uint64_t superseded = 0;
  uint64_t silent = 0;
  uint64_t provisional = 0;
  // Diagnostics that were ordered, by what became of them.
  uint64_t diagnostics = 0;
  uint64_t diagnostics_passed = 0;
  uint64_t diagnostics_failed = 0;
  uint64_t diagnostics_hanging = 0;
  // Units that are awake.
  uint64_t awake = 0;
  absl::Time last_order = absl::InfinitePast();
};

struct WorldOptions {
  std::string name_space = "acme";
  // Units are {prefix}{number}, the number with leading zeros.
  std::string prefix = "sim-";
  uint32_t units = 0;
  absl::Duration heartbeat = absl::Minutes(5);
  absl::Duration resend = absl::Seconds(10);
  // Share of the desired states that are verified.
  double verify_share = 1;
  // Units sleep between messages.
  bool sleepy = false;
  Weighted hardware{{"gw-2", 1}};
  // By name: region, customer, group, …
  std::map<std::string, Weighted> attributes;
  // What units run that no release brought: type and version.
  std::vector<std::pair<std::string, std::string>> components;
};

// What all units share. Not thread-safe.
class World {
 public:
  World(WorldOptions world_options, BehaviourOptions behaviour_options, Clock& world_clock);
  virtual ~World() = default;

  std::string UnitId(uint32_t unit) const;
  // The reverse; nullopt: not one of these units.
  std::optional<uint32_t> UnitOf(std::string_view unit_id) const;
  UnitIdentity IdentityOf(uint32_t unit) const;

  // Hands a message over. UNAVAILABLE: no connection.
  virtual absl::Status Send(uint32_t unit, const MqttMessage& message) = 0;

  const WorldOptions options;
  const Behaviour behaviour;
  Clock& clock;
  Catalog catalog;
  Figures figures;

 private:
  int digits_ = 0;
};

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_WORLD_H_
