// Makes MCUboot images (bootloader/core/mcuboot_image.h has the format): header, body, tags, signature.
//
//   ImageSpec spec = {.version = {1, 2, 3}, .load_address = 0x20000000, .flags = boot::kImageRamLoad};
//   ASSIGN_OR_RETURN(std::string image, BuildImage(spec, body, &key));
//
// Also used by tests to make broken ones.
#ifndef TANDEM_TOOLS_MCU_IMAGE_IMAGE_BUILDER_H_
#define TANDEM_TOOLS_MCU_IMAGE_IMAGE_BUILDER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bootloader/core/mcuboot_image.h"
#include "common/crypto/keys.h"

namespace tandem::mcu_image {

struct ImageSpec {
  boot::ImageVersion version;
  uint32_t load_address = 0;
  // kImageRamLoad, kImageRomFixed.
  uint32_t flags = 0;
  // At least 32; the body, which begins with the vector table, follows. 512 keeps it aligned.
  uint16_t header_size = 512;
  // 0: no tag.
  uint32_t security_counter = 0;
  // "": no tag. At most 32 bytes.
  std::string hardware_id;
  std::vector<boot::ImageDependency> dependencies;
};

// INVALID_ARGUMENT, with what to do, when no device could boot such an image: it is neither RAM_LOAD nor ROM_FIXED or
// it is both, its vector table would not be aligned, or a part of it is too long. Tests build such images without
// asking.
absl::Status CheckBootable(const ImageSpec& spec);

// Without a `key` the image has a hash and no signature. The key must be ECDSA P-256. INVALID_ARGUMENT for what no
// image can carry.
absl::StatusOr<std::string> BuildImage(const ImageSpec& spec, std::string_view body, const PrivateKey* key);

// The form of `bytes`; INVALID_ARGUMENT says what is wrong with it.
absl::StatusOr<boot::Image> ParseImage(std::string_view bytes);
// That the image is what `key` signed. PERMISSION_DENIED otherwise.
absl::Status VerifyImage(std::string_view bytes, const PublicKey& key);

// "1.2.3" or "1.2.3+4". INVALID_ARGUMENT for anything else.
absl::StatusOr<boot::ImageVersion> ParseImageVersion(std::string_view text);
std::string ImageVersionText(const boot::ImageVersion& version);

// C++ source that defines kImageKey of bootloader/mcu/public_key.h. INVALID_ARGUMENT unless the key is ECDSA P-256.
absl::StatusOr<std::string> KeySource(const PublicKey& key);

}  // namespace tandem::mcu_image

#endif  // TANDEM_TOOLS_MCU_IMAGE_IMAGE_BUILDER_H_
