// What an operator asked for, checked and completed, in the form that the pure machines take.
#ifndef TANDEM_FLEET_CONTROLLER_ROLLOUT_SPEC_H_
#define TANDEM_FLEET_CONTROLLER_ROLLOUT_SPEC_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/rollout/ring_gate.h"
#include "fleet/rollout/targeting.h"
#include "fleet/store/records.h"
#include "tandem/fleet/v1/rollout.pb.h"

namespace tandem::fleet {

// Fills in every default, and says what is wrong where: INVALID_ARGUMENT.
absl::StatusOr<v1::RolloutSpec> CompleteSpec(v1::RolloutSpec spec);

// Of a stored rollout. DATA_LOSS: it cannot be read.
absl::StatusOr<v1::RolloutSpec> ReadSpec(const RolloutRow& rollout);

GatePolicy PolicyOf(const v1::GateSpec& gate);

// The units that a ring may have: the rollout's target and the ring's own.
class RingTarget {
 public:
  static absl::StatusOr<RingTarget> Parse(const v1::RolloutSpec& spec, int ring);
  bool Matches(const UnitAttributes& unit) const { return all_.Matches(unit) && ring_.Matches(unit); }

 private:
  RingTarget(TargetExpression all, TargetExpression ring) : all_(std::move(all)), ring_(std::move(ring)) {}
  TargetExpression all_;
  TargetExpression ring_;
};

// Whether new orders may be given at `now`.
bool InWindow(const v1::RolloutSpec& spec, int64_t now);

// For the audit log.
std::string AttributesJson(const UnitAttributes& attributes);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_ROLLOUT_SPEC_H_
