#include "cm/update/ownership.h"

#include "cm/update/status_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
namespace umv2 = updatemanager::v2;

using Ums = std::map<std::string, UmInfo>;

void Claim(Ums& ums, const std::string& node_id, const std::string& id, const std::string& type) {
  UmInfo& um = ums[node_id];
  um.node.set_node_id(node_id);
  um.seen = true;
  umv2::ComponentStatus& component = *um.last.add_components();
  component.set_component_id(id);
  component.set_component_type(type);
  component.set_version("1");
  component.set_state(umv2::INSTALLED);
}

void Bind(Ums& ums, const std::string& node_id, const std::string& id, const std::string& type) {
  config::v1::NodeComponent& bound = *ums[node_id].node.add_components();
  bound.set_component_id(id);
  bound.set_component_type(type);
}

std::vector<std::string> Owned(const Ums& ums, const std::string& node_id) {
  std::vector<std::string> ids;
  for (const InstalledVersion& own : Ownership(ums).Of(node_id)) ids.push_back(own.component_id);
  return ids;
}

TEST(Ownership, WhatOneClaimsIsItsOwn) {
  Ums ums;
  Claim(ums, "left", "door-left", "door");
  Claim(ums, "right", "door-right", "door");
  EXPECT_THAT(Owned(ums, "left"), ElementsAre("door-left"));
  EXPECT_THAT(Owned(ums, "right"), ElementsAre("door-right"));
  EXPECT_THAT(Ownership(ums).DisputedBy("left"), IsEmpty());
}

TEST(Ownership, WhatTwoClaimIsNobodysAndSaysSoAtBoth) {
  Ums ums;
  Claim(ums, "left", "door", "door");
  Claim(ums, "right", "door", "door");
  Claim(ums, "right", "window", "door");
  EXPECT_THAT(Owned(ums, "left"), IsEmpty());
  EXPECT_THAT(Owned(ums, "right"), ElementsAre("window"));
  EXPECT_THAT(Ownership(ums).WhyNot("left", "door", "door"), HasSubstr("left and right both claim it"));

  const auto views = ViewUms(ums, UnitUpdate());
  ASSERT_THAT(views, SizeIs(2));
  EXPECT_EQ(views[0].components(0).state(), "disputed");
  const auto reports = ReportComponents(ums);
  ASSERT_THAT(reports, SizeIs(3));
  EXPECT_EQ(reports[0].state(), "disputed");
  EXPECT_THAT(reports[1].error(), HasSubstr("left and right"));
  EXPECT_EQ(reports[2].state(), "installed");
}

TEST(Ownership, ThreeThatClaimOneAreAllNamed) {
  Ums ums;
  for (const char* node : {"a", "b", "c"}) Claim(ums, node, "door", "door");
  EXPECT_THAT(Ownership(ums).WhyNot("c", "door", "door"), HasSubstr("a and b and c all claim it"));
}

TEST(Ownership, TwoThatTheConfigurationBindsToOneComponentDisputeIt) {
  Ums ums;
  for (const char* node : {"left", "right"}) {
    Claim(ums, node, "door", "door");
    Bind(ums, node, "door", "door");
  }
  EXPECT_THAT(Owned(ums, "left"), IsEmpty());
  EXPECT_THAT(Owned(ums, "right"), IsEmpty());
}

TEST(Ownership, OneIdOfTwoTypesIsTwoComponents) {
  Ums ums;
  Claim(ums, "left", "main", "door");
  Claim(ums, "right", "main", "window");
  EXPECT_THAT(Owned(ums, "left"), ElementsAre("main"));
  EXPECT_THAT(Owned(ums, "right"), ElementsAre("main"));
}

TEST(Ownership, TheConfigurationDecidesWhoseItIs) {
  Ums ums;
  Claim(ums, "gateway", "rootfs", "os");
  Claim(ums, "infotainment", "rootfs", "os");
  Bind(ums, "gateway", "rootfs", "os");
  EXPECT_THAT(Owned(ums, "gateway"), ElementsAre("rootfs"));
  EXPECT_THAT(Owned(ums, "infotainment"), IsEmpty());
  EXPECT_THAT(Ownership(ums).WhyNot("infotainment", "rootfs", "os"), HasSubstr("belongs to gateway"));
}

TEST(Ownership, IsBoundAlsoWhileTheOwnerHasNotSpoken) {
  Ums ums;
  Claim(ums, "infotainment", "rootfs", "os");
  ums["gateway"].node.set_node_id("gateway");
  Bind(ums, "gateway", "", "os");
  EXPECT_THAT(Owned(ums, "infotainment"), IsEmpty());
}

TEST(Ownership, ABoundUmMayClaimNothingElse) {
  Ums ums;
  Claim(ums, "infotainment", "app", "app");
  Claim(ums, "infotainment", "rootfs", "os");
  Claim(ums, "gateway", "rootfs", "os");
  Bind(ums, "infotainment", "app", "app");
  EXPECT_THAT(Owned(ums, "infotainment"), ElementsAre("app"));
  EXPECT_THAT(Owned(ums, "gateway"), ElementsAre("rootfs")) << "a claim that is ruled out takes nothing from anybody";
}

}  // namespace
}  // namespace tandem::cm
