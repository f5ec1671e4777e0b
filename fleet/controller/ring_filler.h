// Who is in a ring: reads the fleet, chooses by hash within each stratum, and makes the members' attempts.
#ifndef TANDEM_FLEET_CONTROLLER_RING_FILLER_H_
#define TANDEM_FLEET_CONTROLLER_RING_FILLER_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/rollout/canary.h"
#include "fleet/store/records.h"
#include "fleet/store/store.h"
#include "tandem/fleet/v1/rollout.pb.h"

namespace tandem::fleet {

struct RingMember {
  std::string unit_id;
  Stratum stratum;
  // Statistical gates: the unit that it is compared with; empty: there is none.
  std::string control;
};

// Whether a unit is in an earlier ring; where nothing is stored yet (a plan), what the earlier rings would take.
using IsTaken = std::function<bool(const UnitRecord& unit)>;

// Who would be in ring `ring` of `spec` if it was filled now. Reads the fleet twice in pages; keeps what is chosen
// only. Revoked units are never chosen.
absl::StatusOr<std::vector<RingMember>> ChooseMembers(StoreTransaction& tx, const v1::RolloutSpec& spec,
                                                      const std::string& release_digest, int ring,
                                                      const IsTaken& is_taken);

struct FilledRing {
  int64_t members = 0;
  // The highest number of a unit when the fleet was read.
  int64_t last_unit = 0;
};

// Makes the attempts of ring `rollout.ring`, in transactions of some hundred. May be cut off anywhere and done again:
// whoever is a member stays one.
absl::StatusOr<FilledRing> FillRing(Store& store, const RolloutRow& rollout, const v1::RolloutSpec& spec,
                                    const std::string& release_digest, int64_t now);

// Units above number `last_unit` become members of the last ring, when that is the one being filled; returns how many.
absl::StatusOr<int64_t> JoinNewcomers(StoreTransaction& tx, const RolloutRow& rollout, const v1::RolloutSpec& spec,
                                      int64_t last_unit, int64_t now);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_RING_FILLER_H_
