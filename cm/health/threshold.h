// A measured number against what a probe allows.
#ifndef TANDEM_CM_HEALTH_THRESHOLD_H_
#define TANDEM_CM_HEALTH_THRESHOLD_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cm/health/probe.h"
#include "tandem/release/v1/probe.pb.h"

namespace tandem::cm {

// "12.5 ms" when `value` lies within; FAILED_PRECONDITION "12.5 ms is above the limit of 10 ms".
absl::StatusOr<std::string> CheckThreshold(double value, std::string_view unit,
                                           const release::v1::Threshold& threshold);

// What of a measurement is allowed.
void SetAllowed(const release::v1::Threshold& threshold, ProbeMeasurement& measurement);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_THRESHOLD_H_
