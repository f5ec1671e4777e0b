// Whole updates over real processes and a real broker.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/unit_under_test.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

const std::map<std::string, std::string> kAllNew = {{"boot", "2.0"}, {"config", "2.0"}, {"model", "2.0"}};

void AddThreeUms(UnitUnderTest& unit) {
  unit.AddUm({.node_id = "config", .priority = 10, .behaviour = {}});
  unit.AddUm({.node_id = "model", .priority = 20, .behaviour = {}});
  unit.AddUm({.node_id = "boot", .priority = 30, .switches_boot = true, .behaviour = {"start: {reboot: true}"}});
}

void ExpectAll(UnitUnderTest& unit, const std::string& version) {
  for (const char* node : {"config", "model", "boot"}) {
    EXPECT_TRUE(unit.WaitFor([&] { return unit.UmState(node) == "IDLE"; })) << node << unit.Story();
    EXPECT_EQ(unit.Version(node), version) << node << unit.Story();
  }
}

TEST(Update, ThreeUmsReachTheNewVersionsAndTheCloudHearsOfEachStep) {
  UnitUnderTest unit;
  AddThreeUms(unit);
  unit.Start();
  unit.Assign(kAllNew);
  ASSERT_TRUE(unit.WaitForOutcome("applied")) << unit.Story();
  ExpectAll(unit, "2.0");
  EXPECT_TRUE(unit.WaitFor([&] { return unit.HasFeedback("applied"); }));
  EXPECT_THAT(unit.FeedbackStates(), IsSupersetOf({"preparing", "trial", "committing", "applied"}));
}

}  // namespace
}  // namespace tandem
