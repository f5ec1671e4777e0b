// Units: what they are, what they were ordered to, what they say.
#ifndef TANDEM_FLEET_STORE_UNIT_TABLE_H_
#define TANDEM_FLEET_STORE_UNIT_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"

namespace tandem::fleet {

struct UnitRegistration {
  UnitAttributes attributes;
  // Hex; empty: none is known.
  std::string certificate_fingerprint;
  // False: the unit itself said so; what an operator said wins.
  bool by_operator = true;
};

// Counters: "units", "online", "stale", "revoked", "storm", "held", and "run/{plane}/{release number}".
class UnitTable {
 public:
  explicit UnitTable(StoreTransaction& tx) : tx_(tx) {}

  // Makes the unit, or replaces its attributes; true: it was made.
  absl::StatusOr<bool> Register(const UnitRegistration& registration, int64_t now);

  // Locked until the transaction ends, when it writes. NOT_FOUND.
  absl::StatusOr<UnitRow> Get(const std::string& unit_id, bool lock);
  absl::StatusOr<UnitRow> Get(int64_t number, bool lock);
  absl::StatusOr<UnitRecord> GetRecord(const std::string& unit_id);
  absl::StatusOr<UnitRecord> GetRecord(int64_t number);

  // Writes what differs from `before`, which is what was read in this transaction; keeps the counters.
  absl::Status Save(const UnitRow& before, const UnitRow& after);

  // Of these planes, what the unit runs and is ordered to becomes what it can go back to; but for release `except`.
  absl::Status SetGood(int64_t number, PlaneSet planes, int64_t except);

  // In the order of their ids, above `after`.
  absl::Status List(const std::string& after, int limit, const std::function<void(UnitRecord&&)>& each);
  // In the order of their numbers, above `after`.
  absl::Status Scan(int64_t after, int limit, const std::function<void(UnitRecord&&)>& each);

  // Serialized unit.v1.Reported; empty: it never said.
  absl::StatusOr<std::string> Reported(int64_t unit);
  absl::Status SaveReported(int64_t unit, const std::string& reported);

  // False: it is there already.
  absl::StatusOr<bool> AddEvent(int64_t unit, const UnitEventRow& event);
  // Newest first.
  absl::Status Events(int64_t unit, int limit, const std::function<void(UnitEventRow&&)>& each);
  // Removes what is older than `before`.
  absl::Status PruneEvents(int64_t unit, int64_t before);

 private:
  StoreTransaction& tx_;
};

// {"a":"b"} and back; what is no such object is an empty map.
std::string TagsToJson(const std::map<std::string, std::string>& tags);
std::map<std::string, std::string> TagsFromJson(const std::string& json);

// Counts all rows, and replaces the counters by what comes of it: after somebody has changed rows by hand. O(fleet).
absl::Status RebuildCounters(StoreTransaction& tx);

// The value of a counter, and all whose names begin with `prefix` (without it).
absl::StatusOr<int64_t> Counter(StoreTransaction& tx, const std::string& name);
absl::StatusOr<std::map<std::string, int64_t>> Counters(StoreTransaction& tx, const std::string& prefix);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_STORE_UNIT_TABLE_H_
