#include "cm/update/conditions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem::cm {
namespace {

using ::testing::HasSubstr;

release::v1::Probe Command(const std::string& name, const std::string& command) {
  release::v1::Probe probe;
  probe.set_name(name);
  probe.mutable_exec()->add_command(command);
  return probe;
}

class ConditionsTest : public testing::Test {
 protected:
  ConditionsTest() {
    *config_.add_conditions() = Command("standstill", "of-the-unit");
    AcceptedRelease release;
    *release.release.add_conditions() = Command("standstill", "of-the-release");
    *release.release.add_conditions() = Command("camera-idle", "of-the-release");
    desired_.releases.push_back(std::move(release));
  }

  config::v1::CmConfig config_;
  AcceptedDesired desired_;
};

TEST_F(ConditionsTest, NothingIsAskedThatIsNotNamed) {
  const auto conditions = AssignedConditions(desired_, config_);
  ASSERT_TRUE(conditions.ok());
  EXPECT_TRUE(conditions->empty());
}

TEST_F(ConditionsTest, ANameMeansTheUnitsOwnOrElseTheReleases) {
  desired_.assignment.add_conditions("camera-idle");
  desired_.assignment.add_conditions("standstill");
  desired_.assignment.add_preconditions()->set_name("memory");
  desired_.assignment.mutable_preconditions(0)->mutable_memory()->set_min_available_bytes(1);
  const auto conditions = AssignedConditions(desired_, config_);
  ASSERT_TRUE(conditions.ok()) << conditions.status();
  ASSERT_EQ(conditions->size(), 3u);
  EXPECT_EQ((*conditions)[0].name(), "memory");
  EXPECT_EQ((*conditions)[1].exec().command(0), "of-the-release");
  EXPECT_EQ((*conditions)[2].exec().command(0), "of-the-unit");
}

TEST_F(ConditionsTest, AnUnknownNameIsRefusedWithThoseThereAre) {
  desired_.assignment.add_conditions("battery");
  EXPECT_THAT(std::string(AssignedConditions(desired_, config_).status().message()),
              HasSubstr("\"battery\", which neither this unit nor a release has; there are standstill"));
}

// One that was stored by an older program is not asked either.
TEST_F(ConditionsTest, ACommandOfTheAssignmentIsRefused) {
  *desired_.assignment.add_preconditions() = Command("mine", "id");
  EXPECT_THAT(std::string(AssignedConditions(desired_, config_).status().message()), HasSubstr("is of kind exec"));
}

}  // namespace
}  // namespace tandem::cm
