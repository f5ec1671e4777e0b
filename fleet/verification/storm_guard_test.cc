#include "fleet/verification/storm_guard.h"

#include <gtest/gtest.h>

namespace tandem::fleet {
namespace {

constexpr int64_t kNow = 1'800'000'000;
constexpr int64_t kHour = 3600;

StormGuard Failed(StormGuard guard, std::initializer_list<int64_t> releases, int64_t every = kHour) {
  int64_t at = kNow;
  for (const int64_t release : releases) {
    guard = AfterFailure(guard, release, at).guard;
    at += every;
  }
  return guard;
}

TEST(StormGuardTest, TheThirdFailureInARowTrips) {
  const StormGuard two = Failed({}, {1, 2});
  EXPECT_TRUE(MayRollBack(two, kNow + 2 * kHour));
  const StormStep third = AfterFailure(two, 3, kNow + 2 * kHour);
  EXPECT_TRUE(third.tripped);
  EXPECT_FALSE(MayRollBack(third.guard, kNow + 2 * kHour));
  EXPECT_EQ(third.guard.disabled_until, kNow + 2 * kHour + 24 * kHour);
}

TEST(StormGuardTest, OneReleaseCountsOnce) {
  const StormGuard guard = Failed({}, {1, 1, 1, 1});
  EXPECT_EQ(guard.streak.size(), 1);
  EXPECT_TRUE(MayRollBack(guard, kNow + 4 * kHour));
}

TEST(StormGuardTest, OnlyFailuresWithinADayCount) {
  EXPECT_TRUE(MayRollBack(Failed({}, {1, 2, 3}, 13 * kHour), kNow + 26 * kHour));
  // A failure that is exactly a day old is gone.
  const StormStep step = AfterFailure(Failed({}, {1, 2}, 0), 3, kNow + 24 * kHour);
  EXPECT_FALSE(step.tripped);
  EXPECT_TRUE(AfterFailure(Failed({}, {1, 2}, 0), 3, kNow + 24 * kHour - 1).tripped);
}

TEST(StormGuardTest, AForwardVerifiedReleaseResetsTheStreak) {
  const StormGuard guard = AfterForwardVerified(Failed({}, {1, 2}));
  EXPECT_FALSE(AfterFailure(guard, 3, kNow + 2 * kHour).tripped);
}

TEST(StormGuardTest, AVerifiedReleaseDoesNotEndWhatTheGuardDid) {
  const StormGuard guard = AfterForwardVerified(Failed({}, {1, 2, 3}));
  EXPECT_FALSE(MayRollBack(guard, kNow + 3 * kHour));
}

TEST(StormGuardTest, TheGuardEndsByTime) {
  const StormGuard guard = Failed({}, {1, 2, 3}, 0);
  EXPECT_FALSE(MayRollBack(guard, kNow + 24 * kHour - 1));
  EXPECT_TRUE(MayRollBack(guard, kNow + 24 * kHour));
  EXPECT_EQ(AfterTime(guard, kNow + 24 * kHour - 1), guard);
  const StormGuard after = AfterTime(guard, kNow + 24 * kHour);
  EXPECT_EQ(after.disabled_until, 0);
  EXPECT_TRUE(after.streak.empty());
}

TEST(StormGuardTest, AnOperatorEndsItAndTheStreakBeginsAnew) {
  const StormGuard guard = AfterSwitch(Failed({}, {1, 2, 3}, 0), /*on=*/true);
  EXPECT_TRUE(MayRollBack(guard, kNow));
  EXPECT_FALSE(AfterFailure(guard, 4, kNow).tripped);
}

TEST(StormGuardTest, SwitchedOffStaysOffWhateverTheTime) {
  const StormGuard guard = AfterSwitch({}, /*on=*/false);
  EXPECT_FALSE(MayRollBack(guard, kNow + 1000 * kHour));
  EXPECT_FALSE(MayRollBack(AfterTime(guard, kNow + 1000 * kHour), kNow + 1000 * kHour));
}

TEST(StormGuardTest, FailuresWhileItIsActiveDoNotPutItOff) {
  const StormGuard guard = Failed({}, {1, 2, 3}, 0);
  const StormStep step = AfterFailure(guard, 4, kNow + kHour);
  EXPECT_FALSE(step.tripped);
  EXPECT_EQ(step.guard.disabled_until, guard.disabled_until);
}

}  // namespace
}  // namespace tandem::fleet
