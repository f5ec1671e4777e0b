// Wald's sequential probability ratio test: does a release fail more often than it may?
//
//   p0: the failure rate that is accepted        a: P(abort | rate p0), a false abort
//   p1: the failure rate that must be found      b: P(promote | rate p1), a missed regression
//
//   llr     = failures * ln(p1 / p0) + passes * ln((1 - p1) / (1 - p0))
//   abort   when llr >= ln((1 - b) / a)
//   promote when llr <= ln(b / (1 - a))
//   undecided between: score more units
//
//   const SprtParams params{.p0 = 0.01, .p1 = 0.02, .alpha = 0.05, .beta = 0.05};
//   RETURN_IF_ERROR(Check(params));
//   Sprt(params).Judge(/*passes=*/291, /*failures=*/0)   // kPromote
//
// Wald's bounds on what is really reached, A and B: A <= a / (1 - b), B <= b / (1 - a), A + B <= a + b. They hold as
// well when units are scored in batches, because a bound that is looked at less often is crossed less often.
//
// CleanPassesToPromote() for 1 % -> 2 %, a / b:  5 % / 5 %: 291   5 % / 10 %: 222   10 % / 5 %: 285   10 % / 10 %: 217.
// A ring with fewer units than that can hold or abort, never promote by itself (sprt_test.cc).
//
// Pure functions; any thread.
#ifndef TANDEM_FLEET_ROLLOUT_SPRT_H_
#define TANDEM_FLEET_ROLLOUT_SPRT_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"

namespace tandem::fleet {

struct SprtParams {
  double p0 = 0.01;
  double p1 = 0.02;
  double alpha = 0.05;
  double beta = 0.05;
};

// INVALID_ARGUMENT, naming the value and its range, unless 1e-6 <= p0 < p1 < 1, p1 >= 1.05 p0 and
// 1e-9 <= alpha, beta < 0.5.
absl::Status Check(const SprtParams& params);

// `params` must have passed Check(); the functions below return nonsense otherwise, but they return.
class Sprt {
 public:
  enum class Verdict { kUndecided, kAbort, kPromote };

  explicit Sprt(const SprtParams& params);

  double Llr(double passes, double failures) const { return failures * failure_weight_ + passes * pass_weight_; }
  Verdict Judge(double passes, double failures) const;

  double failure_weight() const { return failure_weight_; }  // ln(p1 / p0) > 0
  double pass_weight() const { return pass_weight_; }        // ln((1 - p1) / (1 - p0)) < 0
  double abort_bound() const { return abort_bound_; }        // ln((1 - b) / a) > 0
  double promote_bound() const { return promote_bound_; }    // ln(b / (1 - a)) < 0

 private:
  double failure_weight_;
  double pass_weight_;
  double abort_bound_;
  double promote_bound_;
};

// Passes still needed, if no unit fails any more, after so many passes and failures: 0 when the bound is reached.
uint64_t CleanPassesToPromote(const SprtParams& params, uint64_t passes = 0, uint64_t failures = 0);

// What the test does with a release of one true failure rate; the three probabilities add up to 1.
struct OperatingCharacteristic {
  double abort = 0;
  double promote = 0;
  double undecided = 0;       // all units are scored, and no bound is reached
  double expected_units = 0;  // scored until a bound is reached, or all
};

// Exact, by dynamic programming over the distribution of the failures f among n scored units:
// P(n + 1, f) = P(n, f) (1 - rate) + P(n, f - 1) rate, without those (n, f) that have reached a bound.
// A ring of at most `units`, scored one by one. Time: O(units * (abort_bound - promote_bound) / failure_weight).
OperatingCharacteristic Characteristic(const SprtParams& params, double rate, uint64_t units);

// The smallest true rate above p0 that is aborted with a probability of at least 1 - b within `units`; to 4 digits.
// nullopt when even a release that always fails is not.
std::optional<double> SmallestDetectableRegression(const SprtParams& params, uint64_t units);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_SPRT_H_
