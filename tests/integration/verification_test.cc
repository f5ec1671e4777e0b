// Fleets of real processes whose releases carry diagnostics: what fails is taken back, whoever is killed meanwhile.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/integration/fleet_processes.h"

namespace tandem {
namespace {

constexpr uint64_t kUnits = 60;

uint64_t Count(FleetProcesses& fleet, uint64_t rollout, const std::string& state) {
  uint64_t units = 0;
  const fleet::v1::Rollout view = fleet.Show(rollout);
  for (const fleet::v1::Ring& ring : view.rings()) {
    const auto found = ring.counts().find(state);
    units += found == ring.counts().end() ? 0 : found->second;
  }
  return units;
}

// Everybody on a verified r1; its rollout goes on until its units have their age.
void Begin(FleetProcesses& fleet) {
  const uint64_t id = fleet.Roll("r1", {100}).id();
  ASSERT_TRUE(fleet.WaitUntil([&] { return Count(fleet, id, "verified") == kUnits; }, kLong))
      << fleet.Show(id).DebugString();
}

FleetProcessesOptions Options(const std::string& bad) {
  return {.units = static_cast<int>(kUnits),
          .diagnostics = true,
          // Silence must not decide before the diagnostics do.
          .score_age = absl::Seconds(300),
          .simulator = {"--bad-diagnostic", bad, "--diagnostic-time", "50ms..300ms"}};
}

void ExpectAllBack(FleetProcesses& fleet, uint64_t rollout, const std::string& release) {
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.Show(rollout).state() == "aborted"; }, kLong))
      << fleet.Show(rollout).DebugString();
  EXPECT_TRUE(fleet.WaitUntil([&] { return fleet.UnitsAt("r1") == kUnits; }, kLong)) << fleet.Overview().DebugString();
  EXPECT_EQ(fleet.Release(release).verification().state(), "verification_failed");
  EXPECT_TRUE(fleet.Release(release).verification().auto_rolled_back());
  EXPECT_TRUE(fleet.Release(release).frozen());
  EXPECT_EQ(fleet.Audits("release.verification_failed"), 1);
  // Once for each unit that was ordered to it: not all, when the verdict was quicker than a killed controller.
  const size_t back = fleet.Audits("unit.release.auto_rolled_back");
  EXPECT_GT(back, 0);
  EXPECT_LE(back, kUnits);
  EXPECT_TRUE(fleet.Conflicts().empty());
  // What they are back on is verified again.
  EXPECT_TRUE(fleet.WaitUntil([&] { return Count(fleet, rollout, "rollback/verified") == back; }, kLong))
      << fleet.Show(rollout).DebugString();
}

TEST(VerificationProcessesTest, OneBadUnitTakesTheReleaseBackFromAllThoughTheControllerIsKilledAgainAndAgain) {
  FleetProcesses fleet(Options("r2/inference=0.03"));
  Begin(fleet);
  const uint64_t id = fleet.Roll("r2", {100}).id();
  for (int kills = 0; kills < 8 && fleet.Show(id).state() != "aborted"; ++kills) {
    fleet.WaitUntil([&] { return fleet.Show(id).state() == "aborted"; }, absl::Milliseconds(300 + 250 * kills));
    fleet.Kill(0);
    fleet.Start(0);
  }
  ExpectAllBack(fleet, id, "r2");
}

TEST(VerificationProcessesTest, TwoControllersTakeItBackOnceThoughOneIsKilledAfterTheVerdict) {
  FleetProcessesOptions options = Options("r2/inference=0.03");
  options.controllers = 2;
  options.postgres = true;
  FleetProcesses fleet(options);
  Begin(fleet);
  const uint64_t id = fleet.Roll("r2", {100}).id();
  ASSERT_TRUE(
      fleet.WaitUntil([&] { return fleet.Release("r2").verification().state() == "verification_failed"; }, kLong));
  fleet.Kill(0);
  ExpectAllBack(fleet, id, "r2");
}

TEST(VerificationProcessesTest, ADiagnosticThatNeverAnswersTimesOutAndTakesTheReleaseBack) {
  FleetProcesses fleet(Options("r2/inference=0.03:hangs"));
  Begin(fleet);
  const uint64_t id = fleet.Roll("r2", {100}).id();
  ExpectAllBack(fleet, id, "r2");
  const fleet::v1::Verification grid = fleet.Verification(id);
  EXPECT_TRUE(std::ranges::any_of(grid.units(), [](const fleet::v1::UnitVerification& unit) {
    return unit.runs_size() == 1 && unit.runs(0).state() == "timeout";
  })) << grid.DebugString();
}

}  // namespace
}  // namespace tandem
