// Entries of the audit log: who did what to which object, before and after.
#ifndef TANDEM_FLEET_CONTROLLER_AUDIT_H_
#define TANDEM_FLEET_CONTROLLER_AUDIT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "fleet/store/access_table.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

// What the controller does by itself.
inline constexpr char kControllerActor[] = "controller";

// In the transaction of what it tells; the log has it as well.
absl::Status Audit(StoreTransaction& tx, const AuditRow& entry);

// {"name": "value", …}
std::string AuditJson(const std::vector<std::pair<std::string, std::string>>& members);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_AUDIT_H_
