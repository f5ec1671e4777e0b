// The root file system in two slots (um-plugins/slots), switched by a boot record or a U-Boot environment.
#ifndef TANDEM_UM_PLUGINS_ROOTFS_MAKE_ROOTFS_PLUGIN_H_
#define TANDEM_UM_PLUGINS_ROOTFS_MAKE_ROOTFS_PLUGIN_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/config/v1/um.pb.h"
#include "um-plugins/slots/boot_stages.h"
#include "um/plugin.h"

namespace tandem::plugins {

// INVALID_ARGUMENT when the configuration is wrong. Looks at no file but uboot_environment.
absl::Status CheckRootfsConfig(const config::v1::UmConfig& config);

// The plugin over the machine's files, clock and network. The errors of CheckRootfsConfig().
absl::StatusOr<std::unique_ptr<um::Plugin>> MakeRootfsPlugin(const config::v1::UmConfig& config, BootStages& stages);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_ROOTFS_MAKE_ROOTFS_PLUGIN_H_
