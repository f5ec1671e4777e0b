#include "tools/bench/message_bench.h"

#include <gtest/gtest.h>

namespace tandem::bench {
namespace {

TEST(MessageBenchTest, OnePassIsSeveralTimesAsFastAsThree) {
  const MessageBenchResult result = RunMessageBench();
  EXPECT_GT(result.bytes, 1000u);
  // A ratio of one run, so that a slow or sanitized build does not matter.
  EXPECT_LT(result.ours * 2, result.general) << result.ours << " against " << result.general;
}

}  // namespace
}  // namespace tandem::bench
