#include "fleet/controller/rollout_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace tandem::fleet {
namespace {

using testing::HasSubstr;

v1::RolloutSpec Minimal() {
  v1::RolloutSpec spec;
  spec.set_name("n");
  spec.set_release("r");
  return spec;
}

TEST(RolloutSpecTest, ADefaultRolloutIsACanaryTenPercentAndAll) {
  const absl::StatusOr<v1::RolloutSpec> spec = CompleteSpec(Minimal());
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_EQ(spec->rings_size(), 3);
  EXPECT_EQ(spec->rings(0).percent(), 5);
  EXPECT_EQ(spec->rings(1).percent(), 10);
  EXPECT_EQ(spec->rings(2).percent(), 100);
  EXPECT_EQ(spec->rings(0).gate().any().failure_threshold(), 1);
  EXPECT_TRUE(spec->join());
  EXPECT_EQ(spec->score_age().seconds(), 1800);
}

TEST(RolloutSpecTest, WhatCannotWorkIsRefusedWithItsPlace) {
  const auto refused = [](const std::function<void(v1::RolloutSpec&)>& change) {
    v1::RolloutSpec spec = Minimal();
    change(spec);
    const absl::Status status = CompleteSpec(spec).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refused([](auto& spec) { spec.clear_name(); }), HasSubstr("name is missing"));
  EXPECT_THAT(refused([](auto& spec) { spec.clear_release(); }), HasSubstr("release is missing"));
  EXPECT_THAT(refused([](auto& spec) { spec.set_target("region ="); }), HasSubstr("target"));
  EXPECT_THAT(refused([](auto& spec) { spec.add_rings()->set_percent(101); }), HasSubstr("ring 1 (ring 1): percent"));
  EXPECT_THAT(refused([](auto& spec) { spec.add_rings()->set_percent(-1); }), HasSubstr("percent"));
  EXPECT_THAT(refused([](auto& spec) {
                spec.add_rings()->set_percent(50);
                spec.add_rings()->set_percent(10);
              }),
              HasSubstr("ring 2"));
  EXPECT_THAT(refused([](auto& spec) {
                spec.add_rings()->set_name("a");
                spec.add_rings()->set_name("a");
              }),
              HasSubstr("another ring has this name"));
  EXPECT_THAT(refused([](auto& spec) { spec.add_rings()->mutable_gate()->mutable_statistical()->set_p0(0.5); }),
              HasSubstr("gate"));
  EXPECT_THAT(refused([](auto& spec) { spec.add_windows()->set_from("25:00"); }), HasSubstr("windows: from"));
  EXPECT_THAT(refused([](auto& spec) { spec.mutable_score_age()->set_seconds(-5); }), HasSubstr("score_age"));
  EXPECT_THAT(refused([](auto& spec) { spec.mutable_score_age()->set_seconds(0); }), HasSubstr("score_age"));
  EXPECT_THAT(refused([](auto& spec) { spec.set_units_per_minute(-1); }), HasSubstr("units_per_minute"));
  EXPECT_THAT(refused([](auto& spec) { spec.set_units_per_minute(1e308); }), HasSubstr("units_per_minute"));
  EXPECT_THAT(refused([](auto& spec) {
                v1::DailyWindow& window = *spec.add_windows();
                window.set_from("22:00");
                window.set_until("24:01");
              }),
              HasSubstr("no time of day"));
}

TEST(RolloutSpecTest, RingsOfOtherTargetsCountForThemselves) {
  v1::RolloutSpec spec = Minimal();
  spec.add_rings()->set_target("group == \"internal\"");
  spec.add_rings()->set_percent(5);
  spec.add_rings();
  EXPECT_TRUE(CompleteSpec(spec).ok());
}

TEST(RolloutSpecTest, AWindowMayCrossMidnight) {
  v1::RolloutSpec spec;
  v1::DailyWindow& window = *spec.add_windows();
  window.set_from("22:00");
  window.set_until("05:30");
  const auto at = [&](int hour, int minute) {
    return InWindow(spec, int64_t{20'000} * 24 * 3600 + (hour * 60 + minute) * 60);
  };
  EXPECT_TRUE(at(22, 0));
  EXPECT_TRUE(at(0, 0));
  EXPECT_TRUE(at(5, 29));
  EXPECT_FALSE(at(5, 30));
  EXPECT_FALSE(at(12, 0));
  EXPECT_FALSE(at(21, 59));
}

TEST(RolloutSpecTest, WithoutWindowsEveryTimeIsGood) { EXPECT_TRUE(InWindow(v1::RolloutSpec(), 123456)); }

}  // namespace
}  // namespace tandem::fleet
