// Any bytes as an MCUboot image.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "bootloader/core/mcuboot_image.h"
#include "tests/fuzz/check.h"

namespace {

class Source final : public tandem::boot::ImageSource {
 public:
  explicit Source(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  uint32_t size() const override { return static_cast<uint32_t>(bytes_.size()); }
  bool Read(uint32_t at, std::span<uint8_t> into) override {
    FUZZ_CHECK(at <= bytes_.size() && into.size() <= bytes_.size() - at);
    std::copy_n(bytes_.begin() + at, into.size(), into.begin());
    return true;
  }

 private:
  std::span<const uint8_t> bytes_;
};

void CheckWithin(const tandem::boot::ImageRange& range, const tandem::boot::Image& image) {
  FUZZ_CHECK(range.size <= image.total_size && range.at <= image.total_size - range.size);
  FUZZ_CHECK(range.size == 0 || range.at >= image.header.header_size + image.header.body_size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Source source({data, size});
  tandem::boot::Image image;
  const tandem::boot::ImageResult result = ReadImage(source, image);
  FUZZ_CHECK(ImageResultText(result)[0] != '\0');
  if (result != tandem::boot::ImageResult::kOk) return 0;
  FUZZ_CHECK(image.total_size <= size && image.hashed_size < image.total_size);
  FUZZ_CHECK(image.header.header_size >= tandem::boot::kImageHeaderSize);
  FUZZ_CHECK(image.hashed_size >= image.header.header_size + image.header.body_size);
  FUZZ_CHECK(image.dependency_count <= tandem::boot::kMaxImageDependencies);
  FUZZ_CHECK(image.hardware_id_size <= tandem::boot::kMaxHardwareIdSize);
  CheckWithin(image.ecdsa_signature, image);
  CheckWithin(image.key_hash, image);
  CheckWithin(image.hash_tag, image);
  FUZZ_CHECK(image.hash_tag.size >= tandem::boot::kImageHashSize);
  FUZZ_CHECK(ImageResultText(CheckForOurs(image))[0] != '\0');
  return 0;
}
