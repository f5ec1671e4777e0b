#include "um-plugins/mcu/mcu_image_check.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bootloader/core/mcuboot_image.h"
#include "common/status/status.h"
#include "um-plugins/mcu/image_file.h"
#include "um-plugins/mcu/mcu_version.h"

namespace tandem::plugins {
namespace {

constexpr size_t kPiece = 64 << 10;

const EVP_MD* DigestOf(boot::ImageTag type) {
  switch (type) {
    case boot::ImageTag::kSha384:
      return EVP_sha384();
    case boot::ImageTag::kSha512:
      return EVP_sha512();
    default:
      return EVP_sha256();
  }
}

// The digest of `file`'s first `size` bytes.
absl::StatusOr<std::string> Digest(File& file, uint64_t size, const EVP_MD* type) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool done = digest != nullptr && EVP_DigestInit_ex(digest.get(), type, nullptr) == 1;
  for (uint64_t at = 0; at < size;) {
    ASSIGN_OR_RETURN(const std::string piece, file.ReadAt(at, std::min<uint64_t>(kPiece, size - at)));
    if (piece.empty()) return absl::InvalidArgumentError("the image is truncated");
    done = done && EVP_DigestUpdate(digest.get(), piece.data(), piece.size()) == 1;
    at += piece.size();
  }
  std::string value(EVP_MD_get_size(type), '\0');
  done = done && EVP_DigestFinal_ex(digest.get(), reinterpret_cast<unsigned char*>(value.data()), nullptr) == 1;
  if (done) return value;
  return absl::InternalError("OpenSSL cannot make the image's digest");
}

absl::Status CheckHash(File& file, const boot::Image& image, const std::string& hash) {
  // Its tag is over the plain bytes, which only the device can see; the file's digest was checked.
  if (image.header.IsEncrypted()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string found, Digest(file, image.hashed_size, DigestOf(image.hash_type)));
  if (found == hash) return absl::OkStatus();
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
  if (demands.hardware_id.empty()) return absl::OkStatus();
  if (image.hardware_id_is_odd) {
    return absl::InvalidArgumentError(
        absl::StrCat("the image's hardware id (tag 0xa0) must be one of at most ", boot::kMaxHardwareIdSize,
                     " bytes, in the protected area; this device is ", demands.hardware_id));
  }
  if (id == demands.hardware_id) return absl::OkStatus();
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
  ASSIGN_OR_RETURN(const std::string hash, file.ReadAt(image.hash_tag.at, image.hash_tag.size));
  RETURN_IF_ERROR(CheckHash(file, image, hash));
  RETURN_IF_ERROR(CheckVersion(image, demands));
  RETURN_IF_ERROR(CheckHardware(image, demands));
  RETURN_IF_ERROR(CheckCounter(image, demands));
  RETURN_IF_ERROR(CheckDependencies(image, demands));
  if (demands.slot_size.has_value() && size > *demands.slot_size) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the image has ", size, " bytes, and the device's slot takes ", *demands.slot_size));
  }
  return CheckedImage{
      .hash = hash, .version = McuVersionText(image.header.version), .security_counter = image.security_counter};
}

}  // namespace tandem::plugins
