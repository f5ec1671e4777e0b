#include "fleet/rollout/ring_gate.h"

#include <limits>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tandem::fleet {
namespace {

using testing::HasSubstr;

GatePolicy Any() {
  GatePolicy policy;
  policy.min_units = 2;
  return policy;
}

GatePolicy Statistical() {
  GatePolicy policy;
  policy.failure_policy = GatePolicy::FailurePolicy::kStatistical;
  return policy;
}

// A filled ring of 20, so many of them scored.
RingCounts Ring(uint64_t passed, uint64_t scored_failed = 0, uint64_t members = 20) {
  RingCounts counts;
  counts.members = members;
  counts.passed = passed;
  counts.scored_failed = counts.failed = scored_failed;
  counts.filled = true;
  return counts;
}

template <typename T, typename Change>
T With(T value, Change change) {
  change(value);
  return value;
}

struct Case {
  std::string row;
  GateOutcome outcome;
  std::string reason;
  GatePolicy policy;
  RingCounts counts;
};

constexpr auto kAsked = [](RingCounts& c) { c.promote_asked = true; };

RingCounts Guarded(uint64_t passed, uint64_t failed, const PairCounts& pairs) {
  return With(Ring(passed, failed, 1000), [&](RingCounts& c) {
    c.controls = 1000;
    c.pairs = pairs;
  });
}

std::vector<Case> CasesThatHold() {
  const PairCounts shock{.n00 = 10, .n01 = 5, .n10 = 5, .n11 = 2};
  return {
      {"policy", GateOutcome::kHold, "not valid: min_units = 0", With(Any(), [](GatePolicy& p) { p.min_units = 0; }),
       Ring(20)},
      {"counters", GateOutcome::kHold, "do not add up", Any(), Ring(21)},
      {"counters", GateOutcome::kHold, "5 pairs", Any(), With(Ring(2), [](RingCounts& c) { c.pairs.n00 = 5; })},
      {"counters", GateOutcome::kHold, "rebuild", Any(), With(Ring(20), [](RingCounts& c) { c.pairs.n10 = 1; })},
      {"shock", GateOutcome::kHold,
       "7 of 22 scored units failed, llr 4.70, but the controls without the release fail too "
       "(of 22 pairs 7 units and 7 controls failed): a fleet-wide shock; promote by hand",
       Statistical(), Guarded(15, 7, shock)},
      {"unattributed", GateOutcome::kHold, "waits for more pairs", Statistical(),
       Guarded(15, 5, {.n00 = 10, .n10 = 2})},
      {"filling", GateOutcome::kHold, "still being filled", Any(),
       With(Ring(20), [](RingCounts& c) { c.filled = false; })},
      {"filling", GateOutcome::kHold, "still being filled", Any(), RingCounts{}},
      {"too small", GateOutcome::kHold, "has 1 units that can be scored, needs 2", Any(), Ring(1, 0, 1)},
      {"too small", GateOutcome::kHold, "has 0 units", Any(),
       With(Ring(0),
            [](RingCounts& c) {
              c.excluded = 15;
              c.superseded = 5;
              c.promote_asked = true;
            })},
      {"too few scored", GateOutcome::kHold,
       "1 of 20 units scored; 2 are offline; 1 is in flight; 16 are queued; needs 20", Any(),
       With(Ring(1),
            [](RingCounts& c) {
              c.offline_waiting = 2;
              c.in_flight = 1;
              c.queued = 16;
            })},
      {"too few scored", GateOutcome::kHold, "1 of 20 units scored; needs", Any(), With(Ring(1), kAsked)},
      {"out of reach", GateOutcome::kHold, "19 units passed, 1 failed; 20 passes are out of reach; promote by hand",
       With(Any(), [](GatePolicy& p) { p.failure_threshold = 2; }), Ring(19, 1)},
      {"not passed", GateOutcome::kHold, "19 of 20 units scored, 19 passed; needs 20", Any(), Ring(19)},
      {"exhausted", GateOutcome::kHold, "all 20 units are scored and nothing is decided: 1 of 20 scored units failed",
       Statistical(), Ring(19, 1)},
      {"undecided", GateOutcome::kHold, "needs 91 more passes", Statistical(), Ring(200, 0, 1000)},
      {"rehearsals", GateOutcome::kHold, "1 of 2 rehearsed rollbacks done",
       With(Any(), [](GatePolicy& p) { p.rehearsals = 2; }),
       With(Ring(20),
            [](RingCounts& c) {
              c.rehearsals_done = 1;
              c.promote_asked = true;
            })},
      {"rehearsals", GateOutcome::kHold, "the ring has no unit for them",
       With(Any(), [](GatePolicy& p) { p.rehearsals = 2; }), Ring(0, 0, 0)},
      {"stability window", GateOutcome::kHold, "stable for 30m of 1h",
       With(Any(), [](GatePolicy& p) { p.stability_window = absl::Hours(1); }),
       With(Ring(20), [](RingCounts& c) { c.since_last_score = absl::Minutes(30); })},
      {"approval", GateOutcome::kHold, "the gate is passed (20 of 20 units scored); waits for an operator",
       With(Any(), [](GatePolicy& p) { p.needs_approval = true; }), Ring(20)},
      {"approval", GateOutcome::kHold, "waits for an operator",
       With(Any(), [](GatePolicy& p) { p.needs_approval = true; }), Ring(0, 0, 0)},
  };
}

std::vector<Case> CasesThatDecide() {
  return {
      {"rehearsal failed", GateOutcome::kAbort, "1 of 2 rehearsed rollbacks failed",
       With(Any(), [](GatePolicy& p) { p.rehearsals = 2; }),
       With(Ring(20),
            [](RingCounts& c) {
              c.rehearsals_failed = 1;
              c.promote_asked = true;
            })},
      {"failures", GateOutcome::kAbort, "1 of 20 units failed; 1 aborts", Any(),
       With(Ring(0),
            [](RingCounts& c) {
              c.failed = 1;
              c.filled = false;
            })},
      {"failures", GateOutcome::kAbort, "3 of 20 units failed; 3 abort",
       With(Any(), [](GatePolicy& p) { p.failure_threshold = 3; }), With(Ring(17, 3), kAsked)},
      {"regression", GateOutcome::kAbort, "5 of 20 scored units failed, llr 3.31 >= 2.94; too few controls",
       Statistical(), With(Ring(15, 5), kAsked)},
      {"regression", GateOutcome::kAbort, "of 20 pairs 10 units and 0 controls failed", Statistical(),
       Guarded(10, 10, {.n00 = 10, .n10 = 10})},
      {"empty", GateOutcome::kPromote, "no unit of the target is left for this ring", Any(), Ring(0, 0, 0)},
      {"empty", GateOutcome::kPromote, "no unit of the target is left for this ring", Statistical(), Ring(0, 0, 0)},
      {"passed", GateOutcome::kPromote, "20 of 20 units passed; needed 20", Any(), Ring(20)},
      {"passed", GateOutcome::kPromote, "15 of 15 units passed; needed 15", Any(),
       With(Ring(15),
            [](RingCounts& c) {
              c.excluded = 3;
              c.superseded = 2;
            })},
      {"passed", GateOutcome::kPromote, "19 of 20 units passed; needed 19",
       With(Any(),
            [](GatePolicy& p) {
              p.failure_threshold = 2;
              p.success_percent = 95;
            }),
       Ring(19, 1)},
      {"accepted", GateOutcome::kPromote, "0 of 291 scored units failed, llr -2.95 <= -2.94", Statistical(),
       Ring(291, 0, 1000)},
      {"by hand", GateOutcome::kPromote, "promoted by hand: 12 of 20 units scored", Any(), With(Ring(12), kAsked)},
      {"by hand", GateOutcome::kPromote, "promoted by hand", Statistical(), With(Ring(19, 1), kAsked)},
      {"by hand", GateOutcome::kPromote, "promoted by hand", Statistical(),
       With(Guarded(15, 7, {.n00 = 10, .n01 = 5, .n10 = 5, .n11 = 2}), kAsked)},
  };
}

TEST(RingGate, EachRowDecidesItsCase) {
  std::vector<Case> cases = CasesThatHold();
  for (Case& c : CasesThatDecide()) cases.push_back(std::move(c));
  std::set<std::string> rows;
  for (const Case& c : cases) {
    const GateDecision decision = Decide(c.policy, c.counts);
    EXPECT_EQ(decision.row, c.row) << decision.reason;
    EXPECT_EQ(decision.outcome, c.outcome) << c.row;
    EXPECT_THAT(decision.reason, HasSubstr(c.reason));
    rows.insert(c.row);
  }
  // The last one is there so that a gap among the others would hold; the sweep below shows that there is none.
  for (const GateRow& row : GateRows()) EXPECT_TRUE(rows.contains(std::string(row.name)) || row.name == "otherwise");
}

TEST(RingGate, TooFewControlsLeaveTheTestAlone) {
  RingCounts counts = Guarded(15, 7, {.n00 = 10, .n01 = 5, .n10 = 5, .n11 = 2});
  counts.controls = 499;
  EXPECT_EQ(Decide(Statistical(), counts).row, "regression");
  counts.controls = 500;
  EXPECT_EQ(Decide(Statistical(), counts).row, "shock");
}

TEST(RingGate, SaysWhenNoFurtherPairsWillCome) {
  RingCounts counts = Ring(15, 5);
  counts.controls = 10;
  counts.pairs = {.n00 = 8, .n10 = 2};
  EXPECT_THAT(Decide(Statistical(), counts).reason,
              HasSubstr("not shown that the controls are well (of 10 pairs 2 units "
                        "and 0 controls failed); promote by hand"));
}

TEST(RingGate, EvidenceHasTheNumbersOfTheTest) {
  const GateDecision decision = Decide(Statistical(), Guarded(395, 5, {.n00 = 395, .n10 = 5}));
  EXPECT_EQ(decision.evidence.scored, 400U);
  EXPECT_EQ(decision.evidence.eligible, 1000U);
  EXPECT_NEAR(decision.evidence.llr, -0.5442, 0.001);
  EXPECT_NEAR(decision.evidence.abort_bound, 2.9444, 0.001);
  EXPECT_NEAR(decision.evidence.promote_bound, -2.9444, 0.001);
  EXPECT_TRUE(decision.evidence.guarded);
  EXPECT_NEAR(decision.evidence.shock.log_quiet, 400 * 0.0101524, 0.001);
  EXPECT_EQ(decision.evidence.required, 400U + 237U);
}

TEST(RingGate, PercentagesAreNotLostToRounding) {
  GatePolicy policy = Any();
  policy.min_units = 1;
  for (const double percent : {5.0, 10.0, 30.0, 35.0, 70.0, 95.0}) {
    policy.success_percent = percent;
    for (uint64_t members = 100; members <= 10'000; members += 100) {
      EXPECT_EQ(Decide(policy, Ring(0, 0, members)).evidence.required, static_cast<uint64_t>(percent) * (members / 100))
          << percent << " % of " << members;
    }
  }
}

TEST(GatePolicy, ChecksNameTheValue) {
  const auto message = [](auto change) { return std::string(Check(With(GatePolicy(), change)).message()); };
  EXPECT_EQ(message([](GatePolicy&) {}), "");
  EXPECT_THAT(message([](GatePolicy& p) { p.min_units = 0; }), HasSubstr("min_units = 0"));
  EXPECT_THAT(message([](GatePolicy& p) { p.failure_threshold = 0; }), HasSubstr("failure_threshold = 0"));
  EXPECT_THAT(message([](GatePolicy& p) { p.success_percent = 0; }), HasSubstr("success_percent = 0"));
  EXPECT_THAT(message([](GatePolicy& p) { p.success_percent = 101; }), HasSubstr("success_percent = 101"));
  EXPECT_THAT(message([](GatePolicy& p) { p.success_percent = std::numeric_limits<double>::quiet_NaN(); }),
              HasSubstr("success_percent = nan"));
  EXPECT_THAT(message([](GatePolicy& p) { p.stability_window = -absl::Seconds(1); }), HasSubstr("stability_window"));
  EXPECT_THAT(message([](GatePolicy& p) {
                p.failure_policy = GatePolicy::FailurePolicy::kStatistical;
                p.sprt.p0 = 0.5;
              }),
              HasSubstr("sprt: p1 = 0.02"));
}

// --- the exhaustive sweep ---

// A test that small rings can decide: 2 failures abort, 4 passes promote.
constexpr SprtParams kQuick{.p0 = 0.1, .p1 = 0.5, .alpha = 0.2, .beta = 0.2};

// What must be so whenever something is promoted.
void ExpectPromotable(const GatePolicy& policy, const RingCounts& c) {
  EXPECT_TRUE(c.filled);
  EXPECT_EQ(c.rehearsals_failed, 0U);
  EXPECT_GE(c.rehearsals_done, policy.rehearsals);
  EXPECT_TRUE(!policy.needs_approval || c.promote_asked);
  EXPECT_LE(c.passed + c.scored_failed + c.excluded, c.members);
  if (c.members > 0) {
    EXPECT_GE(c.passed + c.scored_failed, policy.min_units);
    EXPECT_TRUE(c.promote_asked || c.since_last_score >= policy.stability_window);
  }
  if (policy.failure_policy == GatePolicy::FailurePolicy::kAny) {
    EXPECT_LT(c.failed, policy.failure_threshold);
    EXPECT_LT(c.scored_failed, policy.failure_threshold);
  } else if (c.members > 0 && !c.promote_asked) {
    EXPECT_EQ(Sprt(policy.sprt).Judge(static_cast<double>(c.passed), static_cast<double>(c.scored_failed)),
              Sprt::Verdict::kPromote);
  }
}

void CheckOne(const GatePolicy& policy, const RingCounts& counts, std::set<std::string_view>& rows) {
  const GateDecision decision = Decide(policy, counts);
  rows.insert(decision.row);
  EXPECT_FALSE(decision.reason.empty());
  EXPECT_NE(decision.row, "otherwise") << decision.reason;
  if (decision.outcome == GateOutcome::kPromote) ExpectPromotable(policy, counts);
  const bool must_abort = counts.rehearsals_failed > 0 || (policy.failure_policy == GatePolicy::FailurePolicy::kAny &&
                                                           counts.failed >= policy.failure_threshold);
  EXPECT_TRUE(!must_abort || decision.outcome == GateOutcome::kAbort);
}

// Bits of `flags`: what is true or false of the ring and its policy.
constexpr int kFlags = 7;
void SweepFlags(GatePolicy policy, RingCounts counts, std::set<std::string_view>& rows) {
  for (int flags = 0; flags < 1 << kFlags; ++flags) {
    counts.filled = (flags & 1) != 0;
    counts.promote_asked = (flags & 2) != 0;
    policy.needs_approval = (flags & 4) != 0;
    policy.rehearsals = (flags & 8) != 0 ? 1 : 0;
    counts.rehearsals_done = (flags & 16) != 0 ? 1 : 0;
    counts.rehearsals_failed = (flags & 32) != 0 ? 1 : 0;
    policy.stability_window = (flags & 64) != 0 ? absl::Minutes(2) : absl::ZeroDuration();
    counts.since_last_score = absl::Minutes(1);
    CheckOne(policy, counts, rows);
  }
}

void SweepCounts(const GatePolicy& policy, std::set<std::string_view>& rows) {
  for (uint64_t members = 0; members <= 6; ++members) {
    for (uint64_t passed = 0; passed <= 6; ++passed) {
      for (uint64_t scored_failed = 0; scored_failed <= 4; ++scored_failed) {
        for (uint64_t unscored_failed = 0; unscored_failed <= 1; ++unscored_failed) {
          for (uint64_t excluded = 0; excluded <= 2; ++excluded) {
            RingCounts counts = Ring(passed, scored_failed, members);
            counts.failed += unscored_failed;
            counts.excluded = excluded;
            SweepFlags(policy, counts, rows);
            counts.controls = members;
            counts.pairs = {.n00 = passed, .n01 = 0, .n10 = 0, .n11 = scored_failed};
            SweepFlags(policy, counts, rows);
          }
        }
      }
    }
  }
}

TEST(RingGate, NeverPromotesWhatItMayNotInAnySmallRing) {
  std::set<std::string_view> rows;
  for (const uint32_t min_units : {1U, 3U}) {
    for (const uint32_t threshold : {1U, 2U}) {
      GatePolicy policy;
      policy.min_units = min_units;
      policy.failure_threshold = threshold;
      policy.success_percent = threshold == 1 ? 100 : 60;
      SweepCounts(policy, rows);
    }
    GatePolicy policy = Statistical();
    policy.sprt = kQuick;
    policy.min_units = min_units;
    SweepCounts(policy, rows);
  }
  // All rows but the wrong policy's and the last were met on the way.
  EXPECT_EQ(rows.size(), GateRows().size() - 2);
}

}  // namespace
}  // namespace tandem::fleet
