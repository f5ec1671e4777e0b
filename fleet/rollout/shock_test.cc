#include "fleet/rollout/shock.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

#include "fleet/rollout/seeded_units.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

constexpr SprtParams kAll[] = {
    {.p0 = 0.01, .p1 = 0.02, .alpha = 0.05, .beta = 0.05},
    {.p0 = 0.01, .p1 = 0.10, .alpha = 0.05, .beta = 0.10},
    {.p0 = 0.02, .p1 = 0.10, .alpha = 0.10, .beta = 0.05},
};
constexpr int kRuns = 10'000;

struct World {
  double release = 0;  // failure rate that the release adds
  double shock = 0;    // failure rate of both arms
  double Unit() const { return 1 - (1 - release) * (1 - shock); }
};

struct Shares {
  double abort = 0;
  double promote = 0;
  double hold = 0;
};

using Rule = bool (*)(const SprtParams&, const ShockEvidence&);

bool OurRule(const SprtParams& params, const ShockEvidence& evidence) {
  return Attribute(params, evidence) == Blame::kRelease;
}

// The one the header warns of.
bool RacingRule(const SprtParams& params, const ShockEvidence& evidence) {
  const double bound = -std::log(params.alpha);
  return evidence.log_shock < bound || evidence.log_blame >= bound;
}

void Score(SeededUnits& random, double unit_rate, double control_rate, PairCounts& pairs) {
  const bool t = random.Fails(unit_rate);
  const bool c = random.Fails(control_rate);
  ++(t ? (c ? pairs.n11 : pairs.n10) : (c ? pairs.n01 : pairs.n00));
}

// What the gate makes of one ring, looked at after each pair: 'a'bort, 'p'romote or 'h'old.
char RunRing(const SprtParams& params, const World& world, uint64_t units, Rule rule, SeededUnits& random) {
  const Sprt sprt(params);
  PairCounts pairs;
  while (pairs.Total() < units) {
    Score(random, world.Unit(), world.shock, pairs);
    const auto verdict =
        sprt.Judge(static_cast<double>(pairs.n00 + pairs.n01), static_cast<double>(pairs.n10 + pairs.n11));
    if (verdict == Sprt::Verdict::kPromote) return 'p';
    if (verdict == Sprt::Verdict::kAbort && rule(params, Weigh(params, pairs))) return 'a';
  }
  return 'h';
}

Shares Simulate(const SprtParams& params, const World& world, uint64_t units, uint64_t seed, Rule rule = OurRule) {
  SeededUnits random(seed);
  Shares shares;
  for (int run = 0; run < kRuns; ++run) {
    const char outcome = RunRing(params, world, units, rule, random);
    (outcome == 'a' ? shares.abort : outcome == 'p' ? shares.promote : shares.hold) += 1.0 / kRuns;
  }
  return shares;
}

void Print(std::string_view what, const SprtParams& params, uint64_t units, const Shares& shares) {
  std::printf("| %s | %g %% -> %g %%, %g %% / %g %% | %llu | %.2f %% | %.2f %% | %.2f %% |\n",
              std::string(what).c_str(), params.p0 * 100, params.p1 * 100, params.alpha * 100, params.beta * 100,
              static_cast<unsigned long long>(units), shares.abort * 100, shares.promote * 100, shares.hold * 100);
}

TEST(Shock, AShockOfBothArmsIsNotBlamedOnTheRelease) {
  uint64_t seed = 1;
  for (const SprtParams& params : kAll) {
    for (const double rate : {params.p1, 2 * params.p1, 0.3, 0.6}) {
      const Shares shares = Simulate(params, {.release = 0, .shock = rate}, 300, seed++);
      EXPECT_LE(shares.abort, params.alpha + 0.01) << rate;
      if (rate == 0.3) {
        EXPECT_LE(shares.promote, 0.001);
        Print("shock of 30 % in both arms", params, 300, shares);
      }
    }
  }
}

TEST(Shock, ABadReleaseIsFoundUnderAShock) {
  uint64_t seed = 100;
  for (const SprtParams& params : kAll) {
    const Shares shares = Simulate(params, {.release = 0.3, .shock = 0.3}, 500, seed++);
    EXPECT_GE(shares.abort, 0.99);
    EXPECT_LE(shares.promote, 0.001);
    Print("the same, and the release adds 30 %", params, 500, shares);
  }
}

// The release fails at p1, and its controls at the accepted p0.
Shares WithoutShock(const SprtParams& params, double rate, uint64_t units, uint64_t seed) {
  const double release = 1 - (1 - rate) / (1 - params.p0);
  return Simulate(params, {.release = release, .shock = params.p0}, units, seed);
}

TEST(Shock, WithoutAShockTheMissedRegressionsAreThoseOfTheTheory) {
  uint64_t seed = 200;
  for (const SprtParams& params : kAll) {
    for (const uint64_t units : {300U, 5'000U}) {
      const OperatingCharacteristic bad = Characteristic(params, params.p1, units);
      const OperatingCharacteristic good = Characteristic(params, params.p0, units);
      const Shares missed = WithoutShock(params, params.p1, units, seed++);
      const Shares aborted = WithoutShock(params, params.p0, units, seed++);
      EXPECT_NEAR(missed.promote, bad.promote, 0.01);
      EXPECT_LE(aborted.abort, good.abort + 0.01);
      Print("release at p1, controls at p0", params, units, missed);
      Print("both at p0", params, units, aborted);
    }
  }
}

// What a guard may not cost: given the units, a regression is aborted as often as without it.
TEST(Shock, GivenEnoughPairsARegressionIsAbortedAsOftenAsWithoutControls) {
  uint64_t seed = 300;
  for (const SprtParams& params : kAll) {
    const double alone = Characteristic(params, params.p1, 20'000).abort;
    EXPECT_NEAR(WithoutShock(params, params.p1, 20'000, seed++).abort, alone, 0.02);
  }
}

// Proves that the tests above can fail, and why the rule is the other way around.
TEST(Shock, AbortUnlessTheControlsAreShownToFailLosesTheRace) {
  const Shares shares = Simulate(kAll[0], {.release = 0, .shock = 0.3}, 500, 400, RacingRule);
  EXPECT_GT(shares.abort, 0.3);
  Print("shock of 30 % in both arms, racing rule", kAll[0], 500, shares);
}

TEST(Weigh, FollowsTheFormulas) {
  const SprtParams params{.p0 = 0.1, .p1 = 0.2, .alpha = 0.05, .beta = 0.05};
  const ShockEvidence none = Weigh(params, {});
  EXPECT_DOUBLE_EQ(none.log_shock, 0);
  EXPECT_NEAR(none.log_blame, 0, 1e-12);
  const ShockEvidence some = Weigh(params, {.n00 = 3, .n01 = 1, .n10 = 2, .n11 = 1});
  EXPECT_NEAR(some.log_shock, 2 * std::log(2) + 5 * std::log(0.8 / 0.9), 1e-12);
  EXPECT_DOUBLE_EQ(some.log_quiet, -some.log_shock);
  double mean = 0;
  for (const double lambda : {0.1, 0.3, 0.5, 0.7, 0.9}) mean += (1 + lambda) * (1 + lambda) * (1 - lambda) / 5;
  EXPECT_NEAR(some.log_blame, std::log(mean), 1e-12);
}

TEST(Weigh, StaysFiniteForAMillionPairs) {
  const ShockEvidence evidence = Weigh(kAll[0], {.n00 = 0, .n01 = 1'000'000, .n10 = 1'000'000, .n11 = 0});
  EXPECT_TRUE(std::isfinite(evidence.log_shock));
  EXPECT_TRUE(std::isfinite(evidence.log_blame));
}

TEST(Attribute, ControlsThatAreWellOrBetterBlameTheReleaseAndFailingOnesTheShock) {
  const SprtParams& params = kAll[0];
  EXPECT_EQ(Attribute(params, Weigh(params, {})), Blame::kUnknown);
  EXPECT_EQ(Attribute(params, Weigh(params, {.n00 = 395, .n10 = 5})), Blame::kRelease);
  EXPECT_EQ(Attribute(params, Weigh(params, {.n00 = 10, .n10 = 10})), Blame::kRelease);
  EXPECT_EQ(Attribute(params, Weigh(params, {.n00 = 10, .n10 = 3})), Blame::kUnknown);
  EXPECT_EQ(Attribute(params, Weigh(params, {.n00 = 10, .n01 = 5, .n10 = 5, .n11 = 2})), Blame::kShock);
  EXPECT_EQ(Attribute(params, Weigh(params, {.n00 = 10, .n01 = 5, .n10 = 40, .n11 = 2})), Blame::kRelease);
}

}  // namespace
}  // namespace tandem::fleet
