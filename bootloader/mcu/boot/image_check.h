// Whether an image may run here: its form, place, hash, signature, hardware and security counter. Freestanding. The
// bootloader asks at every boot, the application before it puts an image on trial.
//
//   Image image;
//   const CheckResult result = CheckImage(source, rules, image);
//   if (result != CheckResult::kOk) log(CheckResultText(result));
#ifndef TANDEM_BOOTLOADER_MCU_BOOT_IMAGE_CHECK_H_
#define TANDEM_BOOTLOADER_MCU_BOOT_IMAGE_CHECK_H_

#include <cstdint>
#include <span>

#include "bootloader/core/flash.h"
#include "bootloader/core/mcuboot_image.h"
#include "bootloader/mcu/boot/crypto.h"

namespace tandem::mcu {

enum class CheckResult : uint8_t {
  kOk,
  kReadFailed,
  kBlank,
  // No image, or a truncated one.
  kBadForm,
  kUnsupported,
  // Its load address is not for images, or not its slot's.
  kWrongPlace,
  // Its bytes are not those that were signed.
  kWrongHash,
  kNotSigned,
  kWrongKey,
  kWrongSignature,
  kWrongHardware,
  kBelowSecurityCounter,
};

// "ok", "it is signed with another key", ...
const char* CheckResultText(CheckResult result);

struct ImageRules {
  const PublicKey* key = nullptr;
  std::span<const uint8_t> hardware_id;
  uint32_t security_counter = 0;
  // Called often during the check: feeds the watchdog.
  void (*keep_alive)() = nullptr;
};

// Does not look at where the image wants to run. `image` holds the form when that is good, whatever else is found.
CheckResult CheckImage(boot::ImageSource& source, const ImageRules& rules, boot::Image& image);

// A slot, as the source of an image.
class FlashSource final : public boot::ImageSource {
 public:
  FlashSource(boot::Flash& flash, uint32_t at, uint32_t size) : flash_(flash), at_(at), size_(size) {}
  uint32_t size() const override { return size_; }
  bool Read(uint32_t at, std::span<uint8_t> into) override {
    return flash_.Read(at_ + at, into) == boot::FlashResult::kOk;
  }

 private:
  boot::Flash& flash_;
  const uint32_t at_;
  const uint32_t size_;
};

// An image that was copied to RAM.
class MemorySource final : public boot::ImageSource {
 public:
  explicit MemorySource(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint32_t size() const override { return static_cast<uint32_t>(bytes_.size()); }
  bool Read(uint32_t at, std::span<uint8_t> into) override {
    for (size_t i = 0; i < into.size(); ++i) into[i] = bytes_[at + i];
    return true;
  }

 private:
  std::span<const uint8_t> bytes_;
};

// SHA-256 of the first `size` bytes; false when the source fails or is shorter.
bool HashOf(boot::ImageSource& source, uint32_t size, void (*keep_alive)(), Digest& digest);

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_BOOT_IMAGE_CHECK_H_
