// What operators do to single units, and to the project's automatic rollback.
#ifndef TANDEM_FLEET_CONTROLLER_UNIT_OPERATIONS_H_
#define TANDEM_FLEET_CONTROLLER_UNIT_OPERATIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/controller/documents.h"
#include "fleet/controller/orders.h"
#include "fleet/controller/verification.h"
#include "fleet/controller/way_back.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "fleet/verification/storm_guard.h"

namespace tandem::fleet {

// Thread-safe. Each runs within the transaction that it is given, and writes the audit log there. NOT_FOUND: the unit.
class UnitOperations {
 public:
  UnitOperations(Documents& documents, Orders& orders, Verification& verification)
      : way_back_(documents, orders), documents_(documents), verification_(verification) {}

  // Keeps the unit from new releases, or lets it have them again, which also ends what the loop guard did. Ways back
  // are not held.
  absl::Status Hold(StoreTransaction& tx, const std::string& unit_id, bool held, const std::string& reason,
                    const std::string& actor, int64_t now);

  // To what the unit ran verified before, in these planes; 0: all of its newest update's. FAILED_PRECONDITION: there is
  // nothing that it could go back to, or it is on its way.
  absl::Status RollBack(StoreTransaction& tx, const std::string& unit_id, PlaneSet planes, const std::string& reason,
                        const std::string& actor, int64_t now);

  // As Verification::RunOnDemand().
  absl::StatusOr<std::string> RunDiagnostics(StoreTransaction& tx, const std::string& unit_id,
                                             const std::vector<std::string>& names, const std::string& actor,
                                             int64_t now);

  // Automatic rollback: as it is now, and an operator's word.
  absl::StatusOr<StormGuard> Guard(StoreTransaction& tx, int64_t now);
  absl::Status SetAutoRollback(StoreTransaction& tx, bool on, const std::string& reason, const std::string& actor,
                               int64_t now);
  // What the storm guard did is still noted, and its time has come.
  absl::StatusOr<bool> StormIsOver(StoreTransaction& tx, int64_t now);
  // Then ends it, with an audit entry.
  absl::Status EndStorm(StoreTransaction& tx, int64_t now);

 private:
  WayBack way_back_;
  Documents& documents_;
  Verification& verification_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_UNIT_OPERATIONS_H_
