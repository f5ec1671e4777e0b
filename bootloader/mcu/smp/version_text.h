// An image's version as SMP writes it: "1.2.3", with ".4" for a build number that is not 0. Freestanding.
#ifndef TANDEM_BOOTLOADER_MCU_SMP_VERSION_TEXT_H_
#define TANDEM_BOOTLOADER_MCU_SMP_VERSION_TEXT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bootloader/core/mcuboot_image.h"

namespace tandem::mcu {

class VersionText {
 public:
  explicit VersionText(const boot::ImageVersion& version) {
    Add(version.major);
    Add(version.minor, '.');
    Add(version.revision, '.');
    if (version.build != 0) Add(version.build, '.');
  }

  std::string_view text() const { return {text_.data(), size_}; }

 private:
  void Add(uint32_t number, char before = '\0') {
    if (before != '\0') text_[size_++] = before;
    std::array<char, 10> digits{};
    size_t count = 0;
    do {
      digits[count++] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number != 0);
    while (count > 0) text_[size_++] = digits[--count];
  }

  // 255.255.65535.4294967295
  std::array<char, 24> text_{};
  size_t size_ = 0;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_SMP_VERSION_TEXT_H_
