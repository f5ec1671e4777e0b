// The gate of a ring: may the release go on to the next one? Promote, hold or abort, each with a reason for people.
//
//   GatePolicy policy;                                    // any failure aborts, all units must pass
//   const GateDecision decision = Decide(policy, counts);
//   decision.outcome                                      // kHold
//   decision.reason                                       // "3 of 20 units scored; 2 are offline; needs 20"
//
// The rules are the rows of GateRows(), searched from the top; the first that holds decides, and the last one holds
// always and says Hold. So nothing is promoted but by a row that says Promote (docs/gates.md has them all).
//
// The caller counts a unit as scored at one fixed age of its attempt, and silence at that age as a failure: otherwise
// the quick successes would be counted before the slow failures. It persists no decision of kHold; kPromote and kAbort
// it makes durable before it acts, as the same counts give the same decision after a crash.
//
// Pure functions; any thread.
#ifndef TANDEM_FLEET_ROLLOUT_RING_GATE_H_
#define TANDEM_FLEET_ROLLOUT_RING_GATE_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "fleet/rollout/shock.h"
#include "fleet/rollout/sprt.h"

namespace tandem::fleet {

struct GatePolicy {
  enum class FailurePolicy {
    kAny,          // so many failures abort, so many passes promote
    kStatistical,  // the sequential test of sprt.h, guarded by the controls of shock.h
  };
  FailurePolicy failure_policy = FailurePolicy::kAny;
  uint32_t failure_threshold = 1;  // kAny: failures that abort; at least 1
  SprtParams sprt;                 // kStatistical
  double success_percent = 100;    // kAny: of the members that are neither excluded nor superseded; above 0 to 100
  uint32_t min_units = 1;          // scored before anything is promoted; at least 1
  absl::Duration stability_window = absl::ZeroDuration();  // after the last score
  bool needs_approval = false;                             // an operator promotes
  uint32_t rehearsals = 0;                                 // members that go back and update again first
};

// INVALID_ARGUMENT, naming the value and its range.
absl::Status Check(const GatePolicy& policy);

// A ring as its counters say.
struct RingCounts {
  uint64_t members = 0;  // all that were chosen
  // Members without a score:
  uint64_t queued = 0;
  uint64_t in_flight = 0;
  uint64_t offline_waiting = 0;
  uint64_t excluded = 0;    // taken out by an operator, or by stop by group
  uint64_t superseded = 0;  // assigned something newer
  // Members with a score, at the fixed age:
  uint64_t passed = 0;
  uint64_t scored_failed = 0;
  // Members with a failed attempt, scored or not: kAny does not wait for the age.
  uint64_t failed = 0;
  // Controls chosen for this ring, and the scored members whose control is scored too, as pairs.
  uint64_t controls = 0;
  PairCounts pairs;
  uint32_t rehearsals_done = 0;
  uint32_t rehearsals_failed = 0;
  absl::Duration since_last_score = absl::ZeroDuration();  // since the scored members last changed
  bool filled = false;                                     // no further member will be added
  bool promote_asked = false;                              // an operator said: promote now
};

enum class GateOutcome { kHold, kPromote, kAbort };
std::string_view Name(GateOutcome outcome);

// What the decision rests on.
struct GateEvidence {
  uint64_t eligible = 0;  // members - excluded - superseded
  uint64_t scored = 0;    // passed + scored_failed
  uint64_t failed = 0;    // that kAny counts
  // kAny: passes to promote. kStatistical: units to be scored in all, if no further one fails. At least min_units.
  uint64_t required = 0;
  // kStatistical, otherwise 0:
  double llr = 0;
  double abort_bound = 0;
  double promote_bound = 0;
  // The controls are enough, that is one for at least every second member; without, the test decides alone.
  bool guarded = false;
  ShockEvidence shock;
};

struct GateDecision {
  GateOutcome outcome = GateOutcome::kHold;
  std::string_view row;  // the name of the row that decided
  std::string reason;
  GateEvidence evidence;
};

GateDecision Decide(const GatePolicy& policy, const RingCounts& counts);

// --- the table, for the gate and for the documentation ---

struct GateView {
  const GatePolicy& policy;
  const RingCounts& counts;
  const GateEvidence& evidence;
};

struct GateRow {
  std::string_view name;
  std::string_view when;
  bool (*holds)(const GateView&);
  GateOutcome outcome;
  std::string (*reason)(const GateView&);
};
std::span<const GateRow> GateRows();

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_RING_GATE_H_
