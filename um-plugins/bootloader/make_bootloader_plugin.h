// The bootloader itself in two copies (um-plugins/slots): the one that does not run is written, read back, selected on
// trial, and confirmed when the whole unit commits.
//
// A bootloader that never runs cannot go back by itself. So the configuration must say who chooses the old copy then,
// or that nobody does and that this is accepted.
#ifndef TANDEM_UM_PLUGINS_BOOTLOADER_MAKE_BOOTLOADER_PLUGIN_H_
#define TANDEM_UM_PLUGINS_BOOTLOADER_MAKE_BOOTLOADER_PLUGIN_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/config/v1/um.pb.h"
#include "um-plugins/slots/boot_stages.h"
#include "um/plugin.h"

namespace tandem::plugins {

// INVALID_ARGUMENT when the configuration is wrong or could brick the unit. Looks at nothing else.
absl::Status CheckBootloaderConfig(const config::v1::UmConfig& config);

// The plugin over the machine's files, clock and network. The errors of CheckBootloaderConfig().
absl::StatusOr<std::unique_ptr<um::Plugin>> MakeBootloaderPlugin(const config::v1::UmConfig& config,
                                                                 BootStages& stages);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_BOOTLOADER_MAKE_BOOTLOADER_PLUGIN_H_
