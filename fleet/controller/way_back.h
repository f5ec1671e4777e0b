// Orders outside a rollout's queue: a unit goes back to what it had before, or forward again after a rehearsal.
//
// Where to: in each plane to the unit's previous verified release; without one, to what it was ordered to before;
// without that, it keeps what it runs, and somebody is told.
#ifndef TANDEM_FLEET_CONTROLLER_WAY_BACK_H_
#define TANDEM_FLEET_CONTROLLER_WAY_BACK_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/orders.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/rollout.pb.h"

namespace tandem::fleet {

// Thread-safe.
class WayBack {
 public:
  WayBack(Documents& documents, Orders& orders) : documents_(documents), orders_(orders) {}

  struct Request {
    const RolloutRow& rollout;
    const v1::RolloutSpec& spec;
    const OpenedRelease& release;
    // The attempt that goes back.
    const AttemptRow& forward;
    AttemptKind kind = AttemptKind::kRollback;
    // Planes that go back; those of the rollout, or some of them.
    PlaneSet planes = 0;
    // The fleet does it by itself, after a failed verification.
    bool automatic = false;
    // For the attempt that ends by it.
    std::string why;
  };

  // Ends the unit's open attempt, orders, and returns the new attempt's number. INTERNAL: the unit was ordered back on
  // this rung already.
  absl::StatusOr<int64_t> Order(StoreTransaction& tx, const Request& request, int64_t now);

  // What the unit had in `planes` before, as far as it may be ordered to it; 0: nothing.
  absl::StatusOr<PlaneReleases> Where(StoreTransaction& tx, const AttemptRow& forward, int64_t release, PlaneSet planes,
                                      int64_t now);

 private:
  absl::StatusOr<bool> MayBeOrdered(StoreTransaction& tx, int64_t release, int64_t now);

  Documents& documents_;
  Orders& orders_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_WAY_BACK_H_
