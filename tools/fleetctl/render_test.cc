#include "tools/fleetctl/render.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/fleetctl/render_rollout.h"
#include "tools/fleetctl/render_verification.h"

namespace tandem::fleetctl {
namespace {

namespace v1 = fleet::v1;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const RenderOptions kPlain{.now = absl::FromUnixSeconds(1'800'000'000)};

v1::Attempt MakeAttempt(uint64_t id, const std::string& unit, const std::string& ring, const std::string& kind,
                        const std::string& state, const std::string& reason) {
  v1::Attempt attempt;
  attempt.set_id(id);
  attempt.set_unit_id(unit);
  attempt.set_ring(ring);
  attempt.set_kind(kind);
  attempt.set_state(state);
  attempt.set_reason(reason);
  attempt.set_tries(1);
  return attempt;
}

v1::Rollout Rolling() {
  v1::Rollout rollout;
  rollout.set_id(7);
  rollout.mutable_spec()->set_name("gateways to Europe");
  rollout.mutable_spec()->set_target("region == \"eu\"");
  rollout.set_release_id("gw-2");
  rollout.set_release_digest("3f2a9bc0d1e2f3a4b5");
  rollout.set_state("rolling");
  rollout.set_reason("canary: 2 units wait to be scored");
  rollout.set_created_by("token:rita");
  rollout.mutable_created_at()->set_seconds(1'800'000'000 - 600);
  v1::Ring& canary = *rollout.add_rings();
  canary.set_name("canary");
  canary.set_state("rolling");
  canary.set_members(5);
  (*canary.mutable_counts())["passed"] = 2;
  (*canary.mutable_counts())["failed"] = 1;
  (*canary.mutable_counts())["updating"] = 2;
  (*canary.mutable_counts())["score/pass"] = 2;
  (*canary.mutable_counts())["rollback/applied"] = 1;
  canary.set_verdict("hold");
  canary.set_reason("3 of 5 units are scored");
  canary.mutable_evidence()->set_scored(3);
  canary.mutable_evidence()->set_required(5);
  canary.mutable_evidence()->set_passed(2);
  canary.mutable_evidence()->set_failed(1);
  v1::Ring& full = *rollout.add_rings();
  full.set_name("full");
  full.set_state("pending");
  return rollout;
}

TEST(RenderTree, ShowsRingsUnitsAttemptsGateAndWhyItStandsStill) {
  const std::vector<v1::Attempt> attempts = {
      MakeAttempt(11, "gw-17", "canary", "forward", "failed", "reverted: probe \"web\" failed"),
      MakeAttempt(12, "gw-17", "canary", "rollback", "applied", ""),
      MakeAttempt(13, "gw-18", "canary", "forward", "updating", "")};
  EXPECT_EQ(RenderTree(Rolling(), attempts, kPlain),
            R"(rollout 7  gateways to Europe  rolling
release gw-2 3f2a9bc0d1e2 to region == "eu", by token:rita 10m ago
why: canary: 2 units wait to be scored
|- canary  rolling   [############--------] 3 of 5  updating 2, passed 2, failed 1, rollback/applied 1
|    gate: hold, 3 of 5 units are scored
|    evidence: 3 scored of 5 needed, 2 passed, 1 failed
|    - gw-17
|        forward  failed  reverted: probe "web" failed
|        rollback  applied
|    - gw-18  forward  updating
`- full    pending
)");
}

TEST(RenderTree, ShowsTheEvidenceOfAStatisticalGate) {
  v1::Rollout rollout = Rolling();
  v1::GateEvidence& evidence = *rollout.mutable_rings(0)->mutable_evidence();
  evidence.set_log_likelihood_ratio(-1.234);
  evidence.set_promote_at(-2.944);
  evidence.set_abort_at(2.944);
  evidence.set_controls(4);
  evidence.set_paired_e_value(1.5);
  EXPECT_THAT(
      RenderTree(rollout, {}, kPlain),
      HasSubstr("log-likelihood ratio -1.23, promotes at -2.94, aborts at 2.94; 0 of 4 controls failed, e-value "
                "1.50"));
}

TEST(RenderTree, CannotBeForgedByWhatUnitsSay) {
  v1::Rollout rollout = Rolling();
  rollout.mutable_rings(0)->set_reason("\x1b[2J\ngate: promote\xc2\x9b");
  const std::string text =
      RenderTree(rollout, {MakeAttempt(1, "gw-1", "canary", "forward", "failed", "a\r\nb\x1b]0;x\x07")}, kPlain);
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_THAT(text, Not(HasSubstr("\xc2\x9b")));
  EXPECT_THAT(text, Not(HasSubstr("\ngate: promote")));
}

TEST(DescribeChanges, NamesOnlyWhatChanged) {
  const v1::Rollout before = Rolling();
  v1::Rollout after = before;
  EXPECT_THAT(DescribeChanges(before, after), IsEmpty());
  (*after.mutable_rings(0)->mutable_counts())["updating"] = 1;
  (*after.mutable_rings(0)->mutable_counts())["passed"] = 3;
  EXPECT_THAT(DescribeChanges(before, after),
              ElementsAre("  canary: 4 of 5: updating 1, passed 3, failed 1, rollback/applied 1"));
  after = before;
  after.set_state("aborting");
  after.set_reason("gate of canary: 1 unit failed");
  after.mutable_rings(0)->set_verdict("abort");
  EXPECT_THAT(DescribeChanges(before, after),
              ElementsAre("rollout 7: rolling -> aborting (gate of canary: 1 unit failed)",
                          "  canary: gate: abort, 3 of 5 units are scored"));
}

TEST(DescribeFailures, NamesEachFailureOnce) {
  const v1::Attempt old = MakeAttempt(1, "gw-1", "canary", "forward", "failed", "no space");
  v1::Attempt again = old;
  again.set_tries(2);
  EXPECT_THAT(DescribeFailures({old}, {old}), IsEmpty());
  EXPECT_THAT(DescribeFailures({}, {old}), ElementsAre("  canary: gw-1 failed: no space"));
  EXPECT_THAT(DescribeFailures({old}, {again}), ElementsAre("  canary: gw-1 failed: no space"));
}

TEST(RenderFleet, IsOnePage) {
  v1::FleetOverview fleet;
  fleet.set_namespace_("acme");
  fleet.set_units(200);
  fleet.set_online(150);
  fleet.set_stale(3);
  fleet.mutable_broker()->set_endpoint("mqtts://broker:8883");
  fleet.mutable_broker()->set_error("refused");
  v1::VersionShare& share = *fleet.add_versions();
  share.set_plane("firmware");
  share.set_release_id("gw-2");
  share.set_release_digest("3f2a9bc0d1e2f3a4b5");
  share.set_units(50);
  *fleet.add_active_rollouts() = Rolling();
  v1::Stop& stop = *fleet.add_stops();
  stop.set_id(3);
  stop.set_reason("holidays");
  stop.set_by("token:otto");
  stop.mutable_at()->set_seconds(1'800'000'000);
  EXPECT_EQ(RenderFleet(fleet, kPlain), R"(fleet acme  200 units: 150 online (75 %), 3 stale, 0 revoked
broker: not connected to mqtts://broker:8883: refused

PLANE     RELEASE  DIGEST        UNITS  SHARE
firmware  gw-2     3f2a9bc0d1e2  50     25 %

ROLLOUT  STATE    NAME                RELEASE  RING          AGE  BY          REASON
7        rolling  gateways to Europe  gw-2     canary (1/2)  10m  token:rita  canary: 2 units wait to be scored

STOP  TARGET     SINCE             BY          REASON
3     all units  2027-01-15 08:00  token:otto  holidays
)");
}

TEST(RenderUnits, ShowsWhatIsOnItsWayAndLeavesEmptyColumnsOut) {
  v1::ListUnitsResponse units;
  EXPECT_EQ(RenderUnits(units, kPlain), "no unit fits\n");
  v1::Unit& unit = *units.add_units();
  unit.set_unit_id("gw-1");
  unit.set_online(true);
  unit.mutable_last_seen()->set_seconds(1'800'000'000 - 90);
  unit.set_region("eu");
  v1::PlaneState& plane = *unit.add_planes();
  plane.set_plane("firmware");
  plane.set_current("r1");
  plane.set_desired("r2");
  EXPECT_EQ(RenderUnits(units, kPlain), R"(UNIT  STATE   SEEN    REGION  FIRMWARE
gw-1  online  1m ago  eu      r1 -> r2
)");
}

TEST(RenderPlan, SaysWhoIsHitAndWhoIsLeftOut) {
  v1::RolloutPlan plan;
  plan.set_release_id("gw-2");
  plan.set_release_digest("3f2a9bc0d1e2f3a4b5");
  plan.set_units(100);
  plan.mutable_expected_duration()->set_seconds(7200);
  v1::PlannedRing& ring = *plan.add_rings();
  ring.set_name("canary");
  ring.set_units(5);
  ring.set_smallest_detectable(0.25);
  ring.add_warnings("too small to decide");
  for (const char* id : {"a", "b", "c", "d"}) ring.add_examples(id);
  v1::Exclusion& exclusion = *plan.add_excluded();
  exclusion.set_units(2);
  exclusion.set_reason("revoked");
  exclusion.add_examples("x");
  EXPECT_EQ(RenderPlan(plan, kPlain), R"(plan for release gw-2  3f2a9bc0d1e2  100 units, about 2h
warning: canary: too small to decide

RING    UNITS  FINDS            EXAMPLES
canary  5      25.00 % failing  a, b, c, …

LEFT OUT  WHY      EXAMPLES
2         revoked  x, …
)");
}

TEST(Table, CountsCharactersNotBytes) {
  Table table({"NAME", "STATE"});
  table.Add({"Köln", "x"});
  table.Add({"Bonn", "y"});
  EXPECT_EQ(table.Text(kPlain), "NAME  STATE\nKöln  x\nBonn  y\n");
  EXPECT_EQ(Shorten("Köln am Rhein", 5), "Köln…");
  EXPECT_EQ(Shorten("Köln", 4), "Köln");
}

v1::UnitVerification Verified(const std::string& unit, const std::string& state,
                              const std::vector<std::pair<std::string, std::string>>& runs) {
  v1::UnitVerification row;
  row.set_unit_id(unit);
  row.mutable_attempt()->set_state(state);
  row.mutable_attempt()->set_kind("forward");
  for (const auto& [diagnostic, outcome] : runs) {
    v1::DiagnosticRun& run = *row.add_runs();
    run.set_diagnostic(diagnostic);
    run.set_state(outcome);
  }
  return row;
}

TEST(RenderTest, VerificationIsAGridOfUnitsByDiagnostics) {
  v1::Verification grid;
  grid.add_diagnostics("camera");
  grid.add_diagnostics("inference");
  *grid.add_units() = Verified("gw-1", "verifying", {{"camera", "passed"}, {"inference", "pending"}});
  grid.mutable_units(0)->mutable_deadline()->set_seconds(1'800'000'000 + 42);
  *grid.add_units() = Verified("gw-2", "verification_failed", {{"inference", "failed"}});
  grid.mutable_release()->set_state("verification_failed");
  grid.mutable_release()->set_failed(1);
  grid.mutable_release()->set_verifying(1);
  grid.mutable_release()->set_failed_unit("gw-2");
  grid.mutable_release()->set_reason("inference: 412 ms");
  EXPECT_EQ(RenderVerification(grid, kPlain),
            "release: verification_failed: 0 verified, 1 verifying, 1 failed; first on unit gw-2: inference: 412 ms\n\n"
            "UNIT  STATE                KIND     LEFT      camera  inference\n"
            "gw-1  verifying            forward  42s left  passed  pending\n"
            "gw-2  verification_failed  forward            -       failed\n");
}

TEST(RenderTest, RunsShowWhatWasMeasuredAndWhatCameTooLate) {
  v1::UnitDetail detail;
  v1::DiagnosticRun& run = *detail.add_runs();
  run.set_diagnostic("inference");
  run.set_state("timeout");
  run.set_reason("no answer by its deadline");
  run.set_late_outcome("passed");
  unit::v1::Measurement& latency = *run.add_measurements();
  latency.set_name("latency");
  latency.set_value(12.5);
  latency.set_unit("ms");
  latency.set_max(200);
  EXPECT_THAT(RenderRuns(detail.runs(), kPlain), HasSubstr("latency 12.5 ms (at most 200)"));
  EXPECT_THAT(RenderRuns(detail.runs(), kPlain), HasSubstr("no answer by its deadline (too late: passed)"));
}

TEST(RenderTest, GuardsSayWhatStoppedThemAndHowItIsEnded) {
  v1::Guards guards;
  guards.set_limit(3);
  guards.set_switched_on(true);
  guards.set_auto_rollback(true);
  guards.set_streak(2);
  guards.add_streak_releases("r2");
  guards.add_streak_releases("r3");
  EXPECT_EQ(RenderGuards(guards, kPlain),
            "automatic rollback: on\nverification failures in a row: 2 of 3 (r2, r3)\n"
            "units that the loop guard stopped: 0\n");
  guards.set_auto_rollback(false);
  guards.mutable_disabled_until()->set_seconds(1'800'000'000);
  guards.set_storm_units(1);
  EXPECT_THAT(RenderGuards(guards, kPlain), HasSubstr("off until 2027-01-15 08:00: the storm guard"));
  EXPECT_THAT(RenderGuards(guards, kPlain), HasSubstr("--presence storm"));
  guards.set_switched_on(false);
  EXPECT_THAT(RenderGuards(guards, kPlain), HasSubstr("switched off by an operator"));
}

}  // namespace
}  // namespace tandem::fleetctl
