#include "bootloader/mcu/boot/image_check.h"

#include <algorithm>

namespace tandem::mcu {
namespace {

// Two integers of 33 bytes with their headers.
constexpr size_t kMaxSignatureSize = 72;
constexpr size_t kHashChunk = 256;

CheckResult FromForm(boot::ImageResult result) {
  switch (result) {
    case boot::ImageResult::kOk:
      return CheckResult::kOk;
    case boot::ImageResult::kReadFailed:
      return CheckResult::kReadFailed;
    case boot::ImageResult::kBlank:
      return CheckResult::kBlank;
    case boot::ImageResult::kUnsupported:
      return CheckResult::kUnsupported;
    case boot::ImageResult::kBadMagic:
    case boot::ImageResult::kBadSizes:
    case boot::ImageResult::kBadTags:
    case boot::ImageResult::kNoHash:
      break;
  }
  return CheckResult::kBadForm;
}

CheckResult CheckSignature(boot::ImageSource& source, const PublicKey& key, const boot::Image& image) {
  if (image.ecdsa_signature.size == 0 || image.key_hash.size == 0) return CheckResult::kNotSigned;
  Digest named{};
  if (image.key_hash.size != named.size()) return CheckResult::kWrongKey;
  if (!source.Read(image.key_hash.at, named)) return CheckResult::kReadFailed;
  if (named != key.hash) return CheckResult::kWrongKey;
  std::array<uint8_t, kMaxSignatureSize> bytes{};
  if (image.ecdsa_signature.size > bytes.size()) return CheckResult::kWrongSignature;
  const std::span<uint8_t> signature = std::span(bytes).first(image.ecdsa_signature.size);
  if (!source.Read(image.ecdsa_signature.at, signature)) return CheckResult::kReadFailed;
  return VerifyP256(key, image.hash, signature) ? CheckResult::kOk : CheckResult::kWrongSignature;
}

bool HardwareFits(std::span<const uint8_t> wanted, const boot::Image& image) {
  return wanted.size() == image.hardware_id_size && std::equal(wanted.begin(), wanted.end(), image.hardware_id.begin());
}

}  // namespace

bool HashOf(boot::ImageSource& source, uint32_t size, void (*keep_alive)(), Digest& digest) {
  if (size > source.size()) return false;
  Sha256Hash hash;
  std::array<uint8_t, kHashChunk> chunk{};
  for (uint32_t at = 0; at < size;) {
    const std::span<uint8_t> bytes = std::span(chunk).first(std::min<size_t>(chunk.size(), size - at));
    if (!source.Read(at, bytes)) return false;
    hash.Update(bytes);
    at += static_cast<uint32_t>(bytes.size());
    if (keep_alive != nullptr) keep_alive();
  }
  digest = hash.Finish();
  return true;
}

CheckResult CheckImage(boot::ImageSource& source, const ImageRules& rules, boot::Image& image) {
  image = {};
  if (const CheckResult form = FromForm(ReadImage(source, image)); form != CheckResult::kOk) return form;
  if (const CheckResult ours = FromForm(CheckForOurs(image)); ours != CheckResult::kOk) return ours;
  Digest found{};
  if (!HashOf(source, image.hashed_size, rules.keep_alive, found)) return CheckResult::kReadFailed;
  if (found != image.hash) return CheckResult::kWrongHash;
  if (const CheckResult signature = CheckSignature(source, *rules.key, image); signature != CheckResult::kOk) {
    return signature;
  }
  if (!HardwareFits(rules.hardware_id, image)) return CheckResult::kWrongHardware;
  return image.security_counter >= rules.security_counter ? CheckResult::kOk : CheckResult::kBelowSecurityCounter;
}

const char* CheckResultText(CheckResult result) {
  switch (result) {
    case CheckResult::kOk:
      return "ok";
    case CheckResult::kReadFailed:
      return "it cannot be read";
    case CheckResult::kBlank:
      return "the slot is empty";
    case CheckResult::kBadForm:
      return "it is no MCUboot image, or truncated";
    case CheckResult::kUnsupported:
      return "it is encrypted, not hashed with SHA-256, or marked as not bootable";
    case CheckResult::kWrongPlace:
      return "it is linked for a place where no image may run";
    case CheckResult::kWrongHash:
      return "its bytes do not match its hash";
    case CheckResult::kNotSigned:
      return "it is not signed";
    case CheckResult::kWrongKey:
      return "it is signed with another key";
    case CheckResult::kWrongSignature:
      return "its signature is wrong";
    case CheckResult::kWrongHardware:
      return "it is for other hardware";
    case CheckResult::kBelowSecurityCounter:
      break;
  }
  return "its security counter is below the device's";
}

}  // namespace tandem::mcu
