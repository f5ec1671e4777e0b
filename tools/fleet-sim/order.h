// What a unit remembers of orders, and how it reads a desired state: with the unit's own verifier (cm/trust), and the
// rules about sequence and attempt.
#ifndef TANDEM_TOOLS_FLEET_SIM_ORDER_H_
#define TANDEM_TOOLS_FLEET_SIM_ORDER_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cm/trust/verifier.h"
#include "tandem/release/v1/diagnostic.pb.h"
#include "tools/fleet-sim/catalog.h"

namespace tandem::fleetsim {

// By plane: firmware, model, config. 0: none, or not named.
using PlaneIndexes = std::array<ReleaseIndex, 3>;

// Small: there are a million of them. The durable records of a real unit.
struct UnitMemory {
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  uint32_t key_set_version = 0;
  uint32_t release_list_version = 0;
  // SHA-256 of the accepted assignment's payload.
  std::array<char, 32> assignment_digest{};
  // What it committed last.
  PlaneIndexes runs{};
  // All that it may go back to.
  std::vector<ReleaseIndex> committed;
};

struct UnitIdentity {
  std::string unit_id;
  std::string name_space;
  std::string hardware;
};

struct Order {
  // kRepeated: accepted before. kRefresh: a later expiry, and nothing to do. kNew: an update.
  enum class Kind { kRepeated, kRefresh, kNew };
  Kind kind = Kind::kNew;
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  PlaneIndexes planes{};
  bool commit_on_verified = false;
  absl::Duration verdict_timeout;
  std::string correlation_id;
};

// Accepts: `memory` is changed as a unit's trust record is. `verify`: as the unit does, and refuses with its errors;
// otherwise the documents are taken for genuine, which is faster.
absl::StatusOr<Order> ReadOrder(const DesiredEnvelopes& documents, const UnitIdentity& unit, absl::Time now,
                                bool verify, Catalog& catalog, UnitMemory& memory);

// The fleet's word on a provisional update, for this unit. `verify`: with its signature.
absl::StatusOr<release::v1::Verdict> ReadVerdict(const std::string& envelope, const UnitIdentity& unit, bool verify,
                                                 Catalog& catalog);

// The same of an order to run a diagnostic.
absl::StatusOr<release::v1::DiagnosticCommand> ReadDiagnosticCommand(const std::string& envelope,
                                                                     const UnitIdentity& unit, bool verify,
                                                                     Catalog& catalog);

// Planes that `order` names get its releases, the others stay.
PlaneIndexes Merged(const PlaneIndexes& runs, const PlaneIndexes& order);

// At the commit.
void Commit(const PlaneIndexes& runs, UnitMemory& memory);

}  // namespace tandem::fleetsim

#endif  // TANDEM_TOOLS_FLEET_SIM_ORDER_H_
