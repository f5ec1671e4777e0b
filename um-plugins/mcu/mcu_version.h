// Versions as MCUboot counts them.
#ifndef TANDEM_UM_PLUGINS_MCU_MCU_VERSION_H_
#define TANDEM_UM_PLUGINS_MCU_MCU_VERSION_H_

#include <optional>
#include <string>

#include "bootloader/core/mcuboot_image.h"

namespace tandem::plugins {

// "1.2", "1.2.3", "1.2.3.4" and "1.2.3+4"; parts that are missing are 0. nullopt: none of these, or a part is too
// large for its field.
std::optional<boot::ImageVersion> ParseMcuVersion(const std::string& text);

// "1.2.3", or "1.2.3.4" when there is a build number: as devices tell it.
std::string McuVersionText(const boot::ImageVersion& version);

// The same version, however it is spelled; texts that are no such versions must be equal.
bool SameMcuVersion(const std::string& a, const std::string& b);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_MCU_MCU_VERSION_H_
