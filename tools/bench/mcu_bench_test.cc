#include "tools/bench/mcu_bench.h"

#include <gtest/gtest.h>

namespace tandem::bench {
namespace {

// A fast line, so that it is over soon; the bound leaves room for a busy machine.
TEST(McuBenchTest, AnUploadKeepsTheLineBusy) {
  for (const int latency : {0, 5}) {
    const absl::StatusOr<McuBenchResult> result =
        RunMcuBench({.line = {.bits_per_second = 500'000, .latency = absl::Milliseconds(latency)}},
                    {.length = absl::Seconds(1), .runs = 1});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_GE(result->Percent(), 75) << latency;
    EXPECT_LE(result->Percent(), 101) << "the line carries no more than its rate";
    EXPECT_LT(result->simple, result->ours) << latency;
  }
}

TEST(McuBenchTest, UdpIsServedToo) {
  const absl::StatusOr<McuBenchResult> result =
      RunMcuBench({.line = {.udp = true, .bits_per_second = 10'000'000, .latency = {}}},
                  {.length = absl::Milliseconds(500), .runs = 1, .compare = false});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GE(result->Percent(), 60);
  EXPECT_LE(result->Percent(), 101);
}

TEST(McuBenchTest, TheFramingLeavesWhatItShould) {
  // 127 bytes on the line carry 93; ten bits on the line carry a byte.
  const double whole_frame = LineSeconds({.bits_per_second = 115200}, 127);
  EXPECT_NEAR(93 / whole_frame, 115200 / 10.0 * 93 / 127, 0.001);
}

}  // namespace
}  // namespace tandem::bench
