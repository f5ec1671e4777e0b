// Whole updates of a device with the power cut, the process killed or the line bad at each step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/log/log.h"
#include "um-plugins/mcu/unit_with_mcu.h"
#include "um/fake_cm.h"

namespace tandem::plugins {
namespace {

using smp::FakeMcuOptions;
using smp::LineFaults;
using ::testing::IsEmpty;

enum class Event { kDeviceLosesPower, kProcessIsKilled, kUnitLosesPower };

struct Campaign {
  FakeMcuOptions options;
  LineFaults faults;
  um::FakeCm::Goal goal = um::FakeCm::Goal::kCommit;
};

// Its steps in thousands of updates would hide what fails.
class McuPluginCampaignTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_TRUE(InitLog({.level = "error", .file = {}, .common_fields = {}}).ok()); }
};

// Runs one update in which `event` happens at packet `at`; false when it ended before that.
bool RunCampaign(const Campaign& campaign, Event event, int at, std::optional<uint64_t> cut_call) {
  UnitWithMcu unit(campaign.options, campaign.faults);
  const um::Artifact artifact =
      unit.Artifact({.major = 2, .body_size = 2000, .security_counter = 7}, "2.0.0", /*security_version=*/7);
  um::FakeCm cm(campaign.goal, {artifact});
  const bool commit = campaign.goal == um::FakeCm::Goal::kCommit;
  bool happened = false;
  unit.on_packet_ = [&](int packet) {
    if (packet != at || cut_call.has_value()) return;
    happened = true;
    if (event != Event::kProcessIsKilled) unit.mcu_.CutPower(unit.clock_.Monotonic());
    if (event != Event::kDeviceLosesPower) unit.fs_.PowerCut(static_cast<uint64_t>(at));
  };
  if (cut_call.has_value()) unit.fs_.CutPowerAtCall(*cut_call, *cut_call);
  for (int steps = 0; !cm.done(); ++steps) {
    const absl::Status status = cm.Step(unit.fs_, *unit.plugin_, [&] { return unit.fs_.power_lost(); });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_LT(steps, 60);
    if (!status.ok() || steps >= 60) break;
    if (!unit.fs_.power_lost()) continue;
    happened = true;
    cm.EndProcess();
    unit.fs_.Reboot();
    if (event == Event::kUnitLosesPower && cut_call.has_value()) unit.mcu_.CutPower(unit.clock_.Monotonic());
    unit.Restart();
  }
  cm.EndProcess();
  unit.on_packet_ = nullptr;
  unit.clock_.Advance(absl::Seconds(10));
  EXPECT_EQ(unit.mcu_.RunningVersion(), commit ? "2.0.0" : "1.0.0");
  EXPECT_TRUE(unit.mcu_.RunningConfirmed());
  EXPECT_FALSE(unit.mcu_.SomethingPending());
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
  EXPECT_EQ(unit.mcu_.security_counter(), commit && campaign.options.knows_boot_group ? 7U : 0U);
  return happened;
}

std::vector<Campaign> Campaigns() {
  std::vector<Campaign> campaigns;
  for (const bool two_slots : {false, true}) {
    for (const bool ours : {false, true}) {
      for (const um::FakeCm::Goal goal : {um::FakeCm::Goal::kCommit, um::FakeCm::Goal::kAbort}) {
        campaigns.push_back({.options = {.two_slots = two_slots,
                                         .knows_boot_group = ours,
                                         .confirms_others = ours,
                                         .keeps_upload = ours},
                             .goal = goal});
      }
    }
  }
  return campaigns;
}

TEST_F(McuPluginCampaignTest, ALossOfPowerOrAKillAtEveryPacketEndsAsCmDecided) {
  int points = 0;
  for (const Campaign& campaign : Campaigns()) {
    for (const Event event : {Event::kDeviceLosesPower, Event::kProcessIsKilled, Event::kUnitLosesPower}) {
      for (int at = 1; RunCampaign(campaign, event, at, std::nullopt); ++at) {
        ++points;
        ASSERT_FALSE(testing::Test::HasFailure())
            << "packet " << at << ", event " << static_cast<int>(event) << ", two slots " << campaign.options.two_slots
            << ", ours " << campaign.options.knows_boot_group << ", commit "
            << (campaign.goal == um::FakeCm::Goal::kCommit);
      }
    }
  }
  EXPECT_GT(points, 500);
  RecordProperty("points", points);
}

TEST_F(McuPluginCampaignTest, APowerCutAtEveryCallOfTheFileSystemEndsAsCmDecided) {
  for (const Campaign& campaign : Campaigns()) {
    for (const Event event : {Event::kProcessIsKilled, Event::kUnitLosesPower}) {
      for (uint64_t call = 1; RunCampaign(campaign, event, 0, call); ++call) {
        ASSERT_FALSE(testing::Test::HasFailure())
            << "call " << call << ", event " << static_cast<int>(event) << ", two slots " << campaign.options.two_slots;
      }
    }
  }
}

TEST_F(McuPluginCampaignTest, FaultsOfTheLineDoNotChangeTheEnd) {
  for (Campaign campaign : Campaigns()) {
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      campaign.faults = {.loss = 0.01, .duplicate = 0.01, .reorder = 0.01, .corrupt = 0.01, .seed = seed * 1000};
      RunCampaign(campaign, Event::kDeviceLosesPower, 1 + static_cast<int>(seed), std::nullopt);
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << ", two slots " << campaign.options.two_slots;
    }
  }
}

}  // namespace
}  // namespace tandem::plugins
