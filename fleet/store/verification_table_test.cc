#include "fleet/store/verification_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/store_fixture.h"

namespace tandem::fleet {
namespace {

using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kNow = 1000;

class VerificationTableTest : public StoreTest {
 protected:
  int64_t Add(const std::string& run_id, const std::string& diagnostic, int64_t deadline = kNow + 90) {
    int64_t number = 0;
    Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(number, DiagnosticRunTable(tx).Add({.run_id = run_id,
                                                           .unit = 1,
                                                           .attempt = 5,
                                                           .diagnostic = diagnostic,
                                                           .timeout_secs = 60,
                                                           .created_at = kNow,
                                                           .deadline = deadline,
                                                           .publish_at = kNow}));
      return absl::OkStatus();
    });
    return number;
  }
  template <typename F>
  auto Get(F get) {
    std::remove_cvref_t<decltype(*get(std::declval<StoreTransaction&>()))> result;
    Write([&](StoreTransaction& tx) -> absl::Status {
      ASSIGN_OR_RETURN(result, get(tx));
      return absl::OkStatus();
    });
    return result;
  }
  std::vector<DiagnosticRunRow> Claim(int64_t now) {
    return Get([&](StoreTransaction& tx) { return DiagnosticRunTable(tx).Claim(now, now + 30, 10); });
  }
};

INSTANTIATE_TEST_SUITE_P(Databases, VerificationTableTest, testing::Values(Kind::kSqlite, Kind::kPostgres),
                         DatabaseName);

TEST_P(VerificationTableTest, ARunIsFoundWithItsPartsAndWithoutItsNeighbours) {
  Add("aa", "camera");
  Add("aa.1", "inference");
  Add("aa1", "camera");
  Add("ab", "camera");
  const auto runs = Get([](StoreTransaction& tx) { return DiagnosticRunTable(tx).OfRun("aa"); });
  EXPECT_THAT(runs, ElementsAre(Field(&DiagnosticRunRow::run_id, "aa"), Field(&DiagnosticRunRow::run_id, "aa.1")));
  const int64_t closed = Get([](StoreTransaction& tx) {
    return DiagnosticRunTable(tx).ClosePending("aa", RunState::kSuperseded, "newer", kNow);
  });
  EXPECT_EQ(closed, 2);
  EXPECT_THAT(Get([](StoreTransaction& tx) { return DiagnosticRunTable(tx).OfRun("ab"); }),
              ElementsAre(Field(&DiagnosticRunRow::state, RunState::kPending)));
}

TEST_P(VerificationTableTest, WhatIsClaimedIsNobodyElsesUntilTheClaimEnds) {
  Add("aa", "camera");
  ASSERT_THAT(Claim(kNow), SizeIs(1));
  EXPECT_THAT(Claim(kNow), IsEmpty());
  // Its claimant died.
  EXPECT_THAT(Claim(kNow + 30), SizeIs(1));
  // Past its deadline nobody orders it.
  EXPECT_THAT(Claim(kNow + 90), IsEmpty());
}

TEST_P(VerificationTableTest, AnAnswerOfTheBrokerDoesNotEndAPublishingThatWasAskedForSince) {
  const int64_t number = Add("aa", "camera");
  ASSERT_THAT(Claim(kNow), SizeIs(1));
  Write([](StoreTransaction& tx) { return DiagnosticRunTable(tx).PublishAgain(1, kNow + 1); });
  Write([&](StoreTransaction& tx) { return DiagnosticRunTable(tx).Published({{number, kNow + 30}}); });
  ASSERT_THAT(Claim(kNow + 1), SizeIs(1));
  Write([&](StoreTransaction& tx) { return DiagnosticRunTable(tx).Published({{number, kNow + 31}}); });
  EXPECT_THAT(Claim(kNow + 60), IsEmpty());
}

TEST_P(VerificationTableTest, OnlyPendingRunsAreDueSoonestFirst) {
  Add("aa", "late", kNow + 20);
  Add("aa", "soon", kNow + 10);
  Add("aa", "later", kNow + 30);
  const auto due = [&](int64_t now) {
    return Get([&](StoreTransaction& tx) { return DiagnosticRunTable(tx).Due(now, 10); });
  };
  EXPECT_THAT(due(kNow + 9), IsEmpty());
  EXPECT_THAT(due(kNow + 20),
              ElementsAre(Field(&DiagnosticRunRow::diagnostic, "soon"), Field(&DiagnosticRunRow::diagnostic, "late")));
  Write([&](StoreTransaction& tx) {
    return DiagnosticRunTable(tx).ClosePending("aa", RunState::kTimeout, "", kNow).status();
  });
  EXPECT_THAT(due(kNow + 100), IsEmpty());
}

TEST_P(VerificationTableTest, WhatIsOverAndOldIsPruned) {
  Add("aa", "camera");
  Add("bb", "camera");
  Write([&](StoreTransaction& tx) -> absl::Status {
    RETURN_IF_ERROR(DiagnosticRunTable(tx).ClosePending("aa", RunState::kTimeout, "", kNow).status());
    return DiagnosticRunTable(tx).Prune(1, kNow + 1);
  });
  EXPECT_THAT(Get([](StoreTransaction& tx) { return DiagnosticRunTable(tx).OfUnit(1, 10); }),
              ElementsAre(Field(&DiagnosticRunRow::run_id, "bb")));
}

TEST_P(VerificationTableTest, FailuresStayUntilSomebodyHasActedUponThem) {
  Write([](StoreTransaction& tx) -> absl::Status {
    for (const int64_t attempt : {7, 5, 7}) RETURN_IF_ERROR(VerificationFailureTable(tx).Add(attempt));
    return absl::OkStatus();
  });
  const auto list = [&] { return Get([](StoreTransaction& tx) { return VerificationFailureTable(tx).List(10); }); };
  EXPECT_THAT(list(), ElementsAre(5, 7));
  Write([](StoreTransaction& tx) { return VerificationFailureTable(tx).Remove(5); });
  EXPECT_THAT(list(), ElementsAre(7));
}

TEST_P(VerificationTableTest, TheGuardIsAsConfiguredUntilItIsWritten) {
  const auto guard = [&](bool switched_on, bool lock) {
    return Get([&](StoreTransaction& tx) { return StormGuardTable(tx, switched_on).Get(lock); });
  };
  EXPECT_FALSE(guard(false, false).switched_on);
  EXPECT_TRUE(guard(true, false).switched_on);
  const StormGuard tripped{.streak = {{7, 1000}, {9, 2000}, {12, 3000}}, .disabled_until = 90'000};
  Write([&](StoreTransaction& tx) -> absl::Status {
    StormGuardTable table(tx, true);
    ASSIGN_OR_RETURN(const StormGuard before, table.Get(/*lock=*/true));
    return table.Save(before, tripped);
  });
  EXPECT_EQ(guard(false, false), tripped) << "what was written counts";
}

}  // namespace
}  // namespace tandem::fleet
