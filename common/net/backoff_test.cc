#include "common/net/backoff.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

TEST(BackoffTest, GrowsToItsMaximumAndStaysThere) {
  Backoff backoff({.first = absl::Seconds(1), .max = absl::Seconds(5), .factor = 2.0}, 7);
  for (const int ceiling : {1, 2, 4, 5, 5, 5}) {
    const absl::Duration delay = backoff.Next();
    EXPECT_GE(delay, absl::Seconds(ceiling) / 2);
    EXPECT_LE(delay, absl::Seconds(ceiling));
  }
}

TEST(BackoffTest, StartsAfreshAfterASuccess) {
  Backoff backoff({.first = absl::Seconds(1), .max = absl::Hours(1), .factor = 10.0}, 7);
  for (int i = 0; i < 5; ++i) backoff.Next();
  backoff.Reset();
  EXPECT_LE(backoff.Next(), absl::Seconds(1));
}

TEST(BackoffTest, TwoUnitsDoNotRetryInStep) {
  Backoff one({}, 1);
  Backoff other({}, 2);
  EXPECT_NE(one.Next(), other.Next());
}

}  // namespace
}  // namespace tandem
