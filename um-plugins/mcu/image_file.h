// MCUboot images in memory and in files, for bootloader/core/mcuboot_image.h.
#ifndef TANDEM_UM_PLUGINS_MCU_IMAGE_FILE_H_
#define TANDEM_UM_PLUGINS_MCU_IMAGE_FILE_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "bootloader/core/mcuboot_image.h"
#include "common/storage/file_system.h"

namespace tandem::smp {

class MemoryImageSource final : public boot::ImageSource {
 public:
  explicit MemoryImageSource(std::string_view bytes) : bytes_(bytes) {}
  uint32_t size() const override { return static_cast<uint32_t>(std::min<size_t>(bytes_.size(), UINT32_MAX)); }
  bool Read(uint32_t at, std::span<uint8_t> into) override {
    if (at > bytes_.size() || bytes_.size() - at < into.size()) return false;
    std::copy_n(bytes_.begin() + at, into.size(), into.begin());
    return true;
  }

 private:
  std::string_view bytes_;
};

class FileImageSource final : public boot::ImageSource {
 public:
  // `file` must outlive it.
  FileImageSource(File& file, uint32_t size) : file_(file), size_(size) {}
  uint32_t size() const override { return size_; }
  bool Read(uint32_t at, std::span<uint8_t> into) override {
    const absl::StatusOr<std::string> bytes = file_.ReadAt(at, into.size());
    if (!bytes.ok() || bytes->size() != into.size()) return false;
    std::copy(bytes->begin(), bytes->end(), into.begin());
    return true;
  }

 private:
  File& file_;
  const uint32_t size_;
};

}  // namespace tandem::smp

#endif  // TANDEM_UM_PLUGINS_MCU_IMAGE_FILE_H_
