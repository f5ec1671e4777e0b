// What can be known about an image before its first byte is sent to a device.
#ifndef TANDEM_UM_PLUGINS_MCU_MCU_IMAGE_CHECK_H_
#define TANDEM_UM_PLUGINS_MCU_MCU_IMAGE_CHECK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/storage/file_system.h"
#include "um-plugins/mcu/mcu_commands.h"

namespace tandem::plugins {

struct ImageDemands {
  // The release's; nullopt: any.
  std::optional<std::string> version;
  // Empty: any.
  std::string hardware_id;
  // The image's security counter is at least this, or the device would refuse it after the seal.
  uint64_t security_version = 0;
  // And at least the device's own, where it tells.
  std::optional<uint64_t> device_counter;
  std::optional<uint64_t> slot_size;
  // Which image of the device it is, and what the device has.
  uint32_t image = 0;
  std::vector<smp::ImageSlot> slots;
};

struct CheckedImage {
  // The value of the image's hash tag, as SMP names it: SHA-256, SHA-384 or SHA-512.
  std::string hash;
  std::string version;
  uint64_t security_counter = 0;
};

// INVALID_ARGUMENT: no MCUboot image, damaged, or not for this device; FAILED_PRECONDITION: an image that it depends on
// is too old, or its security counter is too low; RESOURCE_EXHAUSTED: larger than the slot. The signature is the
// device's to check.
absl::StatusOr<CheckedImage> CheckMcuImage(File& file, uint64_t size, const ImageDemands& demands);

}  // namespace tandem::plugins

#endif  // TANDEM_UM_PLUGINS_MCU_MCU_IMAGE_CHECK_H_
