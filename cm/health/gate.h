// The health gate's decision, pure: probe results and elapsed time in, "waiting, passed or failed" out.
//
// Per probe:  waiting --grace over--> passing --successes_needed in a row--> passed
//             any of them --failure, forgiven--> failing (the row starts again) --success--> passing
//             any of them --failures_allowed + 1--> failed
// The gate passes when every probe is passed at the same time and the grace is over, and fails with the first failed
// probe. As a precondition gate nothing fails: a failure only starts the row again, and a passed gate may wait again.
#ifndef TANDEM_CM_HEALTH_GATE_H_
#define TANDEM_CM_HEALTH_GATE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"

namespace tandem::cm {

enum class GateMode {
  // After Start: a failure is final.
  kHealth,
  // Before Start: waits until all pass.
  kPreconditions,
};

struct GateRule {
  std::string name;
  // From the gate's start; results before it do not count.
  absl::Duration grace;
  absl::Duration interval = absl::Seconds(1);
  absl::Duration timeout = absl::Seconds(5);
  uint32_t successes_needed = 1;
  uint32_t failures_allowed = 0;
};

enum class ProbeState { kWaiting, kPassing, kPassed, kFailing, kFailed };
std::string_view ProbeStateName(ProbeState state);

struct ProbeProgress {
  ProbeState state = ProbeState::kWaiting;
  // In a row, after the grace.
  uint32_t successes = 0;
  // All of them, after the grace.
  uint32_t failures = 0;
  // Of the last result.
  std::string detail;
};

enum class GateVerdict { kWaiting, kPassed, kFailed };
std::string_view GateVerdictName(GateVerdict verdict);

struct GateState {
  GateVerdict verdict = GateVerdict::kWaiting;
  // kFailed: the probe and why. kWaiting: what is waited for. For people.
  std::string reason;
  std::vector<ProbeProgress> probes;
};

struct GateEvent {
  enum class Kind {
    // Nothing happened but time.
    kTick,
    kProbePassed,
    kProbeFailed,
  };
  Kind kind = Kind::kTick;
  // Since the gate's start, in the same clock for all events.
  absl::Duration elapsed;
  // Of the probe, for results.
  size_t probe = 0;
  std::string detail;
};

// What a result means for its probe; exactly one holds.
enum class GateCondition {
  kInGrace,
  kPassedEnough,
  kPassedTooFew,
  kFailureForgiven,
  kFailureFinal,
};
// In words, for the docs.
std::string_view GateConditionText(GateCondition condition);

// One row of the declared table; printed into the docs.
struct GateTransition {
  ProbeState from;
  GateCondition when;
  ProbeState to;
};
std::span<const GateTransition> GateTable();

// The state before any event. Without probes the gate passes as soon as `grace` is over.
GateState InitialGateState(const std::vector<GateRule>& rules);

// The state after `event`. A final verdict (kFailed, or kPassed of a health gate) stays.
GateState StepGate(GateMode mode, const std::vector<GateRule>& rules, absl::Duration grace, GateState state,
                   const GateEvent& event);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_GATE_H_
