#include "fleet/api/event_feed.h"

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "fleet/store/postgres_database.h"
#include "fleet/store/unit_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fleet_api.h"
#include "tests/support/postgres.h"

namespace tandem::fleet {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

using Names = std::set<std::string>;

constexpr absl::Duration kLookEvery = absl::Milliseconds(20);
constexpr absl::Duration kSoon = absl::Seconds(10);

class EventFeedTest : public ::testing::Test {
 protected:
  EventFeedTest()
      : feed_(
            *fixture_.store, [this] { return absl::StrCat(outside_.load()); }, kLookEvery) {
    fixture_.ImportReleases({"r1"});
    fixture_.RegisterUnits("gw", 10);
  }

  std::unique_ptr<EventFeed::Subscription> Subscribe(const Watched& watched = {}) {
    auto subscription = feed_.Subscribe(watched);
    EXPECT_TRUE(subscription.ok()) << subscription.status();
    return subscription.ok() ? *std::move(subscription) : nullptr;
  }

  // What is told until `name` is among it.
  static Names Until(EventFeed::Subscription& subscription, const std::string& name) {
    Names all;
    const absl::Time end = absl::Now() + kSoon;
    while (!all.contains(name) && absl::Now() < end) {
      const auto names = subscription.Next(kSoon);
      if (!names.has_value()) break;
      all.insert(names->begin(), names->end());
    }
    return all;
  }

  void Revoke(const std::string& unit) {
    v1::RevokeUnitRequest request;
    request.set_unit_id(unit);
    request.set_revoked(true);
    request.set_reason("lost");
    ASSERT_TRUE(fixture_.operations.RevokeUnit(kOperator, request).ok());
  }

  ApiFixture fixture_;
  std::atomic<int> outside_ = 0;
  EventFeed feed_;
};

TEST_F(EventFeedTest, TellsWhatWasAuditedAndCounted) {
  const auto subscription = Subscribe();
  Revoke("gw-0003");
  // Nobody here looks at that unit.
  EXPECT_THAT(Until(*subscription, "fleet"), UnorderedElementsAre("audit", "fleet"));
  v1::FreezeReleaseRequest freeze;
  freeze.set_release("r1");
  freeze.set_frozen(true);
  freeze.set_reason("bad");
  ASSERT_TRUE(fixture_.operations.FreezeRelease(kOperator, freeze).ok());
  EXPECT_THAT(Until(*subscription, "audit"), Contains("release/r1"));
}

TEST_F(EventFeedTest, TellsOfAUnitOnlyThoseWhoWatchIt) {
  const auto watching = Subscribe({.units = {"gw-0003"}});
  const auto other = Subscribe({.units = {"gw-0004"}});
  Revoke("gw-0003");
  EXPECT_THAT(Until(*watching, "audit"), Contains("unit/gw-0003"));
  EXPECT_THAT(Until(*other, "audit"), Not(Contains("unit/gw-0003")));
}

TEST_F(EventFeedTest, TellsOfRolloutsFromTheirBeginningToTheirEnd) {
  const auto subscription = Subscribe();
  v1::CreateRolloutRequest create;
  *create.mutable_spec() = fixture_.Spec("r1");
  const auto rollout = fixture_.operations.CreateRollout(kManager, create);
  ASSERT_TRUE(rollout.ok()) << rollout.status();
  const std::string name = absl::StrCat("rollout/", rollout->id());
  EXPECT_THAT(Until(*subscription, name), Contains(name));
  v1::ChangeRolloutRequest change;
  change.set_id(rollout->id());
  change.set_verb("pause");
  ASSERT_TRUE(fixture_.operations.ChangeRollout(kOperator, change).ok());
  EXPECT_THAT(Until(*subscription, name), Contains(name));
}

TEST(EventFeedOfTwoControllers, TellsWithinASecondWhatTheOtherOneDid) {
  const auto server = Postgres::Start();
  if (absl::IsNotFound(server.status())) GTEST_SKIP() << server.status();
  ASSERT_TRUE(server.ok()) << server.status();
  const auto url = (*server)->CreateDatabase();
  ASSERT_TRUE(url.ok()) << url.status();
  std::vector<std::unique_ptr<Store>> stores;
  for (int i = 0; i < 2; ++i) {
    auto database = OpenPostgres(*url);
    ASSERT_TRUE(database.ok()) << database.status();
    auto store = Store::Open(*std::move(database));
    ASSERT_TRUE(store.ok()) << store.status();
    stores.push_back(*std::move(store));
  }
  EventFeed feed(*stores[0], nullptr);
  const auto subscription = feed.Subscribe({.units = {"new"}});
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  const absl::Status written = stores[1]->Write("register", [](StoreTransaction& tx) {
    return UnitTable(tx).Register({.attributes = {.unit_id = "new"}}, 1).status();
  });
  ASSERT_TRUE(written.ok()) << written;
  const absl::Time committed = absl::Now();
  const auto names = (*subscription)->Next(kSoon);
  EXPECT_LT(absl::Now() - committed, absl::Seconds(1));
  EXPECT_THAT(names, testing::Optional(UnorderedElementsAre("fleet", "unit/new")));
}

TEST(EventFeedOfAStoreThatWasAway, SaysThatAnythingMayHaveChanged) {
  const auto server = Postgres::Start();
  if (absl::IsNotFound(server.status())) GTEST_SKIP() << server.status();
  ASSERT_TRUE(server.ok()) << server.status();
  const auto url = (*server)->CreateDatabase();
  ASSERT_TRUE(url.ok()) << url.status();
  auto database = OpenPostgres(*url);
  ASSERT_TRUE(database.ok()) << database.status();
  const auto store = Store::Open(*std::move(database));
  ASSERT_TRUE(store.ok()) << store.status();
  EventFeed feed(**store, nullptr, kLookEvery);
  const auto subscription = feed.Subscribe({});
  ASSERT_TRUE(subscription.ok()) << subscription.status();
  (*server)->Stop();
  // Until it is noticed, nobody new is let in on old marks.
  absl::Status refused;
  for (const absl::Time end = absl::Now() + kSoon; refused.ok() && absl::Now() < end;) {
    refused = feed.Subscribe({}).status();
  }
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  ASSERT_TRUE((*server)->Restart().ok());
  EXPECT_THAT((*subscription)->Next(3 * kSoon),
              testing::Optional(UnorderedElementsAre(std::string(kEverythingChanged))));
}

TEST_F(EventFeedTest, TellsOfTheBroker) {
  const auto subscription = Subscribe();
  outside_ = 1;
  EXPECT_THAT(Until(*subscription, "fleet"), UnorderedElementsAre("fleet"));
}

TEST_F(EventFeedTest, SaysNothingWhenNothingChanges) {
  const auto subscription = Subscribe();
  EXPECT_THAT(subscription->Next(5 * kLookEvery), testing::Optional(IsEmpty()));
}

TEST_F(EventFeedTest, TooMuchToNameIsEverything) {
  const auto subscription = Subscribe();
  // Each is an entry of the audit log.
  fixture_.RegisterUnits("other", 300);
  EXPECT_THAT(Until(*subscription, std::string(kEverythingChanged)), Contains(std::string(kEverythingChanged)));
}

TEST_F(EventFeedTest, RefusesMoreListenersThanItHasRoomForAndLetsThemInWhenOthersLeave) {
  std::vector<std::unique_ptr<EventFeed::Subscription>> all;
  for (int i = 0; i < EventFeed::kMaxSubscriptions; ++i) all.push_back(Subscribe());
  const auto refused = feed_.Subscribe({});
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  all.pop_back();
  EXPECT_NE(Subscribe(), nullptr);
}

TEST_F(EventFeedTest, StopEndsThoseWhoWaitAndRefusesNewOnes) {
  const auto subscription = Subscribe();
  std::thread stopper([&] { feed_.Stop(); });
  EXPECT_EQ(subscription->Next(kSoon), std::nullopt);
  stopper.join();
  EXPECT_TRUE(absl::IsUnavailable(feed_.Subscribe({}).status()));
}

}  // namespace
}  // namespace tandem::fleet
