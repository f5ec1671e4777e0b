#include "tools/mcu-image/image_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/storage/file_system.h"
#include "tests/support/golden_text.h"

namespace tandem::mcu_image {
namespace {

using ::testing::HasSubstr;

const PrivateKey& Key() {
  static const PrivateKey& key = *new PrivateKey(*PrivateKey::Generate(KeyAlgorithm::kEcdsaP256));
  return key;
}

ImageSpec Spec() {
  return {.version = {1, 2, 3, 4},
          .load_address = 0x20000000,
          .flags = boot::kImageRamLoad,
          .security_counter = 7,
          .hardware_id = "board",
          .dependencies = {{1, {2, 0, 0, 0}}}};
}

TEST(ImageBuilder, WhatIsBuiltIsReadBack) {
  const std::string bytes = *BuildImage(Spec(), std::string(1000, 'x'), &Key());
  const absl::StatusOr<boot::Image> image = ParseImage(bytes);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->header.version, (boot::ImageVersion{1, 2, 3, 4}));
  EXPECT_EQ(image->header.load_address, 0x20000000U);
  EXPECT_EQ(image->header.body_size, 1000U);
  EXPECT_EQ(image->security_counter, 7U);
  EXPECT_EQ(std::string(image->hardware_id.begin(), image->hardware_id.begin() + image->hardware_id_size), "board");
  ASSERT_EQ(image->dependency_count, 1);
  EXPECT_EQ(image->dependencies[0], (boot::ImageDependency{1, {2, 0, 0, 0}}));
  EXPECT_EQ(image->total_size, bytes.size());
}

TEST(ImageBuilder, TheGoldenImageIsRead) {
  const std::string bytes = *FileSystem::Real().ReadFile(GoldenPath("mcuboot_image.img"));
  const absl::StatusOr<boot::Image> image = ParseImage(bytes);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->header.version, (boot::ImageVersion{1, 2, 3, 4}));
  EXPECT_EQ(image->header.load_address, 0x20000000U);
  EXPECT_EQ(image->header.flags, boot::kImageRamLoad);
  EXPECT_EQ(image->header.header_size, 32);
  EXPECT_EQ(image->header.body_size, 9U);
  EXPECT_EQ(image->security_counter, 7U);
  EXPECT_EQ(image->dependencies[0], (boot::ImageDependency{1, {2, 0, 0, 0}}));
  EXPECT_EQ(image->hash[0], 0x1c);
  const absl::StatusOr<PublicKey> key = LoadPublicKey(TANDEM_TEST_KEY);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_TRUE(VerifyImage(bytes, *key).ok());
}

TEST(ImageBuilder, OnlyTheSignersKeyVerifies) {
  const std::string bytes = *BuildImage(Spec(), "body", &Key());
  EXPECT_TRUE(VerifyImage(bytes, Key().public_key()).ok());
  const PrivateKey other = *PrivateKey::Generate(KeyAlgorithm::kEcdsaP256);
  EXPECT_THAT(VerifyImage(bytes, other.public_key()).message(), HasSubstr("another key"));
}

TEST(ImageBuilder, AChangedByteOfWhatIsSignedIsFound) {
  const std::string good = *BuildImage(Spec(), "body", &Key());
  const uint32_t hashed = ParseImage(good)->hashed_size;
  for (size_t at = 20; at < hashed; ++at) {
    std::string bytes = good;
    bytes[at] ^= 1;
    EXPECT_FALSE(VerifyImage(bytes, Key().public_key()).ok()) << at;
  }
}

TEST(ImageBuilder, ATruncatedImageHasNoForm) {
  const std::string good = *BuildImage(Spec(), "body", &Key());
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(ParseImage(good.substr(0, size)).ok()) << size;
}

TEST(ImageBuilder, RefusesWhatNoImageCanCarry) {
  ImageSpec spec = Spec();
  spec.hardware_id.assign(33, 'x');
  EXPECT_FALSE(BuildImage(spec, "body", &Key()).ok());
  const PrivateKey ed25519 = *PrivateKey::Generate(KeyAlgorithm::kEd25519);
  EXPECT_FALSE(BuildImage(Spec(), "body", &ed25519).ok());
  EXPECT_FALSE(BuildImage(Spec(), "", &Key()).ok());
}

TEST(ImageBuilder, WhatNoDeviceBootsIsRefusedWithTheFix) {
  EXPECT_TRUE(CheckBootable(Spec()).ok());
  ImageSpec spec = Spec();
  spec.flags = 0;
  EXPECT_THAT(CheckBootable(spec).message(), HasSubstr("--ram-load (copied to RAM) or --rom-fixed"));
  spec.flags = boot::kImageRamLoad | boot::kImageRomFixed;
  EXPECT_THAT(CheckBootable(spec).message(), HasSubstr("cannot be both"));
  spec = Spec();
  spec.load_address += 0x44;
  EXPECT_THAT(CheckBootable(spec).message(), HasSubstr("such as with load address 0x20000000"));
  spec.header_size = 16;
  EXPECT_THAT(CheckBootable(spec).message(), HasSubstr("--header-size 512"));
}

TEST(ImageBuilder, VersionsAreReadStrictly) {
  EXPECT_EQ(*ParseImageVersion("1.2.3"), (boot::ImageVersion{1, 2, 3, 0}));
  EXPECT_EQ(*ParseImageVersion("255.255.65535+4294967295"), (boot::ImageVersion{255, 255, 65535, 4294967295}));
  for (const char* wrong : {"", "1", "1.2", "1.2.3.4", "256.0.0", "0.0.65536", "1.2.x", "1.2.3+", "-1.0.0"}) {
    EXPECT_FALSE(ParseImageVersion(wrong).ok()) << wrong;
  }
  EXPECT_EQ(ImageVersionText({1, 2, 3, 4}), "1.2.3+4");
}

}  // namespace
}  // namespace tandem::mcu_image
