#include "fleet/rollout/plan.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PlannedRing Ring(uint64_t units) {
  PlannedRing ring;
  ring.name = "canary";
  ring.units = ring.controls = units;
  return ring;
}

RingPlan Plan(const PlannedRing& ring) { return MakePlan({ring}).value().rings.front(); }

PlannedRing Statistical(uint64_t units) {
  PlannedRing ring = Ring(units);
  ring.gate.failure_policy = GatePolicy::FailurePolicy::kStatistical;
  return ring;
}

TEST(Plan, WithoutLimitsARingTakesAsLongAsItsScores) {
  const RingPlan plan = Plan(Ring(1'000'000));
  EXPECT_EQ(plan.duration, absl::Hours(1));
  EXPECT_EQ(plan.bound, DurationBound::kScoreAge);
  EXPECT_THAT(plan.warnings, IsEmpty());
}

TEST(Plan, TheRateBoundsALargeRing) {
  PlannedRing ring = Ring(6'001);
  ring.units_per_minute = 10;
  const RingPlan plan = Plan(ring);
  EXPECT_EQ(plan.duration, absl::Hours(11));
  EXPECT_EQ(plan.bound, DurationBound::kRate);
}

TEST(Plan, UnitsInFlightGoInWaves) {
  PlannedRing ring = Ring(100);
  ring.max_in_flight = 10;
  EXPECT_EQ(Plan(ring).duration, absl::Minutes(9 * 10 + 60));
  EXPECT_EQ(Plan(ring).bound, DurationBound::kInFlight);
  ring.units = 101;
  EXPECT_EQ(Plan(ring).duration, absl::Minutes(10 * 10 + 60));
}

TEST(Plan, RehearsalsAndTheWindowComeOnTop) {
  PlannedRing ring = Ring(100);
  ring.gate.rehearsals = 2;
  ring.gate.stability_window = absl::Hours(24);
  EXPECT_EQ(Plan(ring).duration, absl::Hours(25) + absl::Minutes(20));
  EXPECT_EQ(Plan(ring).bound, DurationBound::kStabilityWindow);
  ring.gate.stability_window = absl::ZeroDuration();
  ring.attempt = absl::Minutes(50);
  EXPECT_EQ(Plan(ring).bound, DurationBound::kRehearsals);
}

TEST(Plan, WarnsOfARingThatIsTooSmallToDecide) {
  EXPECT_THAT(Plan(Statistical(290)).warnings,
              ElementsAre("too small to decide: a promotion needs 291 clean passes, the ring has 290 units"));
  EXPECT_THAT(
      Plan(Statistical(300)).warnings,
      ElementsAre("often too small to decide: a release that fails at p0 = 1 % is promoted in 5 % of cases, and "
                  "else held until an operator decides"));
  EXPECT_THAT(Plan(Statistical(2'000)).warnings, IsEmpty());
  EXPECT_THAT(Plan(Statistical(4)).warnings, Contains(HasSubstr("finds no regression")));
}

TEST(Plan, WarnsOfMissingControls) {
  PlannedRing ring = Statistical(2'001);
  ring.controls = 1'001;
  EXPECT_THAT(Plan(ring).warnings, IsEmpty());
  ring.controls = 1'000;
  EXPECT_THAT(Plan(ring).warnings, ElementsAre(HasSubstr("1000 controls for 2001 units: a fleet-wide shock")));
}

// The gate must take as many controls as the plan asks for.
TEST(Plan, AgreesWithTheGateOnHowManyControlsAreEnough) {
  for (uint64_t units = 1; units < 20; ++units) {
    for (uint64_t controls = 0; controls <= units; ++controls) {
      PlannedRing ring = Statistical(units);
      ring.controls = controls;
      RingCounts counts;
      counts.members = units;
      counts.controls = controls;
      const bool warned = testing::Value(Plan(ring).warnings, Contains(HasSubstr("shock")));
      EXPECT_NE(Decide(ring.gate, counts).evidence.guarded, warned) << controls << " of " << units;
    }
  }
}

TEST(Plan, WarnsOfWhatTheGateCanNeverGet) {
  PlannedRing ring = Ring(3);
  ring.gate.min_units = 4;
  ring.gate.rehearsals = 5;
  ring.gate.failure_threshold = 6;
  ring.attempt = absl::Hours(2);
  EXPECT_THAT(
      Plan(ring).warnings,
      ElementsAre(HasSubstr("min_units is 4, the ring has 3"), HasSubstr("5 rehearsed rollbacks, the ring has 3"),
                  HasSubstr("finds no regression"), HasSubstr("before an attempt's expected end at 2h")));
}

TEST(Plan, AnEmptyRingTakesNoTime) {
  const RingPlan plan = Plan(Ring(0));
  EXPECT_EQ(plan.duration, absl::ZeroDuration());
  EXPECT_THAT(plan.warnings, ElementsAre("no unit of the target is left for this ring"));
}

TEST(SmallestRateFound, IsTheClosedFormForOneFailure) {
  for (const uint64_t units : {1U, 10U, 50U, 1'000U, 1'000'000U}) {
    const double exact = 1 - std::pow(0.1, 1.0 / static_cast<double>(units));
    EXPECT_NEAR(*SmallestRateFound(units, 1, 0.9) / exact, 1, 0.001) << units;
  }
  EXPECT_EQ(SmallestRateFound(2, 3, 0.9), std::nullopt);
}

// The 0.95 quantile of the beta distribution B(2, 19) and B(3, 8), from tables of Clopper and Pearson's bounds.
TEST(SmallestRateFound, IsTheUpperConfidenceBoundForMoreFailures) {
  EXPECT_NEAR(*SmallestRateFound(20, 2, 0.95), 0.2161, 0.0005);
  EXPECT_NEAR(*SmallestRateFound(10, 3, 0.95), 0.5069, 0.0005);
}

TEST(Plan, RefusesWhatCannotBeNamingTheRing) {
  PlannedRing ring = Ring(10);
  ring.units_per_minute = -1;
  EXPECT_THAT(std::string(MakePlan({ring}).status().message()), HasSubstr("ring canary: units_per_minute = -1"));
  ring = Ring(10);
  ring.gate.min_units = 0;
  EXPECT_THAT(std::string(MakePlan({ring}).status().message()), HasSubstr("ring canary: min_units = 0"));
  ring = Ring(10);
  ring.attempt = -absl::Seconds(1);
  EXPECT_THAT(std::string(MakePlan({ring}).status().message()), HasSubstr("cannot be negative"));
}

TEST(Plan, LinesSayItToPeople) {
  PlannedRing full = Statistical(10'000);
  full.name = "full";
  full.units_per_minute = 100;
  full.controls = 0;
  EXPECT_THAT(
      PlanLines(MakePlan({Ring(50), full}).value()),
      ElementsAre("canary: 50 units, 1h (most of it: age of a score), needs 50 passes, finds a failure rate from "
                  "4.5 % up",
                  HasSubstr("full: 10000 units, 2h40m (most of it: rate), needs 291 passes, finds a failure "
                            "rate from 2 % up"),
                  HasSubstr("  warning: 0 controls for 10000 units"), "in all: 3h40m"));
}

}  // namespace
}  // namespace tandem::fleet
