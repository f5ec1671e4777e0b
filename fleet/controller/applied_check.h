// Does a unit run what it was ordered to? What it says is held against the release, component by component: "applied"
// is no more than a claim.
#ifndef TANDEM_FLEET_CONTROLLER_APPLIED_CHECK_H_
#define TANDEM_FLEET_CONTROLLER_APPLIED_CHECK_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/repeated_field.h"
#include "tandem/release/v1/release.pb.h"
#include "tandem/unit/v1/unit.pb.h"

namespace tandem::fleet {

using ComponentReports = google::protobuf::RepeatedPtrField<unit::v1::ComponentReport>;
using PlaneReports = google::protobuf::RepeatedPtrField<unit::v1::PlaneReport>;

// A release and the planes of it that were ordered, bit by bit as PlaneSet.
struct OrderedRelease {
  const release::v1::Release* document = nullptr;
  std::string digest_hex;
  int64_t planes = 0;
};

// OK: each component of the ordered planes that fits `hardware` runs its version from a confirmed slot, and the planes
// name these releases. FAILED_PRECONDITION: what differs, for people.
absl::Status CheckRuns(const std::vector<OrderedRelease>& ordered, const std::string& hardware,
                       const ComponentReports& components, const PlaneReports& planes);

// Whether a unit that reports `components` may have the release: FAILED_PRECONDITION says which requirement it lacks,
// or that nothing of the release is for its hardware. Requirements are met by what it runs or by the release itself.
absl::Status CheckEligible(const release::v1::Release& release, const std::string& hardware,
                           const ComponentReports& components);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_APPLIED_CHECK_H_
