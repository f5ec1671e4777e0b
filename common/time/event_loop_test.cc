#include "common/time/event_loop.h"

#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;

TEST(EventLoop, RunsTasksInOrderAndTimersWhenDue) {
  FakeClock clock;
  EventLoop loop(clock);
  std::vector<int> ran;
  loop.PostAfter(absl::Seconds(2), [&] { ran.push_back(3); });
  loop.PostAfter(absl::Seconds(1), [&] { ran.push_back(2); });
  loop.Post([&] { ran.push_back(0); });
  loop.Post([&] { ran.push_back(1); });
  loop.RunReady();
  EXPECT_THAT(ran, ElementsAre(0, 1));
  EXPECT_EQ(loop.NextTimer(), absl::Seconds(1));
  clock.Advance(absl::Seconds(5));
  loop.RunReady();
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(loop.NextTimer(), absl::InfiniteDuration());
}

TEST(EventLoop, ACancelledTimerNeverRunsEvenWhenItIsDueAlready) {
  FakeClock clock;
  EventLoop loop(clock);
  bool ran = false;
  const auto late = loop.PostAfter(absl::Seconds(2), [&] { ran = true; });
  loop.PostAfter(absl::Seconds(1), [&] { loop.Cancel(late); });
  clock.Advance(absl::Seconds(3));
  loop.RunReady();
  EXPECT_FALSE(ran);
}

TEST(EventLoop, WakesForTasksOfOtherThreadsAndStops) {
  EventLoop loop(Clock::Real());
  int sum = 0;
  std::jthread poster([&] {
    for (int i = 1; i <= 100; ++i) loop.Post([&sum, i] { sum += i; });
    loop.PostAfter(absl::Milliseconds(1), [&] { loop.Stop(); });
  });
  loop.Run();
  EXPECT_EQ(sum, 5050);
}

}  // namespace
}  // namespace tandem
