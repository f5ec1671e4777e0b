#include "fleet/api/operations.h"

#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "fleet/api/request_check.h"
#include "fleet/api/views.h"
#include "fleet/store/rollout_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/certificates.h"
#include "tests/support/fleet_api.h"
#include "tests/support/text_file.h"

namespace tandem::fleet {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(Operations, UnitsOfACertificateMustCarryItsName) {
  const auto certificates = TestCertificates::Make();
  ASSERT_TRUE(certificates.ok());
  const auto files = certificates->Client("gw-1");
  ASSERT_TRUE(files.ok());
  ApiFixture fixture;
  v1::RegisterUnitsRequest request;
  request.add_units()->set_unit_id("gw-1");
  request.mutable_units(0)->set_certificate(ReadText(files->certificate));
  ASSERT_TRUE(fixture.operations.RegisterUnits(kOperator, request).ok());
  v1::GetUnitRequest get;
  get.set_unit_id("gw-1");
  EXPECT_THAT(fixture.operations.GetUnit(kViewer, get)->unit().certificate_fingerprint(), SizeIs(64));
  request.mutable_units(0)->set_unit_id("gw-2");
  EXPECT_EQ(fixture.operations.RegisterUnits(kOperator, request).status().code(), absl::StatusCode::kInvalidArgument);
  request.mutable_units(0)->set_unit_id("gw-1");
  request.mutable_units(0)->set_certificate(ReadText(files->certificate) + ReadText(certificates->ca()));
  EXPECT_EQ(fixture.operations.RegisterUnits(kOperator, request).status().code(), absl::StatusCode::kInvalidArgument);
  request.mutable_units(0)->set_certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_EQ(fixture.operations.RegisterUnits(kOperator, request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Operations, PagesNeitherRepeatNorHideUnitsThatWereThereAllTheTime) {
  ApiFixture fixture;
  fixture.RegisterUnits("gw", 250);
  v1::ListUnitsRequest request;
  request.set_page_size(30);
  std::multiset<std::string> seen;
  int round = 0;
  do {
    const auto page = fixture.operations.ListUnits(kViewer, request);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const v1::Unit& unit : page->units()) seen.insert(unit.unit_id());
    request.set_page_token(page->next_page_token());
    // Before and behind where the list is.
    fixture.RegisterUnits(absl::StrCat("a", round), 3);
    fixture.RegisterUnits(absl::StrCat("zz", round++), 3);
    ASSERT_LT(round, 100);
  } while (!request.page_token().empty());
  for (int i = 0; i < 250; ++i) EXPECT_EQ(seen.count(absl::StrCat("gw-", absl::Dec(i, absl::kZeroPad4))), 1u) << i;
  for (const std::string& id : seen) EXPECT_EQ(seen.count(id), 1u) << id;
}

TEST(Operations, AFilterThatFitsNobodyIsAnsweredInBoundedSteps) {
  ApiFixture fixture;
  fixture.RegisterUnits("gw", 9999);
  fixture.RegisterUnits("hw", 9999);
  v1::ListUnitsRequest request;
  request.set_filter("site == \"nowhere\"");
  int pages = 0;
  do {
    const auto page = fixture.operations.ListUnits(kViewer, request);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_THAT(page->units(), IsEmpty());
    request.set_page_token(page->next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 2);
}

TEST(Operations, AFilterChoosesAndAForeignTokenIsRefused) {
  ApiFixture fixture;
  fixture.RegisterUnits("gw", 20);
  v1::ListUnitsRequest request;
  request.set_filter("region == \"eu\"");
  request.set_page_size(4);
  const auto page = fixture.operations.ListUnits(kViewer, request);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->units_size(), 4);
  EXPECT_EQ(page->units(3).unit_id(), "gw-0006");
  request.set_filter("region == \"us\"");
  request.set_page_token(page->next_page_token());
  EXPECT_EQ(fixture.operations.ListUnits(kViewer, request).status().code(), absl::StatusCode::kInvalidArgument);
  for (const std::string token : {"x", "AAAA", "!!", "' OR 1=1 --"}) {
    request.set_page_token(token);
    EXPECT_EQ(fixture.operations.ListUnits(kViewer, request).status().code(), absl::StatusCode::kInvalidArgument);
  }
  request.clear_page_token();
  request.set_filter("region = \"us\"");
  EXPECT_EQ(fixture.operations.ListUnits(kViewer, request).status().code(), absl::StatusCode::kInvalidArgument);
  request.clear_filter();
  request.set_presence("asleep");
  EXPECT_EQ(fixture.operations.ListUnits(kViewer, request).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Operations, TwoOperatorsAtOneRevisionCannotBothDecide) {
  ApiFixture fixture;
  fixture.ImportReleases({"r1"});
  fixture.RegisterUnits("gw", 4);
  v1::CreateRolloutRequest create;
  *create.mutable_spec() = fixture.Spec("r1");
  const auto made = fixture.operations.CreateRollout(kManager, create);
  ASSERT_TRUE(made.ok()) << made.status();
  v1::ChangeRolloutRequest pause;
  pause.set_id(made->id());
  pause.set_verb("pause");
  pause.set_revision(made->revision());
  v1::ChangeRolloutRequest abort = pause;
  abort.set_verb("abort");
  std::vector<absl::StatusCode> codes(2);
  std::thread other([&] { codes[1] = fixture.operations.ChangeRollout(kOperator, abort).status().code(); });
  codes[0] = fixture.operations.ChangeRollout(kOperator, pause).status().code();
  other.join();
  EXPECT_THAT(codes, ::testing::UnorderedElementsAre(absl::StatusCode::kOk, absl::StatusCode::kAborted));
}

TEST(Operations, AFrozenReleaseIsNotRolledOut) {
  ApiFixture fixture;
  fixture.ImportReleases({"r1"});
  fixture.RegisterUnits("gw", 4);
  v1::FreezeReleaseRequest freeze;
  freeze.set_release("r1");
  freeze.set_frozen(true);
  EXPECT_EQ(fixture.operations.FreezeRelease(kOperator, freeze).status().code(), absl::StatusCode::kInvalidArgument)
      << "without a reason";
  freeze.set_reason("bad");
  const auto frozen = fixture.operations.FreezeRelease(kOperator, freeze);
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  EXPECT_EQ(frozen->frozen_reason(), "bad");
  v1::CreateRolloutRequest create;
  *create.mutable_spec() = fixture.Spec("r1");
  EXPECT_EQ(fixture.operations.CreateRollout(kManager, create).status().code(), absl::StatusCode::kFailedPrecondition);
  const auto audit = fixture.AuditOf("release/r1");
  ASSERT_THAT(audit, SizeIs(2));
  EXPECT_EQ(audit[0].event(), "release.frozen");
  EXPECT_EQ(audit[0].actor(), kOperator.actor);
  EXPECT_THAT(audit[0].before(), HasSubstr("false"));
  EXPECT_THAT(audit[0].after(), HasSubstr("bad"));
  freeze.set_frozen(false);
  EXPECT_EQ(fixture.operations.FreezeRelease(kOperator, freeze).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(fixture.operations.FreezeRelease(kManager, freeze).ok());
  EXPECT_TRUE(fixture.operations.CreateRollout(kManager, create).ok());
}

TEST(Operations, WatchAnswersAtTheNextChange) {
  ApiFixture fixture;
  fixture.ImportReleases({"r1"});
  fixture.RegisterUnits("gw", 4);
  v1::CreateRolloutRequest create;
  *create.mutable_spec() = fixture.Spec("r1");
  const auto made = fixture.operations.CreateRollout(kManager, create);
  ASSERT_TRUE(made.ok());
  v1::WatchRolloutRequest watch;
  watch.set_id(made->id());
  EXPECT_EQ(fixture.operations.WatchRollout(kViewer, watch)->change(), made->change()) << "nothing was seen: at once";
  watch.set_seen_change(made->change());
  EXPECT_EQ(fixture.operations.WatchRollout(kViewer, watch)->change(), made->change()) << "no wait: at once";
  watch.mutable_wait()->set_seconds(50);
  absl::StatusOr<v1::Rollout> seen;
  std::thread watcher([&] { seen = fixture.operations.WatchRollout(kViewer, watch); });
  v1::ChangeRolloutRequest pause;
  pause.set_id(made->id());
  pause.set_verb("pause");
  ASSERT_TRUE(fixture.operations.ChangeRollout(kOperator, pause).ok());
  watcher.join();
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_TRUE(seen->paused());
  EXPECT_NE(seen->change(), made->change());
  watch.set_seen_change(seen->change());
  std::thread last([&] { seen = fixture.operations.WatchRollout(kViewer, watch); });
  fixture.operations.Stop();
  last.join();
  EXPECT_EQ(seen.status().code(), absl::StatusCode::kUnavailable);
}

TEST(Operations, StopsAreBoundedCheckedAndLiftedOnce) {
  ApiFixture fixture;
  v1::CreateStopRequest stop;
  stop.set_reason("holidays");
  stop.set_target("region ==");
  EXPECT_EQ(fixture.operations.CreateStop(kOperator, stop).status().code(), absl::StatusCode::kInvalidArgument);
  stop.set_target("region == \"eu\"");
  const auto made = fixture.operations.CreateStop(kOperator, stop);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_THAT(fixture.operations.ListStops(kViewer, {})->stops(), SizeIs(1));
  v1::LiftStopRequest lift;
  lift.set_id(made->id());
  EXPECT_TRUE(fixture.operations.LiftStop(kOperator, lift).ok());
  EXPECT_EQ(fixture.operations.LiftStop(kOperator, lift).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(fixture.AuditOf(absl::StrCat("stop/", made->id())), SizeIs(2));
}

TEST(Operations, TokensHaveALifeAndANameAndAreNeverStoredInClear) {
  ApiFixture fixture;
  v1::CreateTokenRequest request;
  request.set_name("alice");
  request.set_role(v1::OPERATOR);
  const auto made = fixture.operations.CreateToken(kManager, request);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->token().expires_at().seconds() - made->token().created_at().seconds(), 90 * 86400);
  EXPECT_THAT(made->secret(), SizeIs(47));
  for (const char* file : {"fleet.db", "fleet.db-wal"}) {
    EXPECT_EQ(ReadText(absl::StrCat(fixture.folder, "/", file)).find(made->secret()), std::string::npos) << file;
  }
  for (const int64_t seconds : {int64_t{-1}, int64_t{0}, int64_t{59}, int64_t{401} * 86400, int64_t{1} << 60}) {
    request.mutable_lifetime()->set_seconds(seconds);
    EXPECT_EQ(fixture.operations.CreateToken(kManager, request).status().code(), absl::StatusCode::kInvalidArgument)
        << seconds;
  }
  request.clear_lifetime();
  for (const std::string name : {"", "a b", "a/b", "a\nb", "'; DROP TABLE tokens; --"}) {
    request.set_name(name);
    EXPECT_EQ(fixture.operations.CreateToken(kManager, request).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(fixture.operations.ListTokens(kManager, {})->tokens(), SizeIs(1));
}

TEST(Operations, KeysTellWhatToDoSoon) {
  ApiFixture fixture;
  EXPECT_THAT(fixture.operations.GetKeys(kViewer, {})->warnings(), Contains(HasSubstr("there is no key set")));
  fixture.ImportReleases({"r1"});
  const auto keys = fixture.operations.GetKeys(kViewer, {});
  ASSERT_TRUE(keys.ok());
  EXPECT_TRUE(keys->signing_key_trusted());
  EXPECT_EQ(keys->keys_size(), 5);
  EXPECT_THAT(keys->warnings(), Contains(HasSubstr("release list 1 expires on")));
  // Slow enough for the fleet's clock to follow.
  fixture.clock.Advance(absl::Hours(24 * 31));
  EXPECT_THAT(fixture.operations.GetKeys(kViewer, {})->warnings(), Contains(HasSubstr("release list 1 expired on")));
}

TEST(Operations, AttemptsAreListedByRingAndState) {
  ApiFixture fixture;
  fixture.ImportReleases({"r1"});
  v1::CreateRolloutRequest create;
  *create.mutable_spec() = fixture.Spec("r1");
  fixture.RegisterUnits("gw", 4);
  ASSERT_TRUE(fixture.operations.CreateRollout(kManager, create).ok());
  v1::ListAttemptsRequest request;
  request.set_rollout(1);
  EXPECT_TRUE(fixture.operations.ListAttempts(kViewer, request).ok());
  request.set_state("asleep");
  EXPECT_EQ(fixture.operations.ListAttempts(kViewer, request).status().code(), absl::StatusCode::kInvalidArgument);
  request.clear_state();
  request.set_ring("nope");
  EXPECT_EQ(fixture.operations.ListAttempts(kViewer, request).status().code(), absl::StatusCode::kNotFound);
  request.set_rollout(~uint64_t{0});
  EXPECT_EQ(fixture.operations.ListAttempts(kViewer, request).status().code(), absl::StatusCode::kNotFound);
}

// Every text of every request, with what could break a statement, a document or a line.
TEST(CheckRequest, TakesHostileTextsAsTextOrRefusesThem) {
  v1::CreateStopRequest request;
  request.set_reason("Robert'); DROP TABLE units;-- {\"a\":\"b\"} %s ${x}");
  EXPECT_TRUE(CheckRequest(request).ok());
  ApiFixture fixture;
  ASSERT_TRUE(fixture.operations.CreateStop(kOperator, request).ok());
  EXPECT_EQ(fixture.operations.ListStops(kViewer, {})->stops(0).reason(), request.reason());
  for (const std::string& text :
       {std::string("a\0b", 3), std::string("a\nb"), std::string("\x1b[2J"), std::string(1 << 20, 'x')}) {
    request.set_reason(text);
    EXPECT_EQ(CheckRequest(request).code(), absl::StatusCode::kInvalidArgument);
  }
  v1::CreateRolloutRequest create;
  create.mutable_spec()->add_rings()->set_name("ok");
  create.mutable_spec()->add_rings()->set_name("bad\r");
  EXPECT_THAT(std::string(CheckRequest(create).message()), HasSubstr("spec.rings[1].name"));
  v1::RegisterUnitsRequest units;
  (*units.add_units()->mutable_tags())["lab"] = "x\ny";
  EXPECT_FALSE(CheckRequest(units).ok());
}

TEST(Views, ChangeIsTheSameForTheSameViewOnly) {
  v1::Rollout rollout;
  rollout.set_id(1);
  for (const char* state : {"passed", "failed", "queued"}) (*rollout.add_rings()->mutable_counts())[state] = 1;
  const uint64_t change = ChangeOf(rollout);
  rollout.set_change(change);
  EXPECT_EQ(ChangeOf(rollout), change);
  (*rollout.mutable_rings(0)->mutable_counts())["passed"] = 2;
  EXPECT_NE(ChangeOf(rollout), change);
  EXPECT_LT(change, uint64_t{1} << 53);
}

}  // namespace
}  // namespace tandem::fleet
