#include "cm/local_api/loop_call.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/status/statusor.h"

namespace tandem::cm {
namespace {

using std::chrono::milliseconds;

constexpr auto kRuns = [] { return false; };

TEST(LoopCall, GivesWhatTheCallGives) {
  EventLoop loop(Clock::Real());
  std::thread thread([&] { loop.Run(); });
  const absl::StatusOr<int> result = CallOnLoop(
      loop, [] { return absl::StatusOr<int>(7); }, std::chrono::seconds(10), kRuns);
  EXPECT_EQ(result.value_or(0), 7);
  loop.Stop();
  thread.join();
}

TEST(LoopCall, WhatWasGivenUpNeverRuns) {
  EventLoop loop(Clock::Real());
  bool ran = false;
  const auto call = [&] {
    ran = true;
    return absl::StatusOr<int>(7);
  };
  EXPECT_TRUE(absl::IsDeadlineExceeded(CallOnLoop(loop, call, milliseconds(1), kRuns).status()));
  EXPECT_TRUE(absl::IsUnavailable(CallOnLoop(loop, call, std::chrono::seconds(10), [] { return true; }).status()));
  EXPECT_EQ(loop.RunReady(), 2);
  EXPECT_FALSE(ran);
}

TEST(LoopCall, WhatHasBegunIsWaitedFor) {
  EventLoop loop(Clock::Real());
  std::promise<void> begun;
  std::promise<void> go_on;
  std::thread thread([&] { loop.Run(); });
  std::thread opener([&] {
    begun.get_future().wait();
    std::this_thread::sleep_for(milliseconds(200));
    go_on.set_value();
  });
  const absl::StatusOr<int> result = CallOnLoop(
      loop,
      [&] {
        begun.set_value();
        go_on.get_future().wait();
        return absl::StatusOr<int>(7);
      },
      milliseconds(100), kRuns);
  EXPECT_EQ(result.value_or(0), 7);
  opener.join();
  loop.Stop();
  thread.join();
}

}  // namespace
}  // namespace tandem::cm
