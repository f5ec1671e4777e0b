// Loads and checks CM's configuration: everything that --check-config can say.
#ifndef TANDEM_CM_CONFIG_H_
#define TANDEM_CM_CONFIG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/yaml_config.h"
#include "tandem/config/v1/cm.pb.h"

namespace tandem::cm {

// The configuration with its defaults filled in where other parts read it. INVALID_ARGUMENT with file and, where there
// is one, line: unknown keys, missing fields, values that cannot work at all or together (a trial deadline or watchdog
// shorter than the gate's grace, a listener or broker for others without TLS, two nodes of one name). `lines`, when
// given, tells where the values stand.
absl::StatusOr<config::v1::CmConfig> LoadCmConfig(const std::string& path, ConfigLines* lines = nullptr);

// The files that it names: the key set is one of this namespace, certificates and keys can be read and belong together.
// Apart from LoadCmConfig(), because a unit must start without its cloud's certificate: it may be on trial.
absl::Status CheckFiles(const config::v1::CmConfig& config, const ConfigLines& lines);

}  // namespace tandem::cm

#endif  // TANDEM_CM_CONFIG_H_
