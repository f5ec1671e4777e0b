// Loads and checks CM's configuration: everything that --check-config can say.
#ifndef TANDEM_CM_CONFIG_H_
#define TANDEM_CM_CONFIG_H_

#include <string>

#include "absl/status/statusor.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

// The configuration with its defaults filled in where other parts read it. INVALID_ARGUMENT with file and, where there
// is one, line: unknown keys, missing fields, values that cannot work together (a trial deadline or watchdog shorter
// than the gate's grace, a TCP listener without TLS, two nodes of one name).
absl::StatusOr<config::v1::CmConfig> LoadCmConfig(const std::string& path);

}  // namespace tandem::cm

#endif  // TANDEM_CM_CONFIG_H_
