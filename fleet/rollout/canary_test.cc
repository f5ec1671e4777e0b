#include "fleet/rollout/canary.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

struct Unit {
  std::string id;
  Stratum stratum;
};
using Ids = std::set<std::string>;

// `count` units of 3 hardware families in 4 regions, some strata much larger than others.
std::vector<Unit> Fleet(int count) {
  std::vector<Unit> units;
  for (int i = 0; i < count; ++i) {
    const int hardware = i % 10 < 7 ? 0 : (i % 10 < 9 ? 1 : 2);
    units.push_back({absl::StrCat("unit-", i), {absl::StrCat("gw-", hardware), absl::StrCat("r", i % 4)}});
  }
  return units;
}

std::vector<ChosenUnit> Choose(const std::vector<Unit>& fleet, const RingShare& share, const std::string& release,
                               const Ids& taken = {}) {
  StratumCounts counts;
  for (const Unit& unit : fleet) {
    ++counts[unit.stratum].units;
    counts[unit.stratum].taken += taken.count(unit.id);
  }
  LowestPositions ring(RingQuotas(counts, share).value(), release);
  for (const Unit& unit : fleet) {
    if (!taken.contains(unit.id)) ring.Offer(unit.stratum, unit.id);
  }
  return ring.Take();
}

Ids IdsOf(const std::vector<ChosenUnit>& chosen) {
  Ids ids;
  for (const ChosenUnit& unit : chosen) ids.insert(unit.unit_id);
  return ids;
}

bool Includes(const Ids& larger, const Ids& smaller) { return std::ranges::includes(larger, smaller); }

// A rollout under way must go on with the same units after an update of the controller.
TEST(UnitPosition, GoldenValues) {
  EXPECT_EQ(UnitPosition("unit-1", "release-a"), 0x54c5ac5734d84fcdU);
  EXPECT_EQ(UnitPosition("", ""), 0x374708fff7719dd5U);
}

TEST(UnitPosition, FieldsCannotRunIntoEachOther) { EXPECT_NE(UnitPosition("ab", "c"), UnitPosition("a", "bc")); }

// Chi-square over 64 bins with 63 degrees of freedom: mean 63, standard deviation 11.2.
TEST(UnitPosition, IsUniform) {
  std::vector<int> bins(64);
  constexpr int kUnits = 64'000;
  for (int i = 0; i < kUnits; ++i) ++bins[UnitPosition(absl::StrCat("unit-", i), "release") >> 58];
  double chi_square = 0;
  for (const int bin : bins) chi_square += std::pow(bin - kUnits / 64.0, 2) / (kUnits / 64.0);
  EXPECT_GT(chi_square, 25);
  EXPECT_LT(chi_square, 115);
}

// Streamed, as from a store: nothing here keeps the fleet.
TEST(Canary, ChoosesAmongAMillionUnitsInTwoPasses) {
  constexpr int kUnits = 1'000'000;
  const auto stratum = [](int i) { return Stratum{i % 5 == 0 ? "gw-2" : "gw-3", i % 3 == 0 ? "eu" : "us"}; };
  StratumCounts counts;
  for (int i = 0; i < kUnits; ++i) ++counts[stratum(i)].units;
  LowestPositions ring(RingQuotas(counts, {.cumulative_percent = 1}).value(), "release");
  for (int i = 0; i < kUnits; ++i) ring.Offer(stratum(i), absl::StrCat("unit-", i));
  const auto members = ring.Take();
  EXPECT_NEAR(static_cast<double>(members.size()), 0.01 * kUnits, 2);
  // The lowest percent of uniform positions.
  EXPECT_NEAR(static_cast<double>(members.back().position) / 0x1p64, 0.01, 0.001);
}

TEST(Canary, TakesThePercentageOfEachStratum) {
  const std::vector<Unit> fleet = Fleet(20'000);
  StratumCounts all;
  for (const Unit& unit : fleet) ++all[unit.stratum].units;
  const Quotas chosen = ControlQuotas(Choose(fleet, {.cumulative_percent = 5}, "release"));
  EXPECT_EQ(chosen.size(), all.size());
  for (const auto& [stratum, count] : all) {
    EXPECT_NEAR(static_cast<double>(chosen.at(stratum)), 0.05 * static_cast<double>(count.units), 0.5);
  }
}

TEST(Canary, DoesNotDependOnTheOrderOfTheUnits) {
  std::vector<Unit> fleet = Fleet(5'000);
  const auto chosen = Choose(fleet, {.cumulative_percent = 5}, "release");
  std::shuffle(fleet.begin(), fleet.end(), std::mt19937_64(1));
  EXPECT_EQ(Choose(fleet, {.cumulative_percent = 5}, "release"), chosen);
  EXPECT_TRUE(std::ranges::is_sorted(chosen));
}

// Of 1,000 units each, two independent choices out of 20,000 share 50 on average, standard deviation below 7.
TEST(Canary, TwoReleasesShareUnitsOnlyByChance) {
  const std::vector<Unit> fleet = Fleet(20'000);
  double shared = 0;
  constexpr int kPairs = 20;
  for (int i = 0; i < kPairs; ++i) {
    const Ids a = IdsOf(Choose(fleet, {.cumulative_percent = 5}, absl::StrCat("release-", 2 * i)));
    const Ids b = IdsOf(Choose(fleet, {.cumulative_percent = 5}, absl::StrCat("release-", 2 * i + 1)));
    Ids both;
    std::ranges::set_intersection(a, b, std::inserter(both, both.end()));
    shared += static_cast<double>(both.size()) / kPairs;
  }
  EXPECT_NEAR(shared, 50, 8);
}

TEST(Canary, AUnitChosenAtALowerPercentageIsChosenAtEachHigherOne) {
  const std::vector<Unit> fleet = Fleet(3'000);
  Ids before;
  for (double percent = 0; percent <= 100; percent += 2.5) {
    Ids now = IdsOf(Choose(fleet, {.cumulative_percent = percent}, "release"));
    EXPECT_TRUE(Includes(now, before)) << percent;
    before = std::move(now);
  }
  EXPECT_EQ(before.size(), fleet.size());
}

TEST(Canary, RingsOneAfterTheOtherMakeTheSameUnionAsOneRing) {
  const std::vector<Unit> fleet = Fleet(3'000);
  Ids taken;
  for (const double percent : {5.0, 10.0, 40.0}) {
    const Ids ring = IdsOf(Choose(fleet, {.cumulative_percent = percent}, "release", taken));
    for (const std::string& id : ring) EXPECT_TRUE(taken.insert(id).second) << id << " is in two rings";
    EXPECT_EQ(taken, IdsOf(Choose(fleet, {.cumulative_percent = percent}, "release")));
  }
}

TEST(Canary, TheSmallestStratumIsRepresented) {
  std::vector<Unit> fleet = Fleet(2'000);
  fleet.push_back({"only-one", {"rare", "r0"}});
  EXPECT_TRUE(IdsOf(Choose(fleet, {.cumulative_percent = 1}, "release")).contains("only-one"));
  EXPECT_THAT(Choose(fleet, {.cumulative_percent = 0}, "release"), IsEmpty());
}

TEST(RingQuotas, AMaximumServesEachStratumOnceBeforeAnyTwice) {
  const StratumCounts counts = {{{"a", ""}, {1000, 0}}, {{"b", ""}, {100, 0}}, {{"c", ""}, {1, 0}}};
  const auto with = [&](uint64_t max) {
    return RingQuotas(counts, {.cumulative_percent = 50, .max_units = max}).value();
  };
  EXPECT_THAT(with(0), IsEmpty());
  EXPECT_THAT(with(2), ElementsAre(Pair(Stratum{"a", ""}, 1), Pair(Stratum{"b", ""}, 1)));
  EXPECT_THAT(with(4), ElementsAre(Pair(Stratum{"a", ""}, 2), Pair(Stratum{"b", ""}, 1), Pair(Stratum{"c", ""}, 1)));
  EXPECT_THAT(with(111),
              ElementsAre(Pair(Stratum{"a", ""}, 100), Pair(Stratum{"b", ""}, 10), Pair(Stratum{"c", ""}, 1)));
  EXPECT_THAT(with(10'000),
              ElementsAre(Pair(Stratum{"a", ""}, 500), Pair(Stratum{"b", ""}, 50), Pair(Stratum{"c", ""}, 1)));
}

TEST(RingQuotas, ALargerMaximumNeverTakesAPlaceAway) {
  StratumCounts counts;
  std::mt19937_64 random(7);
  for (int i = 0; i < 30; ++i) {
    const uint64_t units = 1 + random() % 200;
    counts[{absl::StrCat("h", i), ""}] = {units, random() % units};
  }
  Quotas before;
  for (uint64_t max = 0; max < 3'000; max += 7) {
    const Quotas now = RingQuotas(counts, {.cumulative_percent = 80, .max_units = max}).value();
    uint64_t total = 0;
    for (const auto& [stratum, quota] : now) total += quota;
    EXPECT_LE(total, max);
    for (const auto& [stratum, quota] : before) EXPECT_GE(now.at(stratum), quota);
    before = now;
  }
}

TEST(RingQuotas, RefusesWhatIsNoPercentage) {
  for (const double percent : {-1.0, 100.5, std::nan("")}) {
    EXPECT_EQ(RingQuotas({}, {.cumulative_percent = percent}).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Canary, AFinishedRolloutChoosesExactlyTheNewcomers) {
  std::vector<Unit> fleet = Fleet(500);
  const Ids taken = IdsOf(Choose(fleet, {.cumulative_percent = 100}, "release"));
  EXPECT_EQ(taken.size(), 500U);
  EXPECT_THAT(Choose(fleet, {.cumulative_percent = 100}, "release", taken), IsEmpty());
  fleet.push_back({"new-1", {"gw-0", "r0"}});
  fleet.push_back({"new-2", {"new hardware", "r9"}});
  EXPECT_THAT(IdsOf(Choose(fleet, {.cumulative_percent = 100}, "release", taken)), ElementsAre("new-1", "new-2"));
}

TEST(Controls, AreTheNextUnitsOfEachStratumAndInNoRing) {
  const std::vector<Unit> fleet = Fleet(2'000);
  const auto members = Choose(fleet, {.cumulative_percent = 10}, "release");
  const Ids taken = IdsOf(members);
  LowestPositions selector(ControlQuotas(members), "release");
  for (const Unit& unit : fleet) {
    if (!taken.contains(unit.id)) selector.Offer(unit.stratum, unit.id);
  }
  const auto controls = selector.Take();
  EXPECT_EQ(ControlQuotas(controls), ControlQuotas(members));
  EXPECT_FALSE(std::ranges::any_of(controls, [&](const ChosenUnit& unit) { return taken.contains(unit.unit_id); }));
  Ids first_fifth = IdsOf(controls);
  first_fifth.insert(taken.begin(), taken.end());
  EXPECT_EQ(first_fifth, IdsOf(Choose(fleet, {.cumulative_percent = 20}, "release")));
  const auto pairs = PairWithControls(members, controls);
  EXPECT_EQ(pairs.size(), members.size());
}

TEST(Controls, AreFewerWhenAStratumHasNoMore) {
  const std::vector<ChosenUnit> members = {{1, "a", {"h", "r"}}, {2, "b", {"h", "r"}}, {3, "c", {"other", "r"}}};
  LowestPositions selector(ControlQuotas(members), "release");
  selector.Offer({"h", "r"}, "d");
  selector.Offer({"elsewhere", "r"}, "e");
  const auto controls = selector.Take();
  ASSERT_EQ(controls.size(), 1U);
  const auto pairs = PairWithControls(members, controls);
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0].member, "a");
  EXPECT_EQ(pairs[0].control, "d");
}

}  // namespace
}  // namespace tandem::fleet
