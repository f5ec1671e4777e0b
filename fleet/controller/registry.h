// Units come, change and go: registration, and what it means for rollouts that run or are complete.
#ifndef TANDEM_FLEET_CONTROLLER_REGISTRY_H_
#define TANDEM_FLEET_CONTROLLER_REGISTRY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/controller/orders.h"
#include "fleet/store/store.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {

// Thread-safe.
class Registry {
 public:
  explicit Registry(Orders& orders) : orders_(orders) {}

  // INVALID_ARGUMENT: an id that cannot stand in a topic, or attributes that are too long.
  static absl::Status Check(const UnitAttributes& attributes);

  // Makes the unit (true) or replaces its attributes; it then belongs to the last ring of each rollout of its target
  // that is complete, or in its last ring, and takes units that join.
  absl::StatusOr<bool> Register(StoreTransaction& tx, const UnitRegistration& registration, const std::string& actor,
                                int64_t now);

  // A revoked unit gets no orders, and what it says is not taken; what it was ordered to is taken off the broker.
  absl::Status SetRevoked(StoreTransaction& tx, const std::string& unit_id, bool revoked, const std::string& reason,
                          const std::string& actor, int64_t now);

 private:
  absl::Status Join(StoreTransaction& tx, const UnitRow& unit, const UnitAttributes& attributes, bool reinstated,
                    int64_t now);

  Orders& orders_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_REGISTRY_H_
