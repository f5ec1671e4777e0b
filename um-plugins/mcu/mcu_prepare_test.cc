// What is uploaded to a device, and what is refused before a byte is sent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "common/crypto/sha256.h"
#include "um-plugins/mcu/unit_with_mcu.h"

namespace tandem::plugins {
namespace {

using smp::FakeMcuOptions;
using smp::HashOfImage;
using smp::MakeTestImage;
using smp::TestImageSpec;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(McuPrepareTest, AnImageThatIsThereIsNotUploadedAgain) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  const uint64_t uploaded = unit.mcu_.uploaded();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.uploaded(), uploaded);
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  // What runs already.
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  EXPECT_EQ(unit.mcu_.uploaded(), uploaded);
  // Back to the version before, of which CM knows no source.
  ASSERT_TRUE(
      unit.plugin_
          ->Prepare({{.component_id = "motor", .component_type = "motor-mcu", .version = "1.0.0"}}, unit.operation_)
          .ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  EXPECT_EQ(unit.Version(), "1.0.0");
  EXPECT_EQ(unit.mcu_.uploaded(), uploaded);
  EXPECT_THAT(unit.mcu_.violations(), IsEmpty());
}

TEST(McuPrepareTest, ASlotThatWasLeftHalfWrittenIsNotBelieved) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  // The upload of another image is broken off before its first byte has changed the slot.
  const um::Artifact three = unit.Artifact({.major = 3, .body_size = 2000}, "3.0.0");
  unit.on_packet_ = [&](int packet) { unit.operation_.cancelled = packet > unit.packets_before_ + 4; };
  unit.packets_before_ = unit.packets_;
  EXPECT_TRUE(absl::IsCancelled(unit.plugin_->Prepare({three}, unit.operation_)));
  unit.on_packet_ = nullptr;
  unit.operation_.cancelled = false;
  unit.mcu_.Flash(1, MakeTestImage(UnitWithMcu::kTwo));
  const uint64_t uploaded = unit.mcu_.uploaded();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_GE(unit.mcu_.uploaded(), uploaded + MakeTestImage(UnitWithMcu::kTwo).size());
}

TEST(McuPrepareTest, ADamagedImageInTheOtherSlotIsWrittenAgain) {
  for (const bool tells_bootable : {true, false}) {
    UnitWithMcu unit({.tells_bootable = tells_bootable});
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    unit.mcu_.DamageOther();
    if (!tells_bootable) {
      // Only the refusal of the test shows it.
      EXPECT_THAT(std::string(unit.plugin_->Start(unit.operation_).status().message()), HasSubstr("refused the test"));
      EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
    }
    const uint64_t uploaded = unit.mcu_.uploaded();
    ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
    EXPECT_GE(unit.mcu_.uploaded(), uploaded + MakeTestImage(UnitWithMcu::kTwo).size());
    ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
    EXPECT_EQ(unit.Version(), "2.0.0");
  }
}

TEST(McuPrepareTest, ADamagedImageIsNotTheVersionBeforeWithoutASource) {
  UnitWithMcu unit;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Apply(unit.operation_).ok());
  unit.mcu_.DamageOther();
  EXPECT_TRUE(absl::IsNotFound(unit.plugin_->Prepare(
      {{.component_id = "motor", .component_type = "motor-mcu", .version = "1.0.0"}}, unit.operation_)));
}

TEST(McuPrepareTest, AnImageThatDidNotBootIsWrittenAgain) {
  UnitWithMcu unit;
  unit.mcu_.MakeCrash(UnitWithMcu::Hash2());
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_FALSE(unit.plugin_->Start(unit.operation_).ok());
  ASSERT_TRUE(unit.plugin_->Revert(unit.operation_).ok());
  const uint64_t uploaded = unit.mcu_.uploaded();
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_GT(unit.mcu_.uploaded(), uploaded);
}

TEST(McuPrepareTest, WhatCannotRunIsRefusedBeforeAByteIsSent) {
  const auto refused = [](FakeMcuOptions options, const TestImageSpec& spec, const std::string& version,
                          uint64_t security_version, uint64_t device_counter, const std::string& hardware) {
    UnitWithMcu unit(options);
    unit.config_.mutable_mcu()->set_hardware_id(hardware);
    unit.Restart();
    unit.mcu_.SetSecurityCounter(device_counter);
    const absl::Status status =
        unit.plugin_->Prepare({unit.Artifact(spec, version, security_version)}, unit.operation_);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(unit.mcu_.uploaded(), 0U) << status;
    EXPECT_EQ(unit.plugin_->Revert(unit.operation_).value(), um::RevertResult::kReverted);
    return std::string(status.message());
  };
  EXPECT_THAT(refused({}, {.major = 2}, "3.0.0", 0, 0, ""),
              HasSubstr("the image says that its version is 2.0.0, and the release says 3.0.0"));
  EXPECT_THAT(refused({}, {.major = 2, .hardware_id = "board-b"}, "2.0.0", 0, 0, "board-a"),
              HasSubstr("the image is for board-b, and this device is board-a"));
  EXPECT_THAT(refused({}, {.major = 2}, "2.0.0", 0, 0, "board-a"), HasSubstr("no named hardware"));
  EXPECT_THAT(refused({}, {.major = 2, .security_counter = 4}, "2.0.0", 5, 0, ""),
              HasSubstr("the image's security counter is 4, and the release's security_version 5"));
  EXPECT_THAT(refused({.knows_boot_group = true}, {.major = 2, .security_counter = 4}, "2.0.0", 4, 6, ""),
              HasSubstr("the device boots none below 6"));
  EXPECT_THAT(refused({.slot_size = 4000}, {.major = 2, .body_size = 5000}, "2.0.0", 0, 0, ""),
              HasSubstr("the device's slot takes 4000"));
  EXPECT_THAT(refused({}, {.major = 2, .depends_on = {{1, {3, 1, 0, 0}}}}, "2.0.0", 0, 0, ""),
              HasSubstr("needs image 1 of the device to be at least 3.1.0, and it is not there"));
  EXPECT_THAT(refused({}, {.major = 2, .depends_on = {{0, {3, 1, 0, 0}}}}, "2.0.0", 0, 0, ""),
              HasSubstr("and it is 1.0.0"));
}

TEST(McuPrepareTest, ImagesThatOnlyOtherBootloadersTakeAreUpdatesLikeOthers) {
  const TestImageSpec specs[] = {{.major = 2, .hash = boot::ImageTag::kSha384},
                                 {.major = 2, .hash = boot::ImageTag::kSha512},
                                 {.major = 2, .flags = boot::kImageEncryptedAes128},
                                 {.major = 2, .hash = boot::ImageTag::kSha512, .flags = boot::kImageEncryptedAes256},
                                 {.major = 2, .vendor_tag = std::string(100, 'v')}};
  for (const TestImageSpec& spec : specs) {
    UnitWithMcu unit;
    const um::Artifact artifact = unit.Artifact(spec, "2.0.0");
    ASSERT_EQ(unit.plugin_->Prepare({artifact}, unit.operation_), absl::OkStatus());
    ASSERT_EQ(unit.plugin_->Start(unit.operation_).status(), absl::OkStatus());
    ASSERT_EQ(unit.plugin_->Apply(unit.operation_), absl::OkStatus());
    EXPECT_EQ(unit.Version(), "2.0.0");
    EXPECT_EQ(unit.mcu_.RunningHash(), HashOfImage(MakeTestImage(spec)));
  }
}

TEST(McuPrepareTest, AVendorTagIsNoHardwareIdWhereOneIsWanted) {
  UnitWithMcu unit;
  unit.config_.mutable_mcu()->set_hardware_id("board-a");
  unit.Restart();
  const um::Artifact artifact = unit.Artifact({.major = 2, .hardware_id = "board-a", .vendor_tag = "board-b"}, "2.0.0");
  EXPECT_THAT(std::string(unit.plugin_->Prepare({artifact}, unit.operation_).message()), HasSubstr("(tag 0xa0)"));
  EXPECT_EQ(unit.mcu_.uploaded(), 0U);
}

TEST(McuPrepareTest, ADamagedLongerHashIsFound) {
  for (const boot::ImageTag hash : {boot::ImageTag::kSha384, boot::ImageTag::kSha512}) {
    UnitWithMcu unit;
    std::string image = MakeTestImage({.major = 2, .hash = hash});
    image[500] ^= 1;
    um::Artifact artifact = unit.Version2();
    unit.fetcher_.Serve("http://cm/bad", image);
    artifact.urls = {"http://cm/bad"};
    artifact.sha256 = Sha256(image);
    artifact.size = image.size();
    EXPECT_THAT(std::string(unit.plugin_->Prepare({artifact}, unit.operation_).message()),
                HasSubstr("does not match its own hash tag"));
  }
}

TEST(McuPrepareTest, ADamagedOrForeignFileIsRefused) {
  for (const bool damaged : {true, false}) {
    UnitWithMcu unit;
    std::string image = MakeTestImage(UnitWithMcu::kTwo);
    damaged ? image[500] ^= 1 : image[0] ^= 1;
    unit.fetcher_.Serve("http://cm/bad", image);
    um::Artifact artifact = unit.Version2();
    artifact.urls = {"http://cm/bad"};
    artifact.sha256 = Sha256(image);
    const absl::Status status = unit.plugin_->Prepare({artifact}, unit.operation_);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(damaged ? "it does not match its own hash tag" : "it is no MCUboot image"));
    EXPECT_EQ(unit.mcu_.uploaded(), 0U);
  }
}

TEST(McuPrepareTest, ACancelledUploadEndsSoonAndIsTakenUpAgain) {
  UnitWithMcu unit({.keeps_upload = true});
  unit.on_packet_ = [&](int packet) { unit.operation_.cancelled = packet > 7; };
  EXPECT_TRUE(absl::IsCancelled(unit.plugin_->Prepare({unit.Version2()}, unit.operation_)));
  unit.on_packet_ = nullptr;
  unit.operation_.cancelled = false;
  ASSERT_TRUE(unit.plugin_->Prepare({unit.Version2()}, unit.operation_).ok());
  EXPECT_LT(unit.mcu_.uploaded(), 2 * MakeTestImage(UnitWithMcu::kTwo).size());
}

// ---- Whole updates with their Update Manager, with something going wrong at every packet ----

}  // namespace
}  // namespace tandem::plugins
