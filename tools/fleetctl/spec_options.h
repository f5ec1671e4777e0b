// A rollout as it is asked for on the command line: a YAML file, and flags for the common parts, which win.
#ifndef TANDEM_TOOLS_FLEETCTL_SPEC_OPTIONS_H_
#define TANDEM_TOOLS_FLEETCTL_SPEC_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tandem/fleet/v1/rollout.pb.h"

namespace tandem::fleetctl {

struct SpecOptions {
  std::string file;
  std::string release;
  std::string name;
  std::string target;
  // "5%,10%,100%" or "lab=1%,canary=5%,full=100%".
  std::string rings;
  std::string start;
  std::string score_age;
  std::string on_abort;
  uint32_t max_in_flight = 0;
  double units_per_minute = 0;
  std::vector<std::string> base_urls;
};

// INVALID_ARGUMENT: the file, with its line, or a flag. What is not given has the controller's default.
absl::StatusOr<fleet::v1::RolloutSpec> ReadSpec(const SpecOptions& options);

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_SPEC_OPTIONS_H_
