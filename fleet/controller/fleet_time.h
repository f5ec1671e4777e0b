// The fleet's clock: the machine's, but never back, and never forward by leaps, so that a clock that jumps does not
// make a thousand units silent at once.
//
//   FleetTime time(Clock::Real());
//   const int64_t now = time.Now();   // seconds since 1970
#ifndef TANDEM_FLEET_CONTROLLER_FLEET_TIME_H_
#define TANDEM_FLEET_CONTROLLER_FLEET_TIME_H_

#include <cstdint>
#include <mutex>

#include "absl/time/time.h"
#include "common/time/clock.h"

namespace tandem::fleet {

// Where the fleet's time goes while `elapsed` passes and the machine's clock says `wall`. A difference of up to a
// second is taken at once when it is forward; a larger one is made up for at double speed, a step back at half speed.
absl::Time SlewTowards(absl::Time fleet, absl::Duration elapsed, absl::Time wall);

// Thread-safe.
class FleetTime {
 public:
  explicit FleetTime(Clock& clock) : clock_(clock), fleet_(clock.Now()), last_(clock.Monotonic()) {}

  // Seconds since 1970.
  int64_t Now();

 private:
  Clock& clock_;
  std::mutex mutex_;
  absl::Time fleet_;
  absl::Duration last_;
  bool warned_ = false;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONTROLLER_FLEET_TIME_H_
