#include "tools/fleet-sim/behaviour.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace tandem::fleetsim {
namespace {

constexpr int kUnits = 20000;

double ShareOf(const Behaviour& behaviour, Outcome outcome, const std::string& release = "r1") {
  int count = 0;
  for (uint64_t unit = 0; unit < kUnits; ++unit) {
    count += behaviour.OutcomeOf({.unit = unit, .sequence = 1, .release_ids = {release}}) == outcome;
  }
  return static_cast<double>(count) / kUnits;
}

absl::Duration Length(const std::vector<Step>& steps) {
  absl::Duration sum;
  for (const Step& step : steps) sum += step.after;
  return sum;
}

std::vector<std::string> States(const std::vector<Step>& steps) {
  std::vector<std::string> states;
  for (const Step& step : steps) states.push_back(step.state);
  return states;
}

TEST(BehaviourTest, OutcomesComeByTheirWeights) {
  const Behaviour behaviour({.success = 0.9, .fail = 0.05, .slow = 0.03, .silent = 0.02});
  EXPECT_NEAR(ShareOf(behaviour, Outcome::kSuccess), 0.9, 0.01);
  EXPECT_NEAR(ShareOf(behaviour, Outcome::kFail), 0.05, 0.01);
  EXPECT_NEAR(ShareOf(behaviour, Outcome::kSlow), 0.03, 0.01);
  EXPECT_NEAR(ShareOf(behaviour, Outcome::kSilent), 0.02, 0.01);
}

TEST(BehaviourTest, ASeedAlwaysGivesTheSameFleetAndAnotherSeedAnother) {
  const Behaviour one({.seed = 1, .success = 0.5, .fail = 0.5});
  const Behaviour same({.seed = 1, .success = 0.5, .fail = 0.5});
  const Behaviour other({.seed = 2, .success = 0.5, .fail = 0.5});
  int different = 0;
  for (uint64_t unit = 0; unit < 1000; ++unit) {
    const UpdateOf update{.unit = unit, .sequence = 3, .release_ids = {"r"}};
    EXPECT_EQ(one.Update(update), same.Update(update));
    different += one.OutcomeOf(update) != other.OutcomeOf(update);
  }
  EXPECT_GT(different, 300);
}

TEST(BehaviourTest, ABadReleaseFailsOnTheSameUnitsEachTimeAndOthersDoNot) {
  const Behaviour behaviour({.bad_releases = {{"bad", 0.3}}});
  EXPECT_NEAR(ShareOf(behaviour, Outcome::kFail, "bad"), 0.3, 0.015);
  EXPECT_EQ(ShareOf(behaviour, Outcome::kFail, "good"), 0);
  for (uint64_t unit = 0; unit < 1000; ++unit) {
    EXPECT_EQ(behaviour.OutcomeOf({.unit = unit, .sequence = 1, .release_ids = {"bad"}}),
              behaviour.OutcomeOf({.unit = unit, .sequence = 9, .release_ids = {"good", "bad"}}));
  }
}

TEST(BehaviourTest, AGoodUpdateGoesThroughAllStatesInItsTime) {
  const Behaviour behaviour({.update_time = {absl::Seconds(2), absl::Seconds(8)}});
  const std::vector<Step> steps = behaviour.Update({.unit = 5, .sequence = 1, .release_ids = {"r"}});
  EXPECT_THAT(States(steps), testing::ElementsAre("preparing", "ready", "starting", "trial", "committing", "applied"));
  EXPECT_EQ(steps.front().after, absl::ZeroDuration());
  EXPECT_EQ(steps.back().what, Step::What::kApplied);
  EXPECT_GE(Length(steps), absl::Seconds(2));
  EXPECT_LE(Length(steps), absl::Seconds(8));
}

TEST(BehaviourTest, AFailureGoesBackAfterItsTrial) {
  const Behaviour behaviour({.success = 0, .fail = 1});
  const std::vector<Step> steps = behaviour.Update({.unit = 5, .sequence = 1, .release_ids = {"r"}});
  EXPECT_THAT(States(steps), testing::ElementsAre("preparing", "ready", "starting", "trial", "reverting", "reverted"));
  EXPECT_EQ(steps.back().what, Step::What::kReverted);
}

TEST(BehaviourTest, SlowIsTenTimesAsLongAndSilentSaysNothing) {
  const Span exact{absl::Seconds(4), absl::Seconds(4)};
  EXPECT_EQ(Length(Behaviour({.success = 0, .slow = 1, .update_time = exact}).Update({.unit = 1})), absl::Seconds(40));
  EXPECT_THAT(Behaviour({.success = 0, .silent = 1}).Update({.unit = 1}), testing::IsEmpty());
}

TEST(BehaviourTest, CommitOnVerifiedStopsAtTheProvisionalReport) {
  const std::vector<Step> steps = Behaviour({}).Update({.unit = 1, .commit_on_verified = true});
  EXPECT_EQ(steps.back().what, Step::What::kProvisional);
  EXPECT_EQ(Behaviour::AfterVerdict(true).back().what, Step::What::kApplied);
  EXPECT_EQ(Behaviour::AfterVerdict(false).back().what, Step::What::kReverted);
}

TEST(BehaviourTest, SharesOfUnitsAndMessagesAreAsAsked) {
  const Behaviour behaviour({.flap = 0.1, .offline = 0.2, .duplicate = 0.3, .reorder = 0.4});
  int flap = 0;
  int offline = 0;
  int duplicate = 0;
  int late = 0;
  for (uint64_t unit = 0; unit < kUnits; ++unit) {
    flap += behaviour.Flaps(unit);
    offline += behaviour.AppearsAfter(unit) > absl::ZeroDuration();
    duplicate += behaviour.Duplicates(3, unit);
    late += behaviour.Delay(3, unit) > absl::ZeroDuration();
  }
  EXPECT_NEAR(flap, 0.1 * kUnits, 300);
  EXPECT_NEAR(offline, 0.2 * kUnits, 300);
  EXPECT_NEAR(duplicate, 0.3 * kUnits, 300);
  EXPECT_NEAR(late, 0.4 * kUnits, 300);
}

TEST(BehaviourTest, ReadsSpansAndWeights) {
  EXPECT_EQ(ParseSpan("2s..8s")->to, absl::Seconds(8));
  EXPECT_EQ(ParseSpan("500ms")->from, absl::Milliseconds(500));
  for (const char* bad : {"", "8s..2s", "2..8", "1s..2s..3s", "-1s"}) EXPECT_FALSE(ParseSpan(bad).ok()) << bad;
  const Behaviour behaviour({});
  const Weighted hardware = *ParseWeighted("a=3,b=1");
  int first = 0;
  for (uint64_t unit = 0; unit < kUnits; ++unit) first += behaviour.Choose(hardware, "hardware", unit) == "a";
  EXPECT_NEAR(first, 0.75 * kUnits, 300);
  for (const char* bad : {"", "a=x", "a=0", "=1", "a=-1"}) EXPECT_FALSE(ParseWeighted(bad).ok()) << bad;
}

TEST(BehaviourTest, DiagnosticsOfABadReleaseFailOnTheSameUnitsEachTime) {
  const Behaviour behaviour(
      {.bad_diagnostics = {*ParseBadDiagnostic("r2/inference=0.3"), *ParseBadDiagnostic("r*/camera=0.1:hangs")}});
  int failed = 0;
  int hanging = 0;
  for (uint64_t unit = 0; unit < kUnits; ++unit) {
    DiagnosticOf run{.unit = unit, .run_id = "1", .release_id = "r2", .diagnostic = "inference"};
    const DiagnosticOutcome first = behaviour.OutcomeOf(run);
    failed += first == DiagnosticOutcome::kFailed;
    run.run_id = "2";
    EXPECT_EQ(behaviour.OutcomeOf(run), first);
    run.release_id = "r1";
    EXPECT_EQ(behaviour.OutcomeOf(run), DiagnosticOutcome::kPassed);
    run.diagnostic = "camera";
    hanging += behaviour.OutcomeOf(run) == DiagnosticOutcome::kHangs;
    EXPECT_LE(behaviour.TimeOf(run), absl::Milliseconds(500));
  }
  EXPECT_NEAR(failed, 0.3 * kUnits, 300);
  EXPECT_NEAR(hanging, 0.1 * kUnits, 300);
}

TEST(BehaviourTest, ReadsBadDiagnostics) {
  const BadDiagnostic rule = *ParseBadDiagnostic("gw-*/*");
  EXPECT_EQ(rule.release, "gw-*");
  EXPECT_EQ(rule.share, 1);
  EXPECT_EQ(rule.outcome, DiagnosticOutcome::kFailed);
  EXPECT_EQ(ParseBadDiagnostic("a/b=0.5:timeout")->outcome, DiagnosticOutcome::kTimeout);
  for (const char* bad : {"", "a", "a/", "/b", "a/b/c", "a/b=x", "a/b=2", "a/b=-1", "a/b=1:sleeps"}) {
    EXPECT_FALSE(ParseBadDiagnostic(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace tandem::fleetsim
