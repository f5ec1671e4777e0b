// tandem-fleet's configuration: a YAML file, a folder, or both.
#ifndef TANDEM_FLEET_CONFIG_H_
#define TANDEM_FLEET_CONFIG_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/config/yaml_config.h"
#include "tandem/config/v1/fleet.pb.h"

namespace tandem::fleet {

// What the command line says; it wins over the file.
struct FleetOverrides {
  std::string data;
  std::string name_space;
  std::string broker;
  bool open_registration = false;
};

// Reads `path` (empty: no file), takes the overrides over, fills in the defaults. INVALID_ARGUMENT with file and line.
absl::StatusOr<config::v1::FleetConfig> LoadFleetConfig(const std::string& path, const FleetOverrides& overrides);

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_CONFIG_H_
