// Offline bundles from any stick: whatever is found in one lies inside of it.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "cm/artifacts/bundle.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("bundle", MFD_CLOEXEC);
  FUZZ_CHECK(write(fd, data, size) == static_cast<ssize_t>(size));
  const auto bundle = tandem::cm::OpenBundle("/proc/self/fd/" + std::to_string(fd));
  if (bundle.ok()) {
    for (const auto& [digest, range] : bundle->artifacts) {
      FUZZ_CHECK(digest.size() == 32);
      FUZZ_CHECK(range.offset <= size && range.size <= size - range.offset);
    }
  }
  close(fd);
  return 0;
}
