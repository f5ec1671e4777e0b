#include "bootloader/core/mcuboot_image.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/golden/golden.h"

namespace tandem::boot {
namespace {

class TextSource final : public ImageSource {
 public:
  explicit TextSource(std::string bytes) : bytes_(std::move(bytes)) {}
  ~TextSource() = default;

  uint32_t size() const override { return static_cast<uint32_t>(bytes_.size()); }
  bool Read(uint32_t at, std::span<uint8_t> into) override {
    if (at > bytes_.size() || into.size() > bytes_.size() - at) {
      ADD_FAILURE() << "read of " << into.size() << " bytes at " << at << " of " << bytes_.size();
      return false;
    }
    if (reads_left_-- == 0) return false;
    std::copy_n(bytes_.begin() + at, into.size(), into.begin());
    return true;
  }
  void FailAfter(int reads) { reads_left_ = reads; }

 private:
  std::string bytes_;
  int reads_left_ = -1;
};

std::string Golden() { return GoldenBytes("mcuboot_image.hex"); }

ImageResult Read(const std::string& bytes) {
  TextSource source(bytes);
  Image image;
  return ReadImage(source, image);
}

std::string Changed(std::string bytes, size_t at, const std::string& by) { return bytes.replace(at, by.size(), by); }

TEST(McubootImageTest, ReadsTheGoldenImage) {
  TextSource source(Golden() + std::string(100, '\xff'));
  Image image;
  ASSERT_EQ(ReadImage(source, image), ImageResult::kOk);
  EXPECT_EQ(image.header.load_address, 0x20000000U);
  EXPECT_EQ(image.header.flags, kImageRamLoad);
  EXPECT_EQ(image.header.version, (ImageVersion{1, 2, 3, 4}));
  EXPECT_EQ(image.header.header_size, 32);
  EXPECT_EQ(image.header.body_size, 16U);
  EXPECT_EQ(image.hashed_size, 91U);
  EXPECT_EQ(image.total_size, 242U);
  EXPECT_EQ(image.hash[0], 0xc1);
  EXPECT_EQ(image.hash[31], 0xdb);
  EXPECT_EQ(image.key_hash.size, 32U);
  EXPECT_EQ(image.ecdsa_signature.size, 71U);
  EXPECT_EQ(image.security_counter, 5U);
  EXPECT_EQ(std::string(image.hardware_id.begin(), image.hardware_id.begin() + image.hardware_id_size), "gateway-mcu");
  ASSERT_EQ(image.dependency_count, 1);
  EXPECT_EQ(image.dependencies[0], (ImageDependency{1, {1, 4, 2, 9}}));
}

TEST(McubootImageTest, EveryTruncationIsRefused) {
  const std::string golden = Golden();
  for (size_t length = 0; length < golden.size(); ++length) {
    ASSERT_NE(Read(golden.substr(0, length)), ImageResult::kOk) << length;
  }
}

TEST(McubootImageTest, EveryReadMayFail) {
  for (int reads = 0;; ++reads) {
    TextSource source(Golden());
    source.FailAfter(reads);
    Image image;
    const ImageResult result = ReadImage(source, image);
    if (result == ImageResult::kOk) {
      EXPECT_GT(reads, 5);
      break;
    }
    ASSERT_EQ(result, ImageResult::kReadFailed) << reads;
  }
}

TEST(McubootImageTest, WhatIsNoImageIsNamed) {
  const std::string golden = Golden();
  EXPECT_EQ(Read(std::string(64, '\xff')), ImageResult::kBlank);
  EXPECT_EQ(Read(std::string(64, '\0')), ImageResult::kBlank);
  EXPECT_EQ(Read(Changed(golden, 0, "x")), ImageResult::kBadMagic);
  EXPECT_EQ(Read(Changed(golden, 12, "\xff\xff\xff\xff")), ImageResult::kBadSizes) << "sizes that add up past 32 bits";
  EXPECT_EQ(Read(Changed(golden, 8, std::string("\x10\x00", 2))), ImageResult::kBadSizes) << "header of 16 bytes";
  EXPECT_EQ(Read(Changed(golden, 16, "\x10")), ImageResult::kUnsupported) << "not bootable";
}

TEST(McubootImageTest, WhatTheBootloaderDecidesByMustBeUnderTheHash) {
  // The hash's tag turned into a security counter's, a dependency's, outside the protected area.
  for (const char* type : {"\x50", "\x40"}) {
    EXPECT_EQ(Read(Changed(Golden(), 91 + 4, type)), ImageResult::kBadTags);
  }
  // A hash within the hashed part.
  EXPECT_EQ(Read(Changed(Golden(), 48 + 4, "\x10")), ImageResult::kBadTags);
}

ImageResult Ours(const std::string& bytes, ImageTag hash_type) {
  TextSource source(bytes);
  Image image;
  EXPECT_EQ(ReadImage(source, image), ImageResult::kOk);
  EXPECT_EQ(image.hash_type, hash_type);
  return CheckForOurs(image);
}

TEST(McubootImageTest, WhatOtherBootloadersTakeIsReadAndIsNotForOurs) {
  const std::string golden = Golden();
  EXPECT_EQ(Ours(golden, ImageTag::kSha256), ImageResult::kOk);
  EXPECT_EQ(Ours(Changed(golden, 16, "\x04"), ImageTag::kSha256), ImageResult::kUnsupported) << "encrypted, AES-128";
  EXPECT_EQ(Ours(Changed(golden, 16, "\x08"), ImageTag::kSha256), ImageResult::kUnsupported) << "encrypted, AES-256";
  // The tag of 71 bytes of the signature takes the place of what a longer hash needs.
  for (const auto& [type, size] : {std::pair(ImageTag::kSha384, 48), std::pair(ImageTag::kSha512, 64)}) {
    std::string image = golden.substr(0, 91);
    const char head[] = {
        0x07, 0x69, static_cast<char>(8 + size), 0, static_cast<char>(type), 0, static_cast<char>(size), 0};
    image.append(head, sizeof(head)).append(static_cast<size_t>(size), 'h');
    EXPECT_EQ(Ours(image, type), ImageResult::kUnsupported);
    EXPECT_EQ(Read(Changed(image, 91 + 4, "\x10")), ImageResult::kBadTags) << "a SHA-256 of another size";
  }
  // The key hash's tag turned into a vendor's own 0xa0, outside the protected area.
  EXPECT_EQ(Ours(Changed(golden, 91 + 4 + 4 + 32, "\xa0"), ImageTag::kSha256), ImageResult::kBadTags);
}

TEST(McubootImageTest, ATagTwiceOrBeyondItsAreaIsRefused) {
  const std::string golden = Golden();
  const size_t key_hash = 91 + 4 + 4 + 32;
  EXPECT_EQ(Read(Changed(golden, key_hash, "\x10")), ImageResult::kBadTags) << "two hashes";
  EXPECT_EQ(Read(Changed(golden, key_hash + 2, "\xff")), ImageResult::kBadTags) << "longer than its area";
  EXPECT_EQ(Read(Changed(golden, 91 + 2, "\xff\xff")), ImageResult::kBadTags) << "area longer than the image";
  EXPECT_EQ(Read(Changed(golden, 48 + 2, "\x2a")), ImageResult::kBadTags) << "not the size in the header";
  EXPECT_EQ(Read(Changed(golden, 91 + 4, "\x77")), ImageResult::kNoHash);
}

}  // namespace
}  // namespace tandem::boot
