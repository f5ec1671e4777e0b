// Desired states and key set lists as the cloud, or somebody in its place, sends them.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/crypto/desired_documents.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto desired = tandem::ParseDesired(text); desired.ok()) {
    const absl::StatusOr<std::string> written = tandem::SerializeDesired(*desired);
    FUZZ_CHECK(written.ok());
    const auto again = tandem::ParseDesired(*written);
    FUZZ_CHECK(again.ok());
    FUZZ_CHECK(again->releases.size() == desired->releases.size());
  }
  if (const auto key_sets = tandem::ParseKeySets(text); key_sets.ok()) {
    FUZZ_CHECK(tandem::SerializeKeySets(*key_sets).ok());
  }
  return 0;
}
