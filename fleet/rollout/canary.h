// Which units of the target make up a ring: by hash, so that each release is tried on other units first, and
// stratified, so that each hardware in each region is among them.
//
// A unit has a position in [0, 2^64) that depends on its id and the release; a ring takes the lowest positions of each
// stratum. The fleet is read twice, so that memory is O(strata + chosen units), not O(fleet):
//
//   StratumCounts counts;                                            // pass 1: every unit of the target
//   for (unit) { auto& count = counts[stratum]; ++count.units; if (in an earlier ring) ++count.taken; }
//   ASSIGN_OR_RETURN(Quotas quotas, RingQuotas(counts, {.cumulative_percent = 5, .max_units = 1000}));
//   LowestPositions ring(quotas, release_digest);
//   for (unit in no ring yet) ring.Offer(stratum, unit_id);          // pass 2, in any order
//   const std::vector<ChosenUnit> members = ring.Take();
//
//   LowestPositions controls(ControlQuotas(members), release_digest);
//   for (unit in no ring yet) controls.Offer(stratum, unit_id);      // the members are in a ring now
//   PairWithControls(members, controls.Take());
//
// Both passes should see one snapshot of the store. A unit that only the second sees is not chosen unless its position
// is below another's; one that only the first sees leaves its place to the next, or empty. Nothing else can go wrong.
//
// What holds (canary_test.cc): the choice depends on the set of units only, not on their order; a unit chosen at 5 % is
// chosen at 10 %; two releases choose independently. A unit that joins later raises its stratum's quota, so asking
// again with a finished rollout's 100 % chooses exactly the newcomers.
//
// Plain values; no function but Offer() and Take() changes anything. One thread per LowestPositions.
#ifndef TANDEM_FLEET_ROLLOUT_CANARY_H_
#define TANDEM_FLEET_ROLLOUT_CANARY_H_

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem::fleet {

// The first 8 bytes, big-endian, of SHA-256(len(id) || id || len(digest) || digest), each len as 8 bytes big-endian: no
// two pairs give the same input. `release_digest` is the release's identity, raw or hex, but always the same of the
// two.
uint64_t UnitPosition(std::string_view unit_id, std::string_view release_digest);

struct Stratum {
  std::string hardware;
  std::string region;
  auto operator<=>(const Stratum&) const = default;
};

struct StratumCount {
  uint64_t units = 0;  // of the target, those in rings included
  uint64_t taken = 0;  // in this or an earlier ring already
};
using StratumCounts = std::map<Stratum, StratumCount>;

struct RingShare {
  double cumulative_percent = 5;      // of the target, this ring and the earlier ones together; 0 to 100
  std::optional<uint64_t> max_units;  // new members of this ring; none: no limit
};

// How many units each stratum gives. Strata that give none are left out.
using Quotas = std::map<Stratum, uint64_t>;

// quota(s) = max(1, round(units(s) * percent / 100)) - taken(s), at least 0; nothing at 0 %.
// When they exceed max_units, one place after the other goes to the stratum with the largest units / (2 have + 1),
// where have = taken + places got (Sainte-Lague), those with have = 0 first: a larger max_units never takes a place
// away. INVALID_ARGUMENT for a percentage outside 0 to 100.
absl::StatusOr<Quotas> RingQuotas(const StratumCounts& counts, const RingShare& share);

struct ChosenUnit {
  uint64_t position = 0;
  std::string unit_id;
  Stratum stratum;
  // By position; equal positions by id.
  auto operator<=>(const ChosenUnit&) const = default;
};

// As many of each stratum as the ring has members there.
Quotas ControlQuotas(const std::vector<ChosenUnit>& members);

// Keeps the quota's number of lowest positions in each stratum.
class LowestPositions {
 public:
  LowestPositions(Quotas quotas, std::string release_digest);

  // Each unit once, and none that is in a ring. O(log quota).
  void Offer(const Stratum& stratum, std::string_view unit_id);

  // The chosen, lowest position first; this is empty then.
  std::vector<ChosenUnit> Take();

 private:
  struct Heap {
    uint64_t quota = 0;
    std::vector<std::pair<uint64_t, std::string>> units;  // max-heap
  };
  std::map<Stratum, Heap> strata_;
  std::string release_digest_;
};

struct ControlPair {
  std::string member;
  std::string control;
};

// The i-th member of a stratum with the i-th control of the same stratum; members without one are left out.
std::vector<ControlPair> PairWithControls(const std::vector<ChosenUnit>& members,
                                          const std::vector<ChosenUnit>& controls);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_CANARY_H_
