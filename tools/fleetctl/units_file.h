// Units from a file: JSON lines, or CSV with a header. Pure.
#ifndef TANDEM_TOOLS_FLEETCTL_UNITS_FILE_H_
#define TANDEM_TOOLS_FLEETCTL_UNITS_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tandem/fleet/v1/fleet.pb.h"

namespace tandem::fleetctl {

// JSON lines: {"unit_id":"gw-1","region":"eu","tags":{"lab":"yes"}}, one unit a line. CSV (RFC 4180): the first line
// names the columns, which are the fields of UnitRegistration and "tag.NAME"; empty cells are not set. `certificate`
// stays as it is written: PEM, or the path of a file. INVALID_ARGUMENT: "units.csv:3: …".
absl::StatusOr<std::vector<fleet::v1::UnitRegistration>> ParseUnits(const std::string& text, const std::string& name);

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_UNITS_FILE_H_
