#include "tools/bench/boot_bench.h"

#include <gtest/gtest.h>

namespace tandem::bench {
namespace {

TEST(BootBenchTest, ADecisionTakesLessThanAMillisecond) {
  const BootBenchResult result = RunBootBench();
  EXPECT_GT(result.median, absl::ZeroDuration());
  EXPECT_LT(result.median, absl::Milliseconds(1));
}

}  // namespace
}  // namespace tandem::bench
