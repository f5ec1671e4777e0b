#include "fleet/controller/fleet_time.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/log/log.h"

namespace tandem::fleet {
namespace {

// Clocks of a fleet's machines are this close to each other.
constexpr absl::Duration kFollowedAtOnce = absl::Seconds(1);
constexpr absl::Duration kWorthAWarning = absl::Minutes(1);

}  // namespace

absl::Time SlewTowards(absl::Time fleet, absl::Duration elapsed, absl::Time wall) {
  const absl::Time steady = fleet + elapsed;
  const absl::Duration behind = wall - steady;
  if (behind > kFollowedAtOnce) return steady + std::min(behind, elapsed);
  if (behind >= absl::ZeroDuration()) return wall;
  return steady - std::min(-behind, elapsed / 2);
}

int64_t FleetTime::Now() {
  std::lock_guard lock(mutex_);
  const absl::Duration now = clock_.Monotonic();
  const absl::Time wall = clock_.Now();
  const absl::Duration elapsed = now - last_;
  fleet_ = SlewTowards(fleet_, elapsed, wall);
  last_ = now;
  const bool far = absl::AbsDuration(wall - fleet_) > kWorthAWarning;
  if (far && !warned_) {
    LogWarning("the machine's clock has jumped; the fleet's time follows it slowly",
               {{"difference_s", absl::StrCat(absl::ToInt64Seconds(wall - fleet_))}});
  }
  warned_ = far;
  return absl::ToUnixSeconds(fleet_);
}

}  // namespace tandem::fleet
