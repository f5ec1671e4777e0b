#include "um-plugins/mcu/mcu_image_check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "bootloader/core/mcuboot_image.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "um-plugins/mcu/image_file.h"
#include "um-plugins/mcu/mcu_version.h"

namespace tandem::plugins {
namespace {

constexpr size_t kPiece = 64 << 10;

absl::Status CheckHash(File& file, const boot::Image& image) {
  Sha256Stream digest;
  for (uint64_t at = 0; at < image.hashed_size;) {
    ASSIGN_OR_RETURN(const std::string piece, file.ReadAt(at, std::min<uint64_t>(kPiece, image.hashed_size - at)));
    if (piece.empty()) return absl::InvalidArgumentError("the image is truncated");
    digest.Update(piece);
    at += piece.size();
  }
  if (digest.Finish() == std::string(image.hash.begin(), image.hash.end())) return absl::OkStatus();
  return absl::InvalidArgumentError("the image is damaged: it does not match its own hash tag");
}

absl::Status CheckVersion(const boot::Image& image, const ImageDemands& demands) {
  if (!demands.version.has_value()) return absl::OkStatus();
  if (ParseMcuVersion(*demands.version) == image.header.version) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the image says that its version is ",
                                                 McuVersionText(image.header.version), ", and the release says ",
                                                 *demands.version, "; correct one of them, or set any_image_version"));
}

absl::Status CheckHardware(const boot::Image& image, const ImageDemands& demands) {
  const std::string id(image.hardware_id.begin(), image.hardware_id.begin() + image.hardware_id_size);
  if (demands.hardware_id.empty() || id == demands.hardware_id) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the image is for ", id.empty() ? "no named hardware" : id,
                                                 ", and this device is ", demands.hardware_id));
}

absl::Status CheckCounter(const boot::Image& image, const ImageDemands& demands) {
  if (image.security_counter < demands.security_version) {
    return absl::FailedPreconditionError(
        absl::StrCat("the image's security counter is ", image.security_counter,
                     ", and the release's security_version ", demands.security_version,
                     ": once sealed, the device would refuse it; sign the image with that "
                     "counter"));
  }
  if (image.security_counter < demands.device_counter.value_or(0)) {
    return absl::FailedPreconditionError(absl::StrCat("the image's security counter is ", image.security_counter,
                                                      ", and the device boots none below ", *demands.device_counter));
  }
  return absl::OkStatus();
}

absl::Status CheckDependencies(const boot::Image& image, const ImageDemands& demands) {
  for (size_t i = 0; i < image.dependency_count; ++i) {
    const boot::ImageDependency& wanted = image.dependencies[i];
    const auto found = std::find_if(demands.slots.begin(), demands.slots.end(), [&](const smp::ImageSlot& slot) {
      return slot.image == wanted.image && (slot.active || slot.confirmed);
    });
    const std::string has = found == demands.slots.end() ? "" : found->version;
    const std::optional<boot::ImageVersion> version = ParseMcuVersion(has);
    if (version.has_value() && *version >= wanted.at_least) continue;
    return absl::FailedPreconditionError(absl::StrCat("the image needs image ", wanted.image,
                                                      " of the device to be at least ", McuVersionText(wanted.at_least),
                                                      ", and it is ", has.empty() ? "not there" : has));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CheckedImage> CheckMcuImage(File& file, uint64_t size, const ImageDemands& demands) {
  if (size > UINT32_MAX) return absl::InvalidArgumentError("no MCUboot image is that large");
  smp::FileImageSource source(file, static_cast<uint32_t>(size));
  boot::Image image;
  if (const boot::ImageResult result = boot::ReadImage(source, image); result != boot::ImageResult::kOk) {
    return absl::InvalidArgumentError(absl::StrCat("the image cannot be installed: ", boot::ImageResultText(result)));
  }
  RETURN_IF_ERROR(CheckHash(file, image));
  RETURN_IF_ERROR(CheckVersion(image, demands));
  RETURN_IF_ERROR(CheckHardware(image, demands));
  RETURN_IF_ERROR(CheckCounter(image, demands));
  RETURN_IF_ERROR(CheckDependencies(image, demands));
  if (demands.slot_size.has_value() && size > *demands.slot_size) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the image has ", size, " bytes, and the device's slot takes ", *demands.slot_size));
  }
  return CheckedImage{.hash = {image.hash.begin(), image.hash.end()},
                      .version = McuVersionText(image.header.version),
                      .security_counter = image.security_counter};
}

}  // namespace tandem::plugins
