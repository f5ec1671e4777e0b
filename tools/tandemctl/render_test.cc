#include "tools/tandemctl/render.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

local::v1::UnitStatus Updating() {
  local::v1::UnitStatus status;
  status.set_unit_id("gw-17");
  status.set_phase("Preparing");
  status.mutable_update()->set_update_id("7.1");
  status.mutable_update()->add_release_ids("gateway-2");
  status.set_phase_elapsed_ms(12'345);
  status.add_waiting_for("rootfs to be PREPARED");
  local::v1::UmStatus& um = *status.add_ums();
  um.set_node_id("rootfs");
  um.set_connected(true);
  um.set_state("IDLE");
  local::v1::ComponentStatus& component = *um.add_components();
  component.set_component_id("rootfs");
  component.set_version("1.0");
  component.set_target_version("2.0");
  component.set_bytes_done(50 << 20);
  component.set_bytes_total(200 << 20);
  return status;
}

TEST(Render, SaysWhatTheUnitDoesAndWhatItWaitsFor) {
  const std::string text = RenderStatus(Updating(), {});
  EXPECT_THAT(text, HasSubstr("unit gw-17  Preparing for 12s  update 7.1  gateway-2\n"));
  EXPECT_THAT(text, HasSubstr("waits for: rootfs to be PREPARED\n"));
  EXPECT_THAT(text, HasSubstr("[#####---------------]  25 % of 200.0 MiB"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Render, ShowsAnErrorInsteadOfProgress) {
  local::v1::UnitStatus status = Updating();
  status.mutable_ums(0)->set_error("no space left");
  EXPECT_THAT(RenderStatus(status, {}), HasSubstr("no space left"));
  EXPECT_THAT(RenderStatus(status, {}), Not(HasSubstr("25 %")));
}

TEST(Render, ShowsAUmThatWasNeverSeen) {
  local::v1::UnitStatus status;
  status.add_ums()->set_node_id("mcu");
  EXPECT_THAT(RenderStatus(status, {}), HasSubstr("never seen"));
}

TEST(Render, DescribesOnlyWhatChanged) {
  const local::v1::UnitStatus before = Updating();
  local::v1::UnitStatus after = before;
  EXPECT_TRUE(DescribeChanges(before, after).empty());
  after.mutable_ums(0)->mutable_components(0)->set_bytes_done(60 << 20);
  EXPECT_TRUE(DescribeChanges(before, after).empty()) << "less than a quarter is no news";
  after.set_phase("Reverting");
  after.set_reason("health gate failed");
  after.mutable_ums(0)->set_state("FAILED");
  after.mutable_ums(0)->set_error("boom");
  EXPECT_THAT(DescribeChanges(before, after),
              ElementsAre("unit: Preparing -> Reverting  update 7.1  gateway-2 (health gate failed)",
                          "  rootfs: IDLE -> FAILED (boom)"));
}

TEST(Render, TellsTheEventsSinceAMoment) {
  local::v1::UpdateDetail detail;
  for (int second : {10, 20, 30}) {
    local::v1::UpdateEvent& event = *detail.add_events();
    event.mutable_at()->set_seconds(second);
    event.set_phase("Trial");
    event.set_text(std::to_string(second));
  }
  EXPECT_THAT(EventsAfter(detail, absl::FromUnixSeconds(10)), ElementsAre("20", "30"));
}

TEST(Render, SaysSoWhenThereIsNoHistory) { EXPECT_THAT(RenderHistory({}, {}), HasSubstr("no update has run")); }

TEST(Render, CountsBytesInBinaryUnits) {
  EXPECT_EQ(Bytes(0), "0 B");
  EXPECT_EQ(Bytes(1536), "1.5 KiB");
  EXPECT_EQ(Bytes(uint64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(ProgressBar(1, 0, 10), "");
  EXPECT_THAT(ProgressBar(20, 10, 4), HasSubstr("[####] 100 %"));
}

TEST(Render, SafeModeAndDiagnosticsAreShown) {
  local::v1::UnitStatus status;
  status.set_unit_id("gw");
  status.set_phase("Idle");
  status.set_safe_mode("5 starts in a row did not last");
  auto& diagnostic = *status.add_diagnostics();
  diagnostic.set_name("camera");
  diagnostic.set_state("failed");
  diagnostic.set_reason("no picture");
  const std::string text = RenderStatus(status, {});
  EXPECT_THAT(text, testing::HasSubstr("SAFE MODE: 5 starts in a row did not last; ends with"));
  EXPECT_THAT(text, testing::HasSubstr("diagnostic camera: failed (no picture)\n"));
}

}  // namespace
}  // namespace tandem::ctl
