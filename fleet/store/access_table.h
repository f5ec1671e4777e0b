// Who may, and who did: tokens and the audit log.
#ifndef TANDEM_FLEET_STORE_ACCESS_TABLE_H_
#define TANDEM_FLEET_STORE_ACCESS_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

class AuditTable {
 public:
  explicit AuditTable(StoreTransaction& tx) : tx_(tx) {}
  // In the transaction of what it tells: one is never there without the other.
  absl::Status Add(const AuditRow& entry);
  // Of one object (empty: all), beyond number `from` (0: from the end that comes first).
  absl::StatusOr<std::vector<AuditRow>> List(const std::string& object, bool oldest_first, int64_t from, int limit);

 private:
  StoreTransaction& tx_;
};

class TokenTable {
 public:
  explicit TokenTable(StoreTransaction& tx) : tx_(tx) {}
  absl::StatusOr<int64_t> Add(const TokenRow& token);
  absl::StatusOr<std::optional<TokenRow>> Find(const std::string& hash);
  absl::StatusOr<std::vector<TokenRow>> List();
  // NOT_FOUND.
  absl::StatusOr<TokenRow> Revoke(int64_t number);

 private:
  StoreTransaction& tx_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_ACCESS_TABLE_H_
