// Any two copies of a U-Boot environment, with right and wrong checksums, and the changes that follow.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "tests/fuzz/check.h"

using tandem::boot::BootRecord;
using tandem::boot::Slot;

namespace {

constexpr size_t kCopySize = 256;
constexpr size_t kHeader = 5;

// Files in memory, made once.
struct Files {
  Files() {
    environment = memfd_create("environment", 0);
    config = memfd_create("config", 0);
    const std::string path = absl::StrCat("/proc/self/fd/", environment);
    const std::string text = absl::StrCat(path, " 0x0 0x", absl::Hex(kCopySize), "\n", path, " 0x",
                                          absl::Hex(kCopySize), " 0x", absl::Hex(kCopySize), "\n");
    FUZZ_CHECK(pwrite(config, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
    config_path = absl::StrCat("/proc/self/fd/", config);
  }
  int environment;
  int config;
  std::string config_path;
};

void FixChecksum(std::string& copy) {
  const uint32_t crc = tandem::boot::Crc32(
      {reinterpret_cast<const uint8_t*>(copy.data()) + kHeader, copy.size() - kHeader});
  for (int i = 0; i < 4; ++i) copy[static_cast<size_t>(i)] = static_cast<char>(crc >> (8 * i));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Files files;
  if (size < 1) return 0;
  const uint8_t right = data[0];
  std::string image(reinterpret_cast<const char*>(data) + 1, std::min(size - 1, 2 * kCopySize));
  image.resize(2 * kCopySize, '\0');
  std::string copies[] = {image.substr(0, kCopySize), image.substr(kCopySize)};
  for (int i = 0; i < 2; ++i) {
    if ((right & (1 << i)) != 0) FixChecksum(copies[i]);
  }
  image = copies[0] + copies[1];
  FUZZ_CHECK(pwrite(files.environment, image.data(), image.size(), 0) == static_cast<ssize_t>(image.size()));
  tandem::boot::UbootBootControl control(tandem::FileSystem::Real(), files.config_path);
  const auto before = control.Read();
  const absl::Status marked = control.MarkUnbootable(Slot::kB);
  FUZZ_CHECK(before.ok() || !marked.ok());
  if (!marked.ok()) {
    std::string after(image.size(), '\0');
    FUZZ_CHECK(pread(files.environment, after.data(), after.size(), 0) == static_cast<ssize_t>(after.size()));
    FUZZ_CHECK(!before.ok() || control.Read().value() == *before);
    return 0;
  }
  const auto after = control.Read();
  FUZZ_CHECK(after.ok() && after->b_unbootable && after->trial != Slot::kB);
  FUZZ_CHECK(after->security_counter == before->security_counter);
  return 0;
}
