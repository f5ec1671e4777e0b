// Any two copies of a U-Boot environment, with right and wrong checksums, and the changes that follow.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "bootloader/boot_control/uboot_boot_control.h"
#include "tests/fuzz/check.h"

using tandem::boot::BootRecord;
using tandem::boot::Slot;

namespace {

constexpr size_t kCopySize = 256;
constexpr size_t kHeader = 5;

// Made once, and removed at the end.
struct Files {
  Files() {
    std::string name = "/dev/shm/uboot-fuzz-XXXXXX";
    folder = mkdtemp(name.data());
    config = folder + "/fw_env.config";
    const std::string path = folder + "/environment";
    const std::string size = absl::StrCat("0x", absl::Hex(kCopySize));
    FUZZ_CHECK(
        tandem::FileSystem::Real()
            .WriteFileAtomically(config, absl::StrCat(path, " 0x0 ", size, "\n", path, " ", size, " ", size, "\n"))
            .ok());
    environment = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_CHECK(environment >= 0);
  }
  ~Files() { (void)tandem::FileSystem::Real().RemoveTree(folder); }

  std::string folder;
  std::string config;
  int environment = -1;
};

void FixChecksum(std::string& copy) {
  const uint32_t crc =
      tandem::boot::Crc32({reinterpret_cast<const uint8_t*>(copy.data()) + kHeader, copy.size() - kHeader});
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
  tandem::boot::UbootBootControl control(tandem::FileSystem::Real(), files.config);
  const auto before = control.Read();
  const absl::Status marked = control.MarkUnbootable(Slot::kB);
  FUZZ_CHECK(before.ok() || !marked.ok());
  if (!marked.ok()) {
    FUZZ_CHECK(!before.ok() || control.Read().value() == *before);
    return 0;
  }
  const auto after = control.Read();
  FUZZ_CHECK(after.ok() && after->b_unbootable && after->trial != Slot::kB);
  FUZZ_CHECK(after->security_counter == before->security_counter);
  return 0;
}
