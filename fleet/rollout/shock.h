// Keeps a fleet-wide shock (an outage of the network, the backend, a region's power) from being blamed on a release.
//
// Each scored unit of a ring may be paired with a control: a unit of the same stratum without the release, scored over
// the same time. A pair is (t, c), 1 for a failure: t of the unit, c of its control. Four counts say everything:
//
//   Shock evidence       (the controls fail more than p0):  e_shock  = (p1/p0)^f ((1-p1)/(1-p0))^s
//   Quiet evidence       (the controls fail less than p1):  e_quiet  = 1 / e_shock
//   Blame evidence       (t fails more than c):             e_blame  = mean over lambda of
//                                                              (1 + lambda)^n10 (1 - lambda)^n01
//   with f = n01 + n11 failed and s = n00 + n10 passed controls, and lambda in {0.1, 0.3, 0.5, 0.7, 0.9}.
//
// Each is an e-process: while its contrary holds, its expected value is at most 1 at any time, and so (Ville) the
// probability that it ever reaches x is at most 1/x. The rule, once the test of sprt.h says abort:
//
//   e_quiet >= 2/a   ABORT  the controls are shown to be well: it is the release
//   e_blame >= 2/a   ABORT  the release fails more than its controls: it is the release, shock or not
//   e_shock >= 1/a   HOLD   the controls fail too: a shock
//   otherwise        HOLD   not known yet; score more pairs, or let an operator decide
//
// Under any shock that hits both arms alike with a rate of at least p1, P(abort) <= a/2 + a/2 = a. A hold promotes
// nothing: only further passes could bring llr from the abort bound down to the promote bound, and at a rate of at
// least p1 P(that) <= exp(promote_bound - abort_bound), which is 0.3 % for a = b = 5 %.
//
// Why not "abort unless e_shock >= 1/a"? Unit and control fail at the same pace in a shock, and the test's bound
// ln((1-b)/a) is as near as ln(1/a): the release would win the race about every second time (shock_test.cc shows it).
//
// Pure functions; any thread.
#ifndef TANDEM_FLEET_ROLLOUT_SHOCK_H_
#define TANDEM_FLEET_ROLLOUT_SHOCK_H_

#include <cstdint>

#include "fleet/rollout/sprt.h"

namespace tandem::fleet {

// The first digit is the unit with the release, the second its control; 1 failed.
struct PairCounts {
  uint64_t n00 = 0;
  uint64_t n01 = 0;
  uint64_t n10 = 0;
  uint64_t n11 = 0;

  uint64_t Total() const { return n00 + n01 + n10 + n11; }
};

// Natural logarithms: the values themselves leave the range of a double.
struct ShockEvidence {
  double log_shock = 0;
  double log_quiet = 0;  // -log_shock
  double log_blame = 0;
};

// `params` must have passed Check().
ShockEvidence Weigh(const SprtParams& params, const PairCounts& pairs);

enum class Blame {
  kRelease,  // the abort stands
  kShock,    // the controls fail too, and the release is not shown to fail more
  kUnknown,  // not enough pairs to tell
};

// Whether an abort of the sequential test is the release's fault.
Blame Attribute(const SprtParams& params, const ShockEvidence& evidence);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_SHOCK_H_
