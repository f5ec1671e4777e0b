// The storm guard of a project: when release after release fails its verification, something else is wrong, and taking
// them all back would only move the fleet about (FLEET item 17). Three failures in a row, of different releases, within
// 24 hours switch automatic rollback off for 24 hours, or until an operator switches it on again.
//
//   StormGuard guard;
//   const StormStep step = AfterFailure(guard, release, now);
//   step.tripped                       // this one was the third: its release is not taken back by itself any more
//   MayRollBack(step.guard, now)
//
// Pure functions; times are seconds.
#ifndef TANDEM_FLEET_VERIFICATION_STORM_GUARD_H_
#define TANDEM_FLEET_VERIFICATION_STORM_GUARD_H_

#include <cstdint>
#include <vector>

namespace tandem::fleet {

inline constexpr int kStormLimit = 3;
inline constexpr int64_t kStormWindowSeconds = int64_t{24} * 3600;
inline constexpr int64_t kStormDisabledSeconds = int64_t{24} * 3600;

struct StormGuard {
  // By operators.
  bool switched_on = true;
  struct Failure {
    // Its number.
    int64_t release = 0;
    int64_t at = 0;
    friend bool operator==(const Failure&, const Failure&) = default;
  };
  // In a row, oldest first, each release once.
  std::vector<Failure> streak;
  // 0: the guard has not acted.
  int64_t disabled_until = 0;

  friend bool operator==(const StormGuard&, const StormGuard&) = default;
};

struct StormStep {
  StormGuard guard;
  // The guard acts because of this very failure.
  bool tripped = false;
};

// The first unit failed the verification of `release`. States flip and diagnostics run whatever the guard says.
StormStep AfterFailure(const StormGuard& guard, int64_t release, int64_t now);
// A release that went forward is verified. A rollback that succeeded is none.
StormGuard AfterForwardVerified(const StormGuard& guard);
// An operator's word. On also ends what the guard did, and its streak.
StormGuard AfterSwitch(const StormGuard& guard, bool on);
// The time has come: the guard's own stop ends, and its streak with it. Unchanged before that.
StormGuard AfterTime(const StormGuard& guard, int64_t now);

bool MayRollBack(const StormGuard& guard, int64_t now);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_VERIFICATION_STORM_GUARD_H_
