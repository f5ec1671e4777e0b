// Orders to units: an assignment is signed and stored in the transaction that decides it, and published later by
// whoever gets to it. So no two controllers order one unit to different things, and what was ordered is never
// forgotten.
#ifndef TANDEM_FLEET_CONTROLLER_ORDERS_H_
#define TANDEM_FLEET_CONTROLLER_ORDERS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "fleet/controller/documents.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/rollout.pb.h"

namespace tandem::fleet {

struct OrderOptions {
  // Of an assignment; it is signed again when a third of it is left.
  absl::Duration lifetime = absl::Hours(24 * 7);
};

struct Order {
  // All planes that the unit is to be at; 0: the plane is left as it is.
  PlaneReleases planes{};
  // Mirrors, conditions and window of the rollout; null: none.
  const v1::RolloutSpec* spec = nullptr;
  // Set: 32 bytes, the digest of the release that this takes back.
  std::string rollback_of;
  std::string correlation_id;
};

// Thread-safe.
class Orders {
 public:
  Orders(Documents& documents, OrderOptions options) : documents_(documents), options_(options) {}

  // A new order with the next sequence and attempt; `unit` was read, locked, in this transaction, and is changed but
  // not saved. An order of nothing takes the unit's desired state away.
  absl::Status Give(StoreTransaction& tx, UnitRow& unit, const Order& order, int64_t now);

  // The same order again with a later expiry, the next sequence and the same attempt: units start nothing for it. What
  // is due is done, at most `limit`; returns how many.
  absl::StatusOr<int> RefreshExpiring(StoreTransaction& tx, int64_t now, int limit);

 private:
  Documents& documents_;
  const OrderOptions options_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_ORDERS_H_
