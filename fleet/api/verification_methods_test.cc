#include "common/status/status.h"
#include "fleet/api/operations.h"
#include "fleet/store/release_table.h"
#include "fleet/store/verification_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fleet_api.h"

namespace tandem::fleet {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(VerificationMethods, AHeldUnitIsListedAndCountedUntilItIsLetGo) {
  ApiFixture fixture;
  fixture.RegisterUnits("gw", 3);
  v1::HoldUnitRequest hold;
  hold.set_unit_id("gw-0001");
  hold.set_held(true);
  EXPECT_THAT(fixture.operations.HoldUnit(kOperator, hold).status().message(), HasSubstr("say why"));
  hold.set_reason("on a test drive");
  const auto held = fixture.operations.HoldUnit(kOperator, hold);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ(held->held(), "on a test drive (token:otto)");
  v1::ListUnitsRequest list;
  list.set_presence("held");
  EXPECT_THAT(fixture.operations.ListUnits(kViewer, list)->units(), SizeIs(1));
  EXPECT_EQ(fixture.operations.GetFleet(kViewer, {})->held_units(), 1);
  EXPECT_THAT(fixture.AuditOf("unit/gw-0001"), SizeIs(testing::Ge(1)));
  hold.set_held(false);
  EXPECT_EQ(fixture.operations.HoldUnit(kOperator, hold)->held(), "");
  EXPECT_EQ(fixture.operations.GetFleet(kViewer, {})->held_units(), 0);
  hold.set_unit_id("nobody");
  EXPECT_TRUE(absl::IsNotFound(fixture.operations.HoldUnit(kOperator, hold).status()));
}

TEST(VerificationMethods, ThereIsNothingToGoBackToWithoutAnUpdate) {
  ApiFixture fixture;
  fixture.RegisterUnits("gw", 1);
  v1::RollBackUnitRequest back;
  back.set_unit_id("gw-0000");
  back.set_reason("it rattles");
  const absl::Status refused = fixture.operations.RollBackUnit(kOperator, back).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(refused.message(), HasSubstr("no update of this fleet"));
  back.add_planes("engine");
  EXPECT_THAT(fixture.operations.RollBackUnit(kOperator, back).status().message(),
              HasSubstr("none of firmware, model, config"));
}

TEST(VerificationMethods, DiagnosticsAreThoseOfReleasesThatTheUnitRuns) {
  ApiFixture fixture;
  fixture.RegisterUnits("gw", 1);
  v1::RunDiagnosticsRequest run;
  run.set_unit_id("gw-0000");
  EXPECT_TRUE(absl::IsFailedPrecondition(fixture.operations.RunDiagnostics(kOperator, run).status()));
  run.add_diagnostics("inference");
  EXPECT_TRUE(absl::IsNotFound(fixture.operations.RunDiagnostics(kOperator, run).status()));
}

TEST(VerificationMethods, TheGridIsOfARolloutOrOfAUnit) {
  ApiFixture fixture;
  EXPECT_THAT(fixture.operations.GetVerification(kViewer, {}).status().message(), HasSubstr("one of them"));
  v1::GetVerificationRequest request;
  request.set_rollout(7);
  EXPECT_TRUE(absl::IsNotFound(fixture.operations.GetVerification(kViewer, request).status()));
  request.set_unit_id("gw-0000");
  EXPECT_TRUE(absl::IsInvalidArgument(fixture.operations.GetVerification(kViewer, request).status()));
  request.clear_rollout();
  request.set_state("nonsense");
  EXPECT_THAT(fixture.operations.GetVerification(kViewer, request).status().message(), HasSubstr("\"nonsense\""));
}

TEST(VerificationMethods, AutomaticRollbackIsSwitchedWithAReasonAndAnAuditEntry) {
  ApiFixture fixture;
  EXPECT_TRUE(fixture.operations.GetGuards(kViewer, {})->auto_rollback());
  v1::SetAutoRollbackRequest off;
  EXPECT_TRUE(absl::IsInvalidArgument(fixture.operations.SetAutoRollback(kOperator, off).status()));
  off.set_reason("an operator decides tonight");
  const auto guards = fixture.operations.SetAutoRollback(kOperator, off);
  ASSERT_TRUE(guards.ok()) << guards.status();
  EXPECT_FALSE(guards->auto_rollback());
  EXPECT_FALSE(guards->switched_on());
  EXPECT_FALSE(fixture.operations.GetFleet(kViewer, {})->guards().auto_rollback());
  const auto audit = fixture.AuditOf("project");
  ASSERT_THAT(audit, SizeIs(1));
  EXPECT_EQ(audit[0].event(), "project.auto_rollback.disabled");
  EXPECT_THAT(audit[0].after(), HasSubstr("an operator decides tonight"));
}

TEST(VerificationMethods, AReleaseThatFailedGetsAnotherChanceWhenItIsUnfrozen) {
  ApiFixture fixture;
  fixture.ImportReleases({"r1"});
  fixture.RegisterUnits("gw", 1);
  ASSERT_TRUE(fixture.store
                  ->Write("fail",
                          [](StoreTransaction& tx) -> absl::Status {
                            ReleaseRow release = *ReleaseTable(tx).Find("r1");
                            release.verdict = ReleaseVerdict::kFailed;
                            release.failed_at = 5;
                            release.failed_unit = 1;
                            release.failed_reason = "412 ms";
                            release.auto_rolled_back = true;
                            RETURN_IF_ERROR(ReleaseTable(tx).SaveVerdict(release));
                            return ReleaseTable(tx).SetFrozen(release.number, true, "failed");
                          })
                  .ok());
  v1::GetReleaseRequest get;
  get.set_release("r1");
  const auto failed = fixture.operations.GetRelease(kViewer, get);
  ASSERT_TRUE(failed.ok()) << failed.status();
  EXPECT_EQ(failed->verification().state(), "verification_failed");
  EXPECT_EQ(failed->verification().failed_unit(), "gw-0000");
  v1::FreezeReleaseRequest let_go;
  let_go.set_release("r1");
  let_go.set_reason("the diagnostic was wrong");
  const auto again = fixture.operations.FreezeRelease(kManager, let_go);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->verification().state(), "");
  EXPECT_FALSE(again->frozen());
}

}  // namespace
}  // namespace tandem::fleet
