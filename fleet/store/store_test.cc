// One suite for all databases: SQLite always, PostgreSQL where it is installed (tools/setup installs it).
#include "fleet/store/store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "common/status/status.h"
#include "fleet/store/access_table.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/schema.h"
#include "tests/support/store_fixture.h"

namespace tandem::fleet {
namespace {

INSTANTIATE_TEST_SUITE_P(Databases, StoreTest, testing::Values(Kind::kSqlite, Kind::kPostgres), DatabaseName);

TEST_P(StoreTest, WhatWasWrittenIsThereAfterReopening) {
  Register("gw-1");
  store_ = nullptr;
  store_ = Open();
  EXPECT_EQ(Unit("gw-1").unit_id, "gw-1");
  EXPECT_EQ(Count("units"), 1);
}

TEST_P(StoreTest, NothingOfATransactionThatFailedIsThere) {
  const absl::Status status = store_->Write("test", [&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(UnitTable(tx).Register({.attributes = {.unit_id = "gw-1"}}, 1).status());
    return absl::InternalError("no");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(Count("units"), 0);
  EXPECT_TRUE(absl::IsNotFound(
      store_->Read("test", [](StoreTransaction& tx) { return UnitTable(tx).Get("gw-1", /*lock=*/false).status(); })));
}

TEST_P(StoreTest, AUnitKeepsEveryColumn) {
  Register("gw-1");
  UnitRow unit = Unit("gw-1");
  const UnitRow before = unit;
  unit.online = true;
  unit.last_seen = 7;
  unit.presence = {1, 2};
  unit.reported = {3, 4};
  unit.reported_hash = -5;
  unit.reported_sequence = 6;
  unit.runs = {11, 12, 13};
  unit.previous = {14, 15, 16};
  unit.desired = {17, 18, 19};
  unit.desired_sequence = int64_t{1} << 53;
  unit.desired_attempt = 21;
  unit.published_sequence = 22;
  unit.published_at = 23;
  unit.attempt = 24;
  Write([&](StoreTransaction& tx) { return UnitTable(tx).Save(before, unit); });
  EXPECT_EQ(Unit("gw-1"), unit);
  EXPECT_EQ(Count("online"), 1);
  EXPECT_EQ(Count("run/model/12"), 1);
  EXPECT_EQ(Count("run/model/0"), 0);
}

TEST_P(StoreTest, AHeartbeatChangesNothingButItsTime) {
  Register("gw-1");
  const UnitRow before = Unit("gw-1");
  UnitRow unit = before;
  unit.last_seen = 99;
  unit.reported = {1, 9};
  Write([&](StoreTransaction& tx) { return UnitTable(tx).Save(before, unit); });
  EXPECT_EQ(Unit("gw-1"), unit);
}

TEST_P(StoreTest, AttributesOfAnOperatorWinOverTheUnitsOwn) {
  const auto region = [&] {
    std::string found;
    Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(const UnitRecord record, UnitTable(tx).GetRecord("gw-1"));
      found = record.attributes.region + "/" + record.attributes.tags.at("line");
      return absl::OkStatus();
    });
    return found;
  };
  const auto set = [&](const std::string& value, bool by_operator) {
    Write([&](StoreTransaction& tx) {
      return UnitTable(tx)
          .Register({.attributes = {.unit_id = "gw-1", .region = value, .tags = {{"line", value + "\"'"}}},
                     .by_operator = by_operator},
                    1)
          .status();
    });
  };
  set("own", false);
  EXPECT_EQ(region(), "own/own\"'");
  set("operator", true);
  set("other", false);
  EXPECT_EQ(region(), "operator/operator\"'");
}

TEST_P(StoreTest, TextsWithQuotesAndStatementsAreTexts) {
  const std::string nasty = "x'); DROP TABLE units; --\n\"\\ \xC3\xA4 ?1 $1";
  Write([&](StoreTransaction& tx) {
    return UnitTable(tx).Register({.attributes = {.unit_id = "gw-1", .customer = nasty}}, 1).status();
  });
  Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const UnitRecord record, UnitTable(tx).GetRecord("gw-1"));
    EXPECT_EQ(record.attributes.customer, nasty);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, BytesComeBackAsTheyWere) {
  Register("gw-1");
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  Write([&](StoreTransaction& tx) { return UnitTable(tx).SaveReported(1, bytes); });
  Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const std::string found, UnitTable(tx).Reported(1));
    EXPECT_EQ(found, bytes);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, UnitsAreListedByTheirIdsInPages) {
  for (const char* id : {"b", "a", "C", "a-1", "a.1", "a_1"}) Register(id);
  std::vector<std::string> ids;
  std::string after;
  for (bool more = true; more;) {
    more = false;
    Write([&](StoreTransaction& tx) {
      return UnitTable(tx).List(after, 2, [&](UnitRecord&& unit) {
        more = true;
        after = unit.row.unit_id;
        ids.push_back(after);
      });
    });
  }
  EXPECT_EQ(ids, (std::vector<std::string>{"C", "a", "a-1", "a.1", "a_1", "b"}));
}

TEST_P(StoreTest, TheSameEventTwiceIsOneEvent) {
  Register("gw-1");
  const auto add = [&](int64_t seq) {
    bool added = false;
    Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(added, UnitTable(tx).AddEvent(1, {.order = {1, seq}, .at = 50, .state = "trial"}));
      return absl::OkStatus();
    });
    return added;
  };
  EXPECT_TRUE(add(1));
  EXPECT_FALSE(add(1));
  EXPECT_TRUE(add(2));
  Write([&](StoreTransaction& tx) { return UnitTable(tx).PruneEvents(1, 51); });
  EXPECT_TRUE(add(1));
}

TEST_P(StoreTest, CountersOfARingFollowItsAttempts) {
  Register("gw-1");
  int64_t number = 0;
  Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto added, AttemptTable(tx).Add({.rollout = 7, .ring = 1, .unit = 1, .tries = 1}));
    number = added.value_or(0);
    ASSIGN_OR_RETURN(const auto again, AttemptTable(tx).Add({.rollout = 7, .ring = 1, .unit = 1, .tries = 1}));
    EXPECT_FALSE(again.has_value());
    return absl::OkStatus();
  });
  EXPECT_EQ(Count("ring/7/1/queued"), 1);
  Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const AttemptRow before, AttemptTable(tx).Get(number, /*lock=*/true));
    AttemptRow after = before;
    after.state = AttemptState::kPassed;
    after.score = AttemptScore::kPass;
    return AttemptTable(tx).Save(before, after);
  });
  EXPECT_EQ(Count("ring/7/1/queued"), 0);
  EXPECT_EQ(Count("ring/7/1/passed"), 1);
  EXPECT_EQ(Count("ring/7/1/score/pass"), 1);
}

TEST_P(StoreTest, QueuedAttemptsAreClosedAtOnce) {
  for (const char* id : {"a", "b", "c"}) Register(id);
  Write([&](StoreTransaction& tx) -> absl::Status {
    for (int64_t unit = 1; unit <= 3; ++unit) {
      RETURN_IF_ERROR(
          AttemptTable(tx).Add({.rollout = 7, .ring = unit == 3 ? 1 : 0, .unit = unit, .tries = 1}).status());
    }
    return absl::OkStatus();
  });
  Write([&](StoreTransaction& tx) { return AttemptTable(tx).CloseQueued(7, 2, AttemptState::kCancelled, "over", 9); });
  EXPECT_EQ(Count("ring/7/0/queued"), 0);
  EXPECT_EQ(Count("ring/7/0/cancelled"), 2);
  EXPECT_EQ(Count("ring/7/1/cancelled"), 1);
}

TEST_P(StoreTest, ARolloutIsWrittenByWhoHasReadItLast) {
  int64_t number = 0;
  Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(number, RolloutTable(tx).Create({.spec = "s", .created_by = "a"}, 2));
    return absl::OkStatus();
  });
  RolloutRow first;
  Write([&](StoreTransaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(first, RolloutTable(tx).Get(number));
    return absl::OkStatus();
  });
  RolloutRow changed = first;
  changed.paused = true;
  Write([&](StoreTransaction& tx) { return RolloutTable(tx).Save(first, changed); });
  EXPECT_EQ(changed.revision, first.revision + 1);
  RolloutRow late = first;
  late.reason = "late";
  const absl::Status status =
      store_->Write("test", [&](StoreTransaction& tx) { return RolloutTable(tx).Save(first, late); });
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
}

TEST_P(StoreTest, OrdersAreClaimedOnceAndLeaveTheQueueWithTheirNewestSequence) {
  Register("a");
  Register("b");
  const auto claim = [&](const std::string& who, int64_t now) {
    std::vector<PublishClaim> claims;
    Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(claims, AssignmentTable(tx).Claim(who, now, now + 30, 10));
      return absl::OkStatus();
    });
    return claims;
  };
  const auto published = [&](const PublishClaim& which, const std::string& who) {
    bool gone = false;
    Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(gone, AssignmentTable(tx).Published(which, who));
      return absl::OkStatus();
    });
    return gone;
  };
  Write([&](StoreTransaction& tx) {
    return AssignmentTable(tx).Put({.unit = 1, .sequence = 5, .expires = 99, .envelope = "e5"});
  });
  const auto first = claim("one", 100);
  ASSERT_EQ(first.size(), 1);
  EXPECT_TRUE(claim("two", 100).empty());
  // A newer order comes while the older one is on its way: it stays with who publishes, or two orders could cross.
  Write([&](StoreTransaction& tx) {
    return AssignmentTable(tx).Put({.unit = 1, .sequence = 6, .expires = 99, .envelope = "e6"});
  });
  EXPECT_TRUE(claim("two", 101).empty());
  EXPECT_FALSE(published(first[0], "one"));
  const auto second = claim("two", 102);
  ASSERT_EQ(second.size(), 1);
  EXPECT_EQ(second[0].sequence, 6);
  EXPECT_TRUE(published(second[0], "two"));
  EXPECT_TRUE(claim("one", 103).empty());
  // Whose controller died is somebody else's after a while.
  Write([&](StoreTransaction& tx) { return AssignmentTable(tx).Enqueue(2, 1); });
  ASSERT_EQ(claim("one", 200).size(), 1);
  EXPECT_TRUE(claim("two", 229).empty());
  EXPECT_EQ(claim("two", 230).size(), 1);
}

TEST_P(StoreTest, AReleaseIsFoundByDigestAndByAnIdThatIsItsAlone) {
  const auto add = [&](const std::string& digest, const std::string& id) {
    return store_->Write("test", [&](StoreTransaction& tx) {
      return ReleaseTable(tx)
          .Add({.digest = digest,
                .release_id = id,
                .planes = 1,
                .envelope = "{}",
                .base_urls = {"http://a/", "http://b/"}})
          .status();
    });
  };
  ASSERT_TRUE(add("d1", "r1").ok());
  ASSERT_TRUE(add("d2", "r2").ok());
  ASSERT_TRUE(add("d3", "r2").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(add("d1", "r9")));
  Write([&](StoreTransaction& tx) -> absl::Status {
    ReleaseTable table(tx);
    ASSIGN_OR_RETURN(const ReleaseRow found, table.Find("r1"));
    EXPECT_EQ(found.digest, "d1");
    EXPECT_EQ(found.base_urls.size(), 2);
    EXPECT_TRUE(absl::IsFailedPrecondition(table.Find("r2").status()));
    EXPECT_EQ(table.Find("d3")->release_id, "r2");
    EXPECT_TRUE(absl::IsNotFound(table.Find("r3").status()));
    RETURN_IF_ERROR(table.SetFrozen(found.number, true, "bad"));
    EXPECT_TRUE(table.Head(found.number)->frozen);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, TheAuditLogIsReadBothWays) {
  for (const char* object : {"a", "b", "a"}) {
    Write([&](StoreTransaction& tx) {
      return AuditTable(tx).Add({.at = 1, .actor = "me", .event = "e", .object = object});
    });
  }
  Write([&](StoreTransaction& tx) -> absl::Status {
    AuditTable table(tx);
    EXPECT_EQ(table.List("", true, 0, 10)->size(), 3);
    EXPECT_EQ(table.List("a", false, 0, 10)->front().number, 3);
    EXPECT_EQ(table.List("a", false, 3, 10)->front().number, 1);
    EXPECT_EQ(table.List("", true, 1, 1)->front().number, 2);
    return absl::OkStatus();
  });
}

TEST_P(StoreTest, ANameIsLockedByOneAtATime) {
  auto lock = store_->TryLock("rollout/1");
  ASSERT_TRUE(lock.ok() && *lock != nullptr) << lock.status();
  EXPECT_TRUE((*lock)->held());
  const auto again = store_->TryLock("rollout/1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, nullptr);
  EXPECT_NE(*store_->TryLock("rollout/2"), nullptr);
  *lock = nullptr;
  EXPECT_NE(*store_->TryLock("rollout/1"), nullptr);
}

TEST_P(StoreTest, ManyWritersLoseNothing) {
  for (int i = 0; i < 8; ++i) Register("u" + std::to_string(i));
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 25; ++round) {
        // Each takes two units, in an order of its own.
        const std::string one = "u" + std::to_string((round + thread) % 8);
        const std::string other = "u" + std::to_string((round * 3 + thread * 5 + 1) % 8);
        const absl::Status status = store_->Write("test", [&](StoreTransaction& tx) -> absl::Status {
          for (const std::string& id : {one, other}) {
            ASSIGN_OR_RETURN(const UnitRow before, UnitTable(tx).Get(id, /*lock=*/true));
            UnitRow unit = before;
            unit.desired_sequence += 1;
            RETURN_IF_ERROR(UnitTable(tx).Save(before, unit));
            tx.Count("total", 1);
          }
          return absl::OkStatus();
        });
        failed += status.ok() ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  int64_t sum = 0;
  for (int i = 0; i < 8; ++i) sum += Unit("u" + std::to_string(i)).desired_sequence;
  EXPECT_EQ(sum, 200);
  EXPECT_EQ(Count("total"), 200);
}

TEST_P(StoreTest, AReaderWaitsForNoWriter) {
  Register("gw-1");
  Write([&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(UnitTable(tx).Register({.attributes = {.unit_id = "gw-2"}}, 1).status());
    // Before the commit: another connection sees what was.
    EXPECT_EQ(Count("units"), 1);
    return absl::OkStatus();
  });
  EXPECT_EQ(Count("units"), 2);
}

TEST_P(StoreTest, ADatabaseOfANewerProgramIsRefused) {
  Write([&](StoreTransaction& tx) {
    return tx.sql.Run("INSERT INTO schema_version (version) VALUES (?1)", {int64_t{NewestSchemaVersion() + 1}})
        .status();
  });
  store_ = nullptr;
  auto database = GetParam() == Kind::kSqlite ? OpenSqlite(folder_) : OpenPostgres(url_);
  ASSERT_TRUE(database.ok()) << database.status();
  const auto store = Store::Open(*std::move(database));
  EXPECT_TRUE(absl::IsFailedPrecondition(store.status())) << store.status();
}

TEST(SqliteStoreTest, AFolderBelongsToOneProcess) {
  std::string folder = testing::TempDir() + "/store_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const auto first = OpenSqlite(folder);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(OpenSqlite(folder).status()));
  std::filesystem::remove_all(folder);
}

TEST(SqliteStoreTest, ADamagedDatabaseIsLeftAsItIs) {
  std::string folder = testing::TempDir() + "/store_XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::ofstream(folder + "/fleet.db") << std::string(10000, 'x');
  auto database = OpenSqlite(folder);
  ASSERT_TRUE(database.ok());
  EXPECT_TRUE(absl::IsDataLoss(Store::Open(*std::move(database)).status()));
  EXPECT_EQ(std::filesystem::file_size(folder + "/fleet.db"), 10000);
  std::filesystem::remove_all(folder);
}

TEST(PostgresStoreTest, ARestartOfTheServerLosesNothingAndIsSurvived) {
  const auto url = Server().CreateDatabase();
  ASSERT_TRUE(url.ok()) << url.status();
  auto store = Store::Open(*OpenPostgres(*url));
  ASSERT_TRUE(store.ok()) << store.status();
  const auto add = [&](const std::string& id) {
    return (*store)->Write("test", [&](StoreTransaction& tx) {
      return UnitTable(tx).Register({.attributes = {.unit_id = id}}, 1).status();
    });
  };
  ASSERT_TRUE(add("a").ok());
  auto lock = (*store)->TryLock("rollout/1");
  ASSERT_TRUE(lock.ok() && *lock != nullptr);
  ASSERT_TRUE(Server().Restart().ok());
  // The first one finds the connection broken.
  if (const absl::Status first = add("b"); !first.ok()) {
    EXPECT_TRUE(absl::IsUnavailable(first)) << first;
    EXPECT_TRUE(add("b").ok());
  }
  *lock = nullptr;
  auto again = (*store)->TryLock("rollout/1");
  if (!again.ok()) again = (*store)->TryLock("rollout/1");
  EXPECT_TRUE(again.ok() && *again != nullptr) << again.status();
}

TEST(PostgresStoreTest, AnotherControllersLockIsRespectedUntilItIsGone) {
  const auto url = Server().CreateDatabase();
  ASSERT_TRUE(url.ok()) << url.status();
  auto one = Store::Open(*OpenPostgres(*url));
  auto other = Store::Open(*OpenPostgres(*url));
  ASSERT_TRUE(one.ok() && other.ok());
  auto lock = (*one)->TryLock("rollout/1");
  ASSERT_NE(*lock, nullptr);
  EXPECT_EQ(*(*other)->TryLock("rollout/1"), nullptr);
  // Its session ends with it.
  lock = absl::CancelledError();
  *one = nullptr;
  EXPECT_NE(*(*other)->TryLock("rollout/1"), nullptr);
}

}  // namespace
}  // namespace tandem::fleet
