#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bootloader/sim/explorer.h"

namespace tandem::boot::sim {
namespace {

const Campaign& Named(const std::string& name) {
  for (const Campaign& campaign : Campaigns()) {
    if (campaign.name == name) return campaign;
  }
  ADD_FAILURE() << "no campaign " << name;
  return Campaigns()[0];
}

// In which media and campaigns a mistake shows is a matter of the mistake; one must show it.
std::optional<Finding> FindAnywhere(Broken broken) {
  Totals totals;
  for (const Medium& medium : {Medium{Medium::Kind::kNor, 16, 0xff}, Medium{Medium::Kind::kEmmc, 512, 0}}) {
    for (const Campaign& campaign : Campaigns()) {
      if (std::optional<Finding> finding = Explorer(medium, campaign, broken).CutEverywhere(totals)) return finding;
    }
  }
  return std::nullopt;
}

class EveryMedium : public testing::TestWithParam<Medium> {};

TEST_P(EveryMedium, SurvivesEverySingleCutOfEveryCampaign) {
  for (const Campaign& campaign : Campaigns()) {
    Totals totals;
    const std::optional<Finding> finding = Explorer(GetParam(), campaign, Broken::kNothing).CutEverywhere(totals);
    ASSERT_FALSE(finding.has_value()) << campaign.name << ": " << finding->violation << ", cuts "
                                      << CutsText(finding->cuts);
    EXPECT_GT(totals.cuts, 100);
    // Each cut and the run without one.
    EXPECT_EQ(totals.campaigns, totals.cuts + 1) << campaign.name;
  }
}

TEST_P(EveryMedium, SurvivesCutsInARow) {
  for (const Campaign& campaign : Campaigns()) {
    for (const int cuts : {2, 3}) {
      Totals totals;
      const std::optional<Finding> finding =
          Explorer(GetParam(), campaign, Broken::kNothing).CutAtRandom(/*seed=*/11, 200, cuts, totals);
      ASSERT_FALSE(finding.has_value()) << campaign.name << ": " << finding->violation << ", cuts "
                                        << CutsText(finding->cuts);
      EXPECT_GT(totals.cuts, 200U);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BootSim, EveryMedium, testing::ValuesIn(AllMedia()), [](const auto& one) {
  std::string name = one.param.Name();
  for (char& c : name) c = c == '/' ? '_' : c;
  return name;
});

struct Mistake {
  Broken broken;
  // What the judge must say: the mistake itself, not something that follows from it by chance.
  const char* says;
};

class EveryMistake : public testing::TestWithParam<Mistake> {};

TEST_P(EveryMistake, IsFoundForWhatItIs) {
  const std::optional<Finding> finding = FindAnywhere(GetParam().broken);
  ASSERT_TRUE(finding.has_value()) << "a unit with this mistake came through every cut";
  EXPECT_THAT(finding->violation, testing::HasSubstr(GetParam().says));
}

constexpr Mistake kMistakes[] = {
    {Broken::kOverwritesNewestCopy, "the boot record is lost"},
    {Broken::kDoesNotCount, "a crashing image is booted too often"},
    {Broken::kArmsBeforeImage, "its image is not whole"},
    {Broken::kKeepsOldConfirmed, "is confirmed, and holds"},
    {Broken::kConfirmsUnchecked, "version 1 was committed last"},
    {Broken::kDoesNotSyncImage, "its image is not whole"},
    {Broken::kTakesOlderCopy, "good update 0 was not committed"},
    {Broken::kLosesCounter, "the security counter was"},
    {Broken::kForgetsConfirm, "version 1 is confirmed, and the counter is at 2"},
    {Broken::kForgetsCancel, "was cancelled"},
    {Broken::kBootsDecayed, "has decayed"},
};
static_assert(std::size(kMistakes) == std::size(kAllBroken));

INSTANTIATE_TEST_SUITE_P(BootSim, EveryMistake, testing::ValuesIn(kMistakes), [](const auto& one) {
  std::string name = BrokenName(one.param.broken);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

TEST(BootSim, AFindingIsReplayedFromItsCuts) {
  const Medium medium{Medium::Kind::kNor, 16, 0xff};
  Explorer explorer(medium, Named("two-good"), Broken::kOverwritesNewestCopy);
  Totals totals;
  const std::optional<Finding> finding = explorer.CutEverywhere(totals);
  ASSERT_TRUE(finding.has_value());
  const absl::StatusOr<std::vector<Cut>> cuts = ParseCuts(CutsText(finding->cuts));
  ASSERT_TRUE(cuts.ok());
  const std::optional<Finding> again =
      Explorer(medium, Named("two-good"), Broken::kOverwritesNewestCopy).Replay(*cuts, totals);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->violation, finding->violation);
}

TEST(BootSim, CutsThatAreNoneAreRefused) {
  EXPECT_EQ(ParseCuts("12").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ParseCuts("1.2/x.3").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tandem::boot::sim
