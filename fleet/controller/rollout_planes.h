// What a rollout makes of a unit's releases, plane by plane; and what its counters say.
#ifndef TANDEM_FLEET_CONTROLLER_ROLLOUT_PLANES_H_
#define TANDEM_FLEET_CONTROLLER_ROLLOUT_PLANES_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fleet/rollout/attempt_machine.h"
#include "fleet/store/records.h"

namespace tandem::fleet {

// Orders, or ways back, in one transaction: about a tenth of a second.
inline constexpr int kOrdersAtOnce = 250;
// Members that are looked at for one batch, when many wait for something.
inline constexpr int kMembersLookedAt = 1000;

// `planes`, with those of the set taken from `from`.
inline PlaneReleases WithPlanes(PlaneReleases planes, PlaneSet which, const PlaneReleases& from) {
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (Has(which, plane)) planes[plane] = from[plane];
  }
  return planes;
}

// `planes`, with those of the set at `release`.
inline PlaneReleases WithRelease(PlaneReleases planes, PlaneSet which, int64_t release) {
  return WithPlanes(planes, which, {release, release, release});
}

// All planes of the set are at `release`.
inline bool AllAt(const PlaneReleases& planes, PlaneSet which, int64_t release) {
  return planes == WithRelease(planes, which, release);
}

// A unit that went without a goodbye is away as one that said it.
inline AttemptEvent OrderedEvent(const UnitRow& unit) {
  return unit.online && !unit.stale ? AttemptEvent::kOrdered : AttemptEvent::kOrderedOffline;
}

// A counter of those that Counters() read; never below 0.
inline int64_t At(const std::map<std::string, int64_t>& counts, const std::string& name) {
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : std::max<int64_t>(found->second, 0);
}

inline int64_t InFlight(const std::map<std::string, int64_t>& counts, const std::string& prefix = "") {
  return At(counts, prefix + "asked") + At(counts, prefix + "updating") + At(counts, prefix + "provisional") +
         At(counts, prefix + "verifying") + At(counts, prefix + "verifying_trial") + At(counts, prefix + "cleared");
}

// The rings up to the rollout's own whose units wait for their turn: an earlier one, when it was promoted before all of
// it had theirs, or when one of its units is tried again. `counts`: of all rings of the rollout.
inline std::vector<int64_t> QueuedRings(const std::map<std::string, int64_t>& counts, const RolloutRow& rollout) {
  std::vector<int64_t> rings;
  for (int64_t ring = 0; ring <= rollout.ring; ++ring) {
    if (At(counts, absl::StrCat(ring, "/queued")) != 0) rings.push_back(ring);
  }
  return rings;
}

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_ROLLOUT_PLANES_H_
