#include "fleet/controller/audit.h"

#include <nlohmann/json.hpp>

#include "common/log/log.h"

namespace tandem::fleet {

absl::Status Audit(StoreTransaction& tx, const AuditRow& entry) {
  tx.AfterCommit([entry] {
    // What is as it should be comes by the thousand.
    const bool routine = entry.severity == 1 && entry.actor == kControllerActor && entry.object.starts_with("unit/");
    (routine ? LogDebug : LogInfo)(entry.event,
                                   {{"object", entry.object}, {"actor", entry.actor}, {"after", entry.new_value}});
  });
  return AuditTable(tx).Add(entry);
}

std::string AuditJson(const std::vector<std::pair<std::string, std::string>>& members) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const auto& [name, value] : members) object[name] = value;
  return object.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

}  // namespace tandem::fleet
