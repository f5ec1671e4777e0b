#include "fleet/controller/fleet_time.h"

#include <gtest/gtest.h>

namespace tandem::fleet {
namespace {

constexpr absl::Time kStart = absl::FromUnixSeconds(1'800'000'000);

TEST(FleetTimeTest, FollowsASteadyClock) {
  FakeClock clock(kStart);
  FleetTime time(clock);
  clock.Advance(absl::Seconds(90));
  EXPECT_EQ(time.Now(), 1'800'000'090);
}

TEST(FleetTimeTest, ALeapForwardMakesNobodySilent) {
  FakeClock clock(kStart);
  FleetTime time(clock);
  clock.SetNow(kStart + absl::Hours(24));
  for (int i = 0; i < 100; ++i) {
    clock.Advance(absl::Milliseconds(100));
    time.Now();
  }
  // Ten seconds passed; it makes up for the difference at double speed.
  EXPECT_EQ(time.Now(), 1'800'000'020);
}

TEST(FleetTimeTest, ALeapBackStopsNothing) {
  FakeClock clock(kStart);
  FleetTime time(clock);
  clock.SetNow(kStart - absl::Hours(24));
  int64_t last = time.Now();
  for (int i = 0; i < 20; ++i) {
    clock.Advance(absl::Seconds(1));
    const int64_t now = time.Now();
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_EQ(last, 1'800'000'010);
}

TEST(FleetTimeTest, CatchesUpAndThenKeepsPace) {
  absl::Time fleet = kStart;
  absl::Time wall = kStart + absl::Seconds(30);
  for (int i = 0; i < 60; ++i) {
    wall += absl::Seconds(1);
    fleet = SlewTowards(fleet, absl::Seconds(1), wall);
  }
  EXPECT_EQ(fleet, wall);
}

}  // namespace
}  // namespace tandem::fleet
