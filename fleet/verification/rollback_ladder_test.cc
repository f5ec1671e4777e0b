#include "fleet/verification/rollback_ladder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::fleet {
namespace {

using testing::ElementsAre;

constexpr int kFirmware = 0;
constexpr int kModel = 1;
constexpr int kConfig = 2;

TEST(RollbackLadderTest, WithoutAnOrderAllPlanesGoAtOnce) { EXPECT_THAT(LadderOf({}, 0b111), ElementsAre(0b111)); }

TEST(RollbackLadderTest, ConfigThenModelThenFirmware) {
  const int order[] = {kConfig, kModel, kFirmware};
  EXPECT_THAT(LadderOf(order, 0b111), ElementsAre(0b100, 0b110, 0b111));
}

TEST(RollbackLadderTest, PlanesThatTheOrderDoesNotNameGoLastTogether) {
  const int order[] = {kConfig};
  EXPECT_THAT(LadderOf(order, 0b111), ElementsAre(0b100, 0b111));
}

TEST(RollbackLadderTest, PlanesThatTheReleaseDoesNotHaveAreNoRung) {
  const int order[] = {kConfig, kModel, kFirmware};
  EXPECT_THAT(LadderOf(order, 0b001), ElementsAre(0b001));
  EXPECT_THAT(LadderOf(order, 0b101), ElementsAre(0b100, 0b101));
}

TEST(RollbackLadderTest, APlaneNamedTwiceIsOneRung) {
  const int order[] = {kModel, kModel};
  EXPECT_THAT(LadderOf(order, 0b010), ElementsAre(0b010));
}

}  // namespace
}  // namespace tandem::fleet
