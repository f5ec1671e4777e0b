// What a unit does after a COMMIT that counts against its release, pure: starts that nobody asked for, and health
// probes that fail in a row, within the rollback window. Each is told once per update.
//
//   StabilityStep step = StepStability(rules, state, event);
//   // 1. make step.state durable   2. only then tell step.anomaly
#ifndef TANDEM_CM_HEALTH_STABILITY_H_
#define TANDEM_CM_HEALTH_STABILITY_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace tandem::cm {

struct StabilityRules {
  // In a row, of one probe, before it is told.
  uint32_t failures = 3;
  // Within the window, before they are told.
  uint32_t restarts = 3;
};

struct StabilityState {
  // --- durable ---
  // The committed update that is watched; 0: none was yet.
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  // The boot in which CM was last seen; empty after it ended in order: a start after that was asked for.
  std::string boot_id;
  uint32_t restarts = 0;
  // "restarts", "probe NAME".
  std::set<std::string> told;
  // --- since CM started ---
  std::map<std::string, uint32_t> failures_in_a_row;

  bool operator==(const StabilityState&) const = default;
};

struct StabilityEvent {
  enum class Kind {
    // This is what is committed now, in the boot `boot_id`: at CM's start and after each update.
    kCommitted,
    // An update runs, or the window is over: boots are its business, and probes do not count.
    kNotWatched,
    kProbePassed,
    kProbeFailed,
    // CM ends in order; the unit may be going down in order, too.
    kEnded,
  };
  Kind kind;
  uint64_t sequence = 0;
  uint32_t attempt = 0;
  std::string boot_id = {};
  // Of a probe: its name and what it said.
  std::string probe = {};
  std::string detail = {};
};

struct StabilityStep {
  StabilityState state;
  // For the cloud; empty: nothing.
  std::string anomaly;
};

StabilityStep StepStability(const StabilityRules& rules, StabilityState state, const StabilityEvent& event);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_STABILITY_H_
