#include "cm/health/stability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace tandem::cm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Kind = StabilityEvent::Kind;

class StabilityTest : public testing::Test {
 protected:
  std::string Step(StabilityEvent event) {
    StabilityStep step = StepStability(rules_, state_, event);
    state_ = std::move(step.state);
    return step.anomaly;
  }
  std::string Boot(const std::string& boot_id, uint64_t sequence = 7) {
    // What CM has seen of probes is gone with it.
    state_.failures_in_a_row.clear();
    return Step({.kind = Kind::kCommitted, .sequence = sequence, .attempt = 1, .boot_id = boot_id});
  }
  std::string Probe(bool passed, const std::string& name = "web") {
    return Step({.kind = passed ? Kind::kProbePassed : Kind::kProbeFailed, .probe = name, .detail = "status 500"});
  }

  StabilityRules rules_;
  StabilityState state_;
};

TEST_F(StabilityTest, StartsThatNobodyAskedForAreToldOnce) {
  EXPECT_THAT(Boot("a"), IsEmpty());
  EXPECT_THAT(Boot("b"), IsEmpty());
  EXPECT_THAT(Boot("c"), IsEmpty());
  EXPECT_THAT(Boot("d"), HasSubstr("started 3 times by itself"));
  EXPECT_THAT(Boot("e"), IsEmpty());
  EXPECT_EQ(state_.restarts, 4u);
}

TEST_F(StabilityTest, ARestartOfCmAloneIsNoStartOfTheUnit) {
  for (int i = 0; i < 10; ++i) EXPECT_THAT(Boot("a"), IsEmpty());
  EXPECT_EQ(state_.restarts, 0u);
}

TEST_F(StabilityTest, AStartAfterAnOrderlyEndWasAskedFor) {
  Boot("a");
  for (const char* boot : {"b", "c", "d", "e"}) {
    Step({.kind = Kind::kEnded});
    EXPECT_THAT(Boot(boot), IsEmpty());
  }
  EXPECT_EQ(state_.restarts, 0u);
}

TEST_F(StabilityTest, BootsOfAnUpdateDoNotCount) {
  Boot("a");
  for (const char* boot : {"b", "c", "d", "e"}) {
    Step({.kind = Kind::kNotWatched});
    // It was taken back: what is committed is the same.
    EXPECT_THAT(Boot(boot), IsEmpty());
  }
  EXPECT_EQ(state_.restarts, 0u);
}

TEST_F(StabilityTest, ANewUpdateBeginsAnew) {
  for (const char* boot : {"a", "b", "c", "d"}) Boot(boot);
  EXPECT_EQ(state_.restarts, 3u);
  EXPECT_THAT(Boot("e", 8), IsEmpty());
  EXPECT_EQ(state_.restarts, 0u);
  EXPECT_THAT(Boot("f", 8), IsEmpty());
  EXPECT_THAT(Boot("g", 8), IsEmpty());
  EXPECT_THAT(Boot("h", 8), HasSubstr("3 times"));
}

TEST_F(StabilityTest, AProbeIsToldAfterSoManyFailuresInARowAndOnce) {
  Boot("a");
  EXPECT_THAT(Probe(false), IsEmpty());
  EXPECT_THAT(Probe(false), IsEmpty());
  EXPECT_THAT(Probe(true), IsEmpty());
  EXPECT_THAT(Probe(false), IsEmpty());
  EXPECT_THAT(Probe(false), IsEmpty());
  EXPECT_THAT(Probe(false), HasSubstr("probe \"web\" failed 3 times in a row: status 500"));
  for (int i = 0; i < 10; ++i) EXPECT_THAT(Probe(false), IsEmpty());
  // Others are told for themselves; and after a restart it is still known.
  EXPECT_THAT(Boot("a"), IsEmpty());
  for (int i = 0; i < 10; ++i) EXPECT_THAT(Probe(false), IsEmpty());
  Probe(false, "disk");
  Probe(false, "disk");
  EXPECT_THAT(Probe(false, "disk"), HasSubstr("\"disk\""));
}

}  // namespace
}  // namespace tandem::cm
