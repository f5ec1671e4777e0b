#include "cm/update/status_view.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

namespace umv2 = updatemanager::v2;

umv2::UpdateStatus Status(umv2::UpdateState state,
                          const std::vector<std::tuple<std::string, std::string, umv2::ComponentState>>& components) {
  umv2::UpdateStatus status;
  status.set_node_id("um");
  status.set_update_state(state);
  for (const auto& [id, version, component_state] : components) {
    umv2::ComponentStatus& component = *status.add_components();
    component.set_component_id(id);
    component.set_component_type("t");
    component.set_version(version);
    component.set_state(component_state);
  }
  return status;
}

TEST(StatusView, OnlyInstalledComponentsRun) {
  const umv2::UpdateStatus status =
      Status(umv2::UPDATED, {{"a", "1", umv2::INSTALLED}, {"a", "2", umv2::INSTALLING}, {"b", "9", umv2::ERROR}});
  ASSERT_EQ(InstalledOf(status).size(), 1u);
  EXPECT_EQ(InstalledOf(status)[0].version, "1");
  const Target one{.component_id = "a", .component_type = "t", .version = "1"};
  const Target two{.component_id = "a", .component_type = "t", .version = "2"};
  const Target unlisted{.component_id = "b", .component_type = "t", .version = "1"};
  EXPECT_EQ(RunningOf(status, {one}), Runs::kTarget);
  EXPECT_EQ(RunningOf(status, {two}), Runs::kOther);
  EXPECT_EQ(RunningOf(status, {one, unlisted}), Runs::kUnknown);
}

// An Aos UM lists its new version as INSTALLING in PREPARED and UPDATED, where it does nothing.
TEST(StatusView, InstallingMeansWorkingOnlyWhileIdle) {
  EXPECT_TRUE(IsInstalling(Status(umv2::IDLE, {{"a", "2", umv2::INSTALLING}})));
  EXPECT_FALSE(IsInstalling(Status(umv2::PREPARED, {{"a", "2", umv2::INSTALLING}})));
  umv2::UpdateStatus working = Status(umv2::PREPARED, {});
  working.set_working(true);
  EXPECT_TRUE(IsInstalling(working));
}

TEST(StatusView, TakesTheErrorOfAComponentWhenTheUmHasNone) {
  umv2::UpdateStatus status = Status(umv2::FAILED, {{"a", "2", umv2::ERROR}});
  status.mutable_components(0)->mutable_error()->set_message("flash");
  EXPECT_EQ(ErrorOf(status), "a: flash");
  status.mutable_error()->set_message("all of it");
  EXPECT_EQ(ErrorOf(status), "all of it");
}

TEST(StatusView, ProgressTowardsAnotherVersionIsStagedOther) {
  const std::vector<Target> targets = {{.component_id = "a", .component_type = "t", .version = "2"}};
  const auto staged = [&](umv2::UpdateState state, const std::string& version) {
    umv2::UpdateStatus status = Status(state, {{"a", "1", umv2::INSTALLED}, {"a", version, umv2::INSTALLING}});
    for (umv2::ComponentStatus& component : *status.mutable_components()) component.set_component_type("t");
    return HasStagedOther(status, targets);
  };
  EXPECT_FALSE(staged(umv2::PREPARED, "2"));
  EXPECT_TRUE(staged(umv2::PREPARED, "3"));
  EXPECT_TRUE(staged(umv2::UPDATED, "3"));
  EXPECT_FALSE(staged(umv2::FAILED, "3")) << "it is reverted anyway";
  EXPECT_FALSE(HasStagedOther(Status(umv2::PREPARED, {{"a", "1", umv2::INSTALLED}}), targets)) << "it does not tell";
}

TEST(StatusView, ShowsAComponentOnceWithWhatItBecomes) {
  UmInfo um;
  um.node.set_node_id("um");
  um.seen = um.connected = true;
  um.last = Status(umv2::IDLE, {{"a", "1", umv2::INSTALLED}, {"a", "2", umv2::INSTALLING}});
  um.last.mutable_components(1)->set_bytes_done(5);
  um.last.mutable_components(1)->set_bytes_total(10);
  const auto views = ViewUms({{"um", um}}, UnitUpdate());
  ASSERT_EQ(views.size(), 1u);
  ASSERT_EQ(views[0].components_size(), 1);
  EXPECT_EQ(views[0].components(0).version(), "1");
  EXPECT_EQ(views[0].components(0).target_version(), "2");
  EXPECT_EQ(views[0].components(0).bytes_total(), 10u);
}

TEST(StatusView, AUmThatWasNeverSeenHasNoState) {
  UmInfo um;
  um.node.set_node_id("um");
  EXPECT_EQ(ViewUms({{"um", um}}, UnitUpdate())[0].state(), "");
}

}  // namespace
}  // namespace tandem::cm
