#include "fleet/verification/storm_guard.h"

#include <algorithm>

namespace tandem::fleet {

StormStep AfterFailure(const StormGuard& guard, int64_t release, int64_t now) {
  StormStep step{.guard = AfterTime(guard, now)};
  std::vector<StormGuard::Failure>& streak = step.guard.streak;
  std::erase_if(streak, [&](const StormGuard::Failure& failure) {
    return failure.release == release || failure.at <= now - kStormWindowSeconds;
  });
  streak.push_back({.release = release, .at = now});
  if (streak.size() >= kStormLimit && step.guard.disabled_until == 0) {
    step.guard.disabled_until = now + kStormDisabledSeconds;
    step.tripped = true;
  }
  return step;
}

StormGuard AfterForwardVerified(const StormGuard& guard) {
  StormGuard after = guard;
  after.streak.clear();
  return after;
}

StormGuard AfterSwitch(const StormGuard& guard, bool on) {
  StormGuard after = guard;
  after.switched_on = on;
  if (on) {
    after.disabled_until = 0;
    after.streak.clear();
  }
  return after;
}

StormGuard AfterTime(const StormGuard& guard, int64_t now) {
  if (guard.disabled_until == 0 || now < guard.disabled_until) return guard;
  StormGuard after = guard;
  after.disabled_until = 0;
  after.streak.clear();
  return after;
}

bool MayRollBack(const StormGuard& guard, int64_t now) {
  return guard.switched_on && (guard.disabled_until == 0 || now >= guard.disabled_until);
}

}  // namespace tandem::fleet
