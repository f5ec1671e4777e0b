#include "cm/update/machine/plan.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::cm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Wanted {
  std::string id;
  std::string type;
  std::string version;
};

AcceptedDesired Desired(const std::vector<Wanted>& components) {
  AcceptedRelease release;
  release.digest = "digest";
  for (const Wanted& wanted : components) {
    release::v1::ReleaseComponent& component = *release.release.add_components();
    component.set_component_id(wanted.id);
    component.set_component_type(wanted.type);
    component.set_version(wanted.version);
    component.set_path("artifacts/" + wanted.version);
  }
  AcceptedDesired desired;
  desired.releases.push_back(release);
  return desired;
}

PlanUm Um(const std::string& node_id, const std::vector<InstalledVersion>& components, uint32_t priority = 1,
          bool switches_boot = false) {
  return {.node_id = node_id, .priority = priority, .switches_boot = switches_boot, .components = components};
}

std::vector<std::string> Nodes(const Plan& plan) {
  std::vector<std::string> nodes;
  for (const Participant& participant : plan.participants) nodes.push_back(participant.node_id);
  return nodes;
}

TEST(Plan, TakesTheComponentsThatDifferAndTheirUms) {
  const auto plan = MakePlan(Desired({{"a", "t", "2"}, {"b", "t", "1"}}),
                             {Um("x", {{"a", "t", "1"}}), Um("y", {{"b", "t", "1"}})}, {}, absl::ZeroDuration());
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(Nodes(*plan), ElementsAre("x"));
  EXPECT_EQ(plan->participants[0].targets[0].previous_version, "1");
  EXPECT_EQ(plan->participants[0].targets[0].path, "artifacts/2");
  EXPECT_THAT(plan->missing, IsEmpty());
}

TEST(Plan, AComponentWithoutIdMeansAllOfItsTypeWhereverTheyAre) {
  const auto plan = MakePlan(Desired({{"", "camera", "2"}}),
                             {Um("x", {{"front", "camera", "1"}, {"rear", "camera", "2"}, {"seat", "heater", "1"}}),
                              Um("y", {{"left", "camera", "1"}, {"right", "camera", "1"}})},
                             {}, absl::ZeroDuration());
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(Nodes(*plan), ElementsAre("x", "y"));
  EXPECT_EQ(plan->participants[0].targets.size(), 1u);
  EXPECT_EQ(plan->participants[1].targets.size(), 2u);
}

TEST(Plan, NamesWhatNobodyOwns) {
  const auto plan =
      MakePlan(Desired({{"", "mcu", "2"}, {"a", "t", "2"}}), {Um("x", {{"b", "t", "1"}})}, {}, absl::ZeroDuration());
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->missing, ElementsAre("any component of type mcu", "component a of type t"));
}

TEST(Plan, RefusesWhatIsDisputedAndNothingElse) {
  PlanUm left = Um("left", {{"window", "glass", "1"}});
  PlanUm right = Um("right", {});
  for (PlanUm* um : {&left, &right})
    um->disputed.push_back({{"door", "door-mcu", "1"}, "left and right both claim it"});
  const auto named = MakePlan(Desired({{"door", "door-mcu", "1"}}), {left, right}, {}, absl::ZeroDuration());
  EXPECT_EQ(named.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(named.status().message()),
              HasSubstr("component door of type door-mcu is disputed: left and right both claim it"));
  EXPECT_FALSE(MakePlan(Desired({{"", "door-mcu", "2"}}), {left, right}, {}, absl::ZeroDuration()).ok()) << "by type";
  const auto other = MakePlan(Desired({{"window", "glass", "2"}}), {left, right}, {}, absl::ZeroDuration());
  ASSERT_TRUE(other.ok());
  EXPECT_THAT(Nodes(*other), ElementsAre("left"));
  left.components.push_back({"door", "door-mcu", "1"});
  left.disputed.clear();
  const auto bound = MakePlan(Desired({{"door", "door-mcu", "2"}}), {left, right}, {}, absl::ZeroDuration());
  ASSERT_TRUE(bound.ok()) << "the configuration gives it to left";
  EXPECT_THAT(Nodes(*bound), ElementsAre("left"));
}

TEST(Plan, IsEmptyWhenEverythingRunsAlready) {
  const auto plan = MakePlan(Desired({{"a", "t", "1"}}), {Um("x", {{"a", "t", "1"}})}, {}, absl::ZeroDuration());
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->participants, IsEmpty());
}

TEST(Plan, RefusesTwoVersionsOfOneComponent) {
  AcceptedDesired desired = Desired({{"a", "t", "2"}});
  desired.releases.push_back(Desired({{"", "t", "3"}}).releases[0]);
  const auto plan = MakePlan(desired, {Um("x", {{"a", "t", "1"}})}, {}, absl::ZeroDuration());
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Plan, RefusesWhatCannotBeDoneWithinTheTrialDeadline) {
  Limits limits;
  limits.start = absl::Minutes(10);
  limits.trial_deadline = absl::Minutes(15);
  const std::vector<PlanUm> ums = {Um("boot", {{"b", "t", "1"}}, 1, true), Um("x", {{"x", "t", "1"}}, 2),
                                   Um("y", {{"y", "t", "1"}}, 3)};
  const auto plan = MakePlan(Desired({{"", "t", "2"}}), ums, limits, absl::Minutes(1));
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(plan.status().message()), HasSubstr("trial deadline is 15m"));
  // Started before the boot switch, they do not run against the trial deadline.
  const std::vector<PlanUm> last = {Um("boot", {{"b", "t", "1"}}, 9, true), Um("x", {{"x", "t", "1"}}, 2),
                                    Um("y", {{"y", "t", "1"}}, 3)};
  EXPECT_TRUE(MakePlan(Desired({{"", "t", "2"}}), last, limits, absl::Minutes(1)).ok());
}

}  // namespace
}  // namespace tandem::cm
