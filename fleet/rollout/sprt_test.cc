#include "fleet/rollout/sprt.h"

#include <cmath>
#include <string>
#include <vector>

#include "fleet/rollout/seeded_units.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

using testing::HasSubstr;

constexpr SprtParams kOneToTwo{.p0 = 0.01, .p1 = 0.02, .alpha = 0.05, .beta = 0.05};
constexpr SprtParams kAll[] = {
    kOneToTwo,
    {.p0 = 0.01, .p1 = 0.02, .alpha = 0.05, .beta = 0.10},
    {.p0 = 0.01, .p1 = 0.05, .alpha = 0.05, .beta = 0.05},
    {.p0 = 0.02, .p1 = 0.10, .alpha = 0.10, .beta = 0.01},
    {.p0 = 0.001, .p1 = 0.01, .alpha = 0.01, .beta = 0.05},
    {.p0 = 0.10, .p1 = 0.30, .alpha = 0.05, .beta = 0.20},
};
constexpr int kRuns = 10'000;
// Long enough that nothing stays undecided.
constexpr uint64_t kLong = 100'000;

TEST(Sprt, BoundsAndWeightsFollowTheFormulas) {
  const Sprt sprt({.p0 = 0.01, .p1 = 0.04, .alpha = 0.05, .beta = 0.20});
  EXPECT_NEAR(sprt.abort_bound(), std::log(16), 1e-12);
  EXPECT_NEAR(sprt.promote_bound(), std::log(4.0 / 19), 1e-12);
  EXPECT_NEAR(sprt.failure_weight(), std::log(4), 1e-12);
  EXPECT_NEAR(sprt.pass_weight(), std::log(96.0 / 99), 1e-12);
  EXPECT_NEAR(sprt.Llr(3, 2), 2 * std::log(4) + 3 * std::log(96.0 / 99), 1e-12);
}

TEST(Sprt, CleanPassesDependOnBothErrorRates) {
  const auto passes = [](double alpha, double beta) {
    return CleanPassesToPromote({.p0 = 0.01, .p1 = 0.02, .alpha = alpha, .beta = beta});
  };
  EXPECT_EQ(passes(0.05, 0.05), 291U);
  EXPECT_EQ(passes(0.05, 0.10), 222U);
  EXPECT_EQ(passes(0.10, 0.05), 285U);
  EXPECT_EQ(passes(0.10, 0.10), 217U);
}

TEST(Sprt, CleanPassesAreTheFirstNumberThatPromotes) {
  for (const SprtParams& params : kAll) {
    for (const uint64_t failures : {0U, 1U, 3U}) {
      const auto passes = static_cast<double>(CleanPassesToPromote(params, 0, failures));
      const auto failed = static_cast<double>(failures);
      EXPECT_EQ(Sprt(params).Judge(passes, failed), Sprt::Verdict::kPromote);
      EXPECT_NE(Sprt(params).Judge(passes - 1, failed), Sprt::Verdict::kPromote);
    }
  }
  EXPECT_EQ(CleanPassesToPromote(kOneToTwo, 200, 0), 91U);
  EXPECT_EQ(CleanPassesToPromote(kOneToTwo, 400, 0), 0U);
}

TEST(Sprt, FailuresAbort) {
  EXPECT_EQ(Sprt(kOneToTwo).Judge(0, 4), Sprt::Verdict::kUndecided);
  EXPECT_EQ(Sprt(kOneToTwo).Judge(0, 5), Sprt::Verdict::kAbort);
  EXPECT_EQ(Sprt(kOneToTwo).Judge(100, 5), Sprt::Verdict::kUndecided);
  EXPECT_EQ(Sprt(kOneToTwo).Judge(0, 0), Sprt::Verdict::kUndecided);
}

TEST(Sprt, RefusesParametersThatDecideNothing) {
  struct Case {
    SprtParams params;
    std::string says;
  };
  const double nan = std::nan("");
  const Case cases[] = {
      {{.p0 = 0}, "p0 = 0: the accepted failure rate"},
      {{.p0 = 1}, "p0 = 1"},
      {{.p0 = nan}, "p0 = nan"},
      {{.p0 = 0.02, .p1 = 0.01}, "p1 = 0.01: the failure rate that must be found is below 1 and at least 1.05 p0"},
      {{.p0 = 0.02, .p1 = 0.02}, "p1 = 0.02"},
      {{.p1 = 1}, "p1 = 1"},
      {{.p1 = nan}, "p1 = nan"},
      {{.alpha = 0}, "alpha = 0: the accepted probability of a false abort"},
      {{.alpha = 0.5}, "alpha = 0.5"},
      {{.beta = 0.7}, "beta = 0.7: the accepted probability of a missed regression"},
      {{.beta = nan}, "beta = nan"},
  };
  for (const Case& c : cases) EXPECT_THAT(std::string(Check(c.params).message()), HasSubstr(c.says));
  for (const SprtParams& params : kAll) EXPECT_TRUE(Check(params).ok());
}

// Every sequence of passes and failures, one by one.
void AddAllRuns(const Sprt& sprt, double rate, int units, int passes, int failures, double probability,
                OperatingCharacteristic& sum) {
  const Sprt::Verdict verdict = sprt.Judge(passes, failures);
  if (verdict == Sprt::Verdict::kUndecided && passes + failures < units) {
    AddAllRuns(sprt, rate, units, passes + 1, failures, probability * (1 - rate), sum);
    AddAllRuns(sprt, rate, units, passes, failures + 1, probability * rate, sum);
    return;
  }
  sum.expected_units += probability * (passes + failures);
  (verdict == Sprt::Verdict::kAbort     ? sum.abort
   : verdict == Sprt::Verdict::kPromote ? sum.promote
                                        : sum.undecided) += probability;
}

TEST(Characteristic, EqualsTheSumOverAllSequences) {
  const SprtParams params{.p0 = 0.1, .p1 = 0.4, .alpha = 0.1, .beta = 0.2};
  for (const double rate : {0.05, 0.1, 0.4, 0.9}) {
    OperatingCharacteristic sum;
    AddAllRuns(Sprt(params), rate, 16, 0, 0, 1, sum);
    const OperatingCharacteristic exact = Characteristic(params, rate, 16);
    EXPECT_NEAR(exact.abort, sum.abort, 1e-12);
    EXPECT_NEAR(exact.promote, sum.promote, 1e-12);
    EXPECT_NEAR(exact.undecided, sum.undecided, 1e-12);
    EXPECT_NEAR(exact.expected_units, sum.expected_units, 1e-9);
    EXPECT_GT(exact.undecided, 0);
  }
}

TEST(Characteristic, KeepsWaldsBounds) {
  for (const SprtParams& params : kAll) {
    const double false_abort = Characteristic(params, params.p0, kLong).abort;
    const double missed = Characteristic(params, params.p1, kLong).promote;
    EXPECT_LE(false_abort, params.alpha / (1 - params.beta));
    EXPECT_LE(missed, params.beta / (1 - params.alpha));
    EXPECT_LE(false_abort + missed, params.alpha + params.beta);
  }
}

// 10,000 runs of `params` at the true failure rate `rate`, unit by unit.
OperatingCharacteristic Simulate(const SprtParams& params, double rate, uint64_t units, uint64_t seed) {
  SeededUnits random(seed);
  const Sprt sprt(params);
  OperatingCharacteristic sum;
  for (int run = 0; run < kRuns; ++run) {
    uint64_t passes = 0;
    uint64_t failures = 0;
    Sprt::Verdict verdict = Sprt::Verdict::kUndecided;
    while (verdict == Sprt::Verdict::kUndecided && passes + failures < units) {
      ++(random.Fails(rate) ? failures : passes);
      verdict = sprt.Judge(static_cast<double>(passes), static_cast<double>(failures));
    }
    sum.abort += verdict == Sprt::Verdict::kAbort;
    sum.promote += verdict == Sprt::Verdict::kPromote;
    sum.undecided += verdict == Sprt::Verdict::kUndecided;
    sum.expected_units += static_cast<double>(passes + failures);
  }
  return {sum.abort / kRuns, sum.promote / kRuns, sum.undecided / kRuns, sum.expected_units / kRuns};
}

// The error rates of the gate: docs/gates.md prints what this test prints.
TEST(Sprt, TenThousandRunsAgreeWithTheoryWithinOnePercentagePoint) {
  uint64_t seed = 1;
  for (const SprtParams& params : kAll) {
    for (const uint64_t units : {uint64_t{300}, kLong}) {
      const auto good = Simulate(params, params.p0, units, seed++);
      const auto bad = Simulate(params, params.p1, units, seed++);
      const auto good_exact = Characteristic(params, params.p0, units);
      const auto bad_exact = Characteristic(params, params.p1, units);
      EXPECT_NEAR(good.abort, good_exact.abort, 0.01);
      EXPECT_NEAR(good.promote, good_exact.promote, 0.02);
      EXPECT_NEAR(bad.promote, bad_exact.promote, 0.01);
      EXPECT_NEAR(bad.abort, bad_exact.abort, 0.02);
      EXPECT_NEAR(good.expected_units / good_exact.expected_units, 1, 0.05);
      std::printf("| %g %% | %g %% | %g %% | %g %% | %llu | %.2f %% (%.2f %%) | %.2f %% (%.2f %%) | %.0f | %.0f |\n",
                  params.p0 * 100, params.p1 * 100, params.alpha * 100, params.beta * 100,
                  static_cast<unsigned long long>(units), good_exact.abort * 100, good.abort * 100,
                  bad_exact.promote * 100, bad.promote * 100, good_exact.expected_units, bad_exact.expected_units);
    }
  }
}

TEST(SmallestDetectableRegression, IsAbortedOftenEnoughAndNothingSmallerIs) {
  for (const SprtParams& params : kAll) {
    for (const uint64_t units : {50U, 500U, 5'000U}) {
      const auto rate = SmallestDetectableRegression(params, units);
      ASSERT_TRUE(rate.has_value());
      EXPECT_GT(*rate, params.p0);
      EXPECT_GE(Characteristic(params, *rate, units).abort, 1 - params.beta);
      EXPECT_LT(Characteristic(params, *rate * 0.999, units).abort, 1 - params.beta);
    }
  }
}

TEST(SmallestDetectableRegression, ShrinksWithTheRingAndNeedsEnoughUnitsToFailAtAll) {
  EXPECT_EQ(SmallestDetectableRegression(kOneToTwo, 0), std::nullopt);
  EXPECT_EQ(SmallestDetectableRegression(kOneToTwo, 4), std::nullopt);
  double before = 1.01;
  for (const uint64_t units : {5U, 20U, 100U, 1'000U, 10'000U}) {
    const auto rate = SmallestDetectableRegression(kOneToTwo, units);
    ASSERT_TRUE(rate.has_value()) << units;
    EXPECT_LT(*rate, before);
    before = *rate;
  }
  EXPECT_NEAR(before, kOneToTwo.p1, 0.001);
}

}  // namespace
}  // namespace tandem::fleet
