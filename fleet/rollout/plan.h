// What a rollout would do, before it does anything: how long each ring takes, and what its gate can find out.
//
//   ASSIGN_OR_RETURN(const RolloutPlan plan, MakePlan(rings));
//   for (const std::string& line : PlanLines(plan)) std::cout << line << "\n";
//
// Of a ring of N units, with rate r (units/minute), at most M in flight, an attempt taking D, scored at age S (from the
// unit's assignment to its score), stability window W and R > 0 rehearsals:
//
//   last unit assigned after    T = max((N - 1) / r, ((N - 1) div M) * D)
//   rehearsals                  H = 2 D          back and forward again, all at once
//   duration                    T + max(S, D) + H + W
//
// It is the duration when all goes well: nobody offline, no approval awaited, no statistical gate that decides before
// the last unit is scored.
//
// Pure functions; any thread.
#ifndef TANDEM_FLEET_ROLLOUT_PLAN_H_
#define TANDEM_FLEET_ROLLOUT_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fleet/rollout/ring_gate.h"

namespace tandem::fleet {

struct PlannedRing {
  std::string name;
  uint64_t units = 0;
  uint64_t controls = 0;
  GatePolicy gate;
  double units_per_minute = 0;  // 0: no limit
  uint64_t max_in_flight = 0;   // 0: no limit
  absl::Duration attempt = absl::Minutes(10);
  absl::Duration score_age = absl::Hours(1);
};

// The largest part of a ring's duration.
enum class DurationBound { kRate, kInFlight, kScoreAge, kRehearsals, kStabilityWindow };
std::string_view Name(DurationBound bound);

struct RingPlan {
  std::string name;
  uint64_t units = 0;
  absl::Duration duration = absl::ZeroDuration();
  DurationBound bound = DurationBound::kScoreAge;
  // kStatistical: passes to promote if no unit fails. kAny: units that must pass.
  uint64_t required = 0;
  // The smallest true failure rate that this ring aborts with a probability of at least 1 - beta (kAny: 90 %);
  // nullopt when it finds none.
  std::optional<double> smallest_regression;
  // kStatistical: P(promoted by itself | the release fails at p0).
  double promoted_at_p0 = 0;
  std::vector<std::string> warnings;
};

struct RolloutPlan {
  std::vector<RingPlan> rings;
  absl::Duration duration = absl::ZeroDuration();  // of all rings, one after the other
};

// The smallest failure rate p with P(at least `threshold` of `units` fail) >= `probability`; to 4 digits.
std::optional<double> SmallestRateFound(uint64_t units, uint64_t threshold, double probability);

// INVALID_ARGUMENT, naming the ring and the value, for a gate that Check() refuses and for negative rates and times.
absl::StatusOr<RolloutPlan> MakePlan(const std::vector<PlannedRing>& rings);

// For people: one line for a ring, its warnings indented below, the total last.
std::vector<std::string> PlanLines(const RolloutPlan& plan);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_PLAN_H_
