#include "bootloader/mcu/smp/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bootloader/core/slot_policy.h"
#include "common/crypto/sha256.h"
#include "tests/support/mcu_test_device.h"

namespace tandem::mcu {
namespace {

using boot::Slot;
using nlohmann::json;

json Err(int rc) { return {{"group", 1}, {"rc", rc}}; }

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    device_.PutImage(Slot::kA, old_);
    EXPECT_EQ(device_.Boot().slot, Slot::kA);
  }

  void BootNewOnTrial() {
    ASSERT_EQ(device_.Upload(new_)["match"], true);
    ASSERT_TRUE(device_.Test(new_).contains("images"));
    ASSERT_EQ(device_.Boot().slot, Slot::kB);
  }
  json State() { return device_.Request(kRead, 1, 0)["images"]; }

  const std::string old_ = TestImage({.version = {1, 0, 0, 0}});
  const std::string new_ = TestImage({.version = {2, 0, 0, 5}, .security_counter = 4});
  TestDevice device_;
};

TEST_F(ServerTest, EchoBufferParametersAndReset) {
  EXPECT_EQ(device_.Request(kWrite, 0, 0, {{"d", "hello"}}), (json{{"r", "hello"}}));
  EXPECT_EQ(device_.Request(kRead, 0, 6), (json{{"buf_size", 1024}, {"buf_count", 4}}));
  EXPECT_FALSE(device_.server().reset_wanted());
  EXPECT_EQ(device_.Request(kWrite, 0, 5, {{"force", 1}}), json::object());
  EXPECT_TRUE(device_.server().reset_wanted());
  EXPECT_FALSE(device_.server().recovery_wanted());
  device_.Request(kWrite, 0, 5, {{"boot_mode", 1}});
  EXPECT_TRUE(device_.server().recovery_wanted());
}

TEST_F(ServerTest, WhatIsUnknownIsNotSupportedInBothVersions) {
  for (const uint8_t version : {0, 1}) {
    EXPECT_EQ(device_.Request(kRead, 77, 0, json::object(), version)["rc"], 8);
    EXPECT_EQ(device_.Request(kRead, 1, 99, json::object(), version)["rc"], 8);
    EXPECT_EQ(device_.Request(kRead, 1, 1, json::object(), version)["rc"], 8);
  }
}

TEST_F(ServerTest, ANewerProtocolIsAnsweredAsTooNewInTheNewestVersionThatIsSpoken) {
  std::vector<uint8_t> packet(kSmpHeaderSize);
  WriteHeader({.version = 2, .op = SmpOp::kRead, .length = 0, .group = 1, .sequence = 1, .command = 0}, packet);
  const std::span<const uint8_t> response = device_.server().Handle(packet);
  ASSERT_GT(response.size(), kSmpHeaderSize);
  EXPECT_EQ(response[0] >> 3, 1);
  EXPECT_EQ(json::from_cbor(response.begin() + kSmpHeaderSize, response.end())["rc"], 13);
}

TEST_F(ServerTest, ErrorsAreRcInVersion1AndErrInVersion2) {
  const json map = {{"hash", Binary(std::string(32, 'x'))}, {"confirm", false}};
  const json first = device_.Request(kWrite, 1, 0, map, 0);
  EXPECT_EQ(first["rc"], 5);
  EXPECT_FALSE(first.contains("err"));
  const json second = device_.Request(kWrite, 1, 0, map, 1);
  EXPECT_EQ(second["err"], Err(8));
  EXPECT_FALSE(second.contains("rc"));
}

TEST_F(ServerTest, TheStateOfAFreshDevice) {
  const json state = State();
  ASSERT_EQ(state.size(), 1U);
  EXPECT_EQ(state[0]["version"], "1.0.0");
  EXPECT_EQ(state[0]["hash"], Binary(HashOfImage(old_)));
  for (const char* flag : {"active", "confirmed", "bootable"}) EXPECT_EQ(state[0][flag], true) << flag;
  EXPECT_EQ(state[0]["pending"], false);
}

TEST_F(ServerTest, AnUpdateFromUploadToConfirm) {
  EXPECT_EQ(device_.Upload(new_)["match"], true);
  EXPECT_FALSE(device_.Record().IsBootable(Slot::kB));
  json state = device_.Test(new_)["images"];
  ASSERT_EQ(state.size(), 2U);
  EXPECT_EQ(state[1]["pending"], true);
  EXPECT_EQ(state[1]["version"], "2.0.0.5");
  EXPECT_EQ(device_.Record().attempts_left, 3);
  EXPECT_EQ(device_.Boot().slot, Slot::kB);
  state = State();
  EXPECT_EQ(state[1]["active"], true);
  EXPECT_EQ(state[1]["confirmed"], false);
  EXPECT_EQ(state[1]["pending"], false);
  EXPECT_EQ(state[0]["confirmed"], true);
  EXPECT_TRUE(device_.Confirm(new_).contains("images"));
  EXPECT_EQ(device_.Record().active, Slot::kB);
  EXPECT_EQ(device_.Record().trial, Slot::kNone);
  EXPECT_EQ(device_.Boot().slot, Slot::kB);
}

TEST_F(ServerTest, EveryProgramSizeAndChunkWritesTheSameBytes) {
  for (const uint32_t program_size : {1U, 4U, 8U, 16U}) {
    for (const size_t chunk : {1U, 7U, 64U, 700U, 900U}) {
      TestDevice device(program_size);
      device.PutImage(Slot::kA, old_);
      device.Boot();
      ASSERT_EQ(device.Upload(new_, chunk)["match"], true) << program_size << " " << chunk;
      EXPECT_EQ(device.flash().bytes().substr(kTestLayout.slot_b, new_.size()), new_);
    }
  }
}

TEST_F(ServerTest, AWrongOffsetIsAnsweredWithTheWantedOne) {
  const auto packet = [&](size_t offset, size_t size) {
    json map = {{"off", offset}, {"data", Binary(std::string_view(new_).substr(offset, size))}};
    if (offset == 0) map.update(json{{"len", new_.size()}, {"sha", Binary(Sha256(new_))}});
    return device_.Request(kWrite, 1, 1, map)["off"];
  };
  EXPECT_EQ(packet(500, 100), 0);
  EXPECT_EQ(packet(0, 100), 100);
  EXPECT_EQ(packet(200, 100), 100);
  // Lost responses: the same again.
  EXPECT_EQ(packet(0, 100), 100);
  EXPECT_EQ(packet(100, 100), 200);
  EXPECT_EQ(packet(100, 100), 200);
  EXPECT_EQ(device_.Upload(new_)["match"], true);
}

TEST_F(ServerTest, AnUploadGoesOnAfterALossOfPowerFromTheLastWholeSector) {
  json map = {{"off", 0}, {"len", new_.size()}, {"sha", Binary(Sha256(new_))}, {"data", Binary(new_.substr(0, 900))}};
  device_.Request(kWrite, 1, 1, map);
  for (size_t off = 900; off < 4500; off += 900) {
    device_.Request(kWrite, 1, 1, {{"off", off}, {"data", Binary(std::string_view(new_).substr(off, 900))}});
  }
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
  EXPECT_EQ(device_.Request(kWrite, 1, 1, {{"off", 4500}, {"data", Binary("x")}})["off"], 0);
  EXPECT_EQ(device_.Request(kWrite, 1, 1, map)["off"], 4096);
  EXPECT_EQ(device_.Upload(new_)["match"], true);
  // Offered once more after it was complete: nothing is to be sent.
  device_.Boot();
  EXPECT_EQ(device_.Request(kWrite, 1, 1, map), (json{{"off", new_.size()}, {"match", true}}));
  // Another image starts anew.
  EXPECT_EQ(device_.Upload(old_)["match"], true);
}

TEST_F(ServerTest, AnUploadWithoutShaIsNotResumed) {
  EXPECT_EQ(device_.Upload(new_, 700, /*with_sha=*/false), (json{{"off", new_.size()}}));
  device_.Boot();
  const json map = {{"off", 0}, {"len", new_.size()}, {"data", Binary(new_.substr(0, 100))}};
  EXPECT_EQ(device_.Request(kWrite, 1, 1, map)["off"], 100);
}

TEST_F(ServerTest, ContentThatIsNotWhatWasNamedDoesNotMatchAndStartsAgain) {
  json map = {{"off", 0}, {"len", 40}, {"sha", Binary(std::string(32, 's'))}, {"data", Binary(new_.substr(0, 40))}};
  EXPECT_EQ(device_.Request(kWrite, 1, 1, map), (json{{"off", 40}, {"match", false}}));
  map["data"] = Binary("");
  EXPECT_EQ(device_.Request(kWrite, 1, 1, map)["off"], 0);
}

TEST_F(ServerTest, UploadsThatCannotBeAreRefusedBeforeAnythingIsErased) {
  const uint64_t before = device_.flash().operations();
  const std::string data = new_.substr(0, 100);
  const auto first = [&](json map) {
    map["off"] = 0;
    return device_.Request(kWrite, 1, 1, map)["err"]["rc"];
  };
  EXPECT_EQ(first({{"data", Binary(data)}}), 21);
  EXPECT_EQ(first({{"len", kTestLayout.slot_size + 1}, {"data", Binary(data)}}), 30);
  EXPECT_EQ(first({{"len", 1000}, {"image", 1}, {"data", Binary(data)}}), 14);
  EXPECT_EQ(first({{"len", 1000}, {"data", Binary(std::string(100, 'x'))}}), 23);
  EXPECT_EQ(first({{"len", 1000}, {"upgrade", true}, {"data", Binary(old_.substr(0, 100))}}), 27);
  EXPECT_EQ(device_.flash().operations(), before);
  EXPECT_EQ(first({{"len", 50}, {"data", Binary(data)}}), 31);
}

TEST_F(ServerTest, TheSlotOfAPendingImageIsNotWritten) {
  device_.Upload(new_);
  device_.Test(new_);
  EXPECT_EQ(device_.Upload(old_)["err"], Err(28));
  EXPECT_EQ(device_.Request(kWrite, 1, 5)["err"], Err(28));
  EXPECT_EQ(device_.Record().trial, Slot::kB);
}

TEST_F(ServerTest, WhileAnImageRunsOnTrialTheOneToFallBackToIsNotWritten) {
  BootNewOnTrial();
  EXPECT_EQ(device_.Upload(old_)["err"], Err(9));
  EXPECT_EQ(device_.Request(kWrite, 1, 5)["err"], Err(9));
  EXPECT_TRUE(device_.Record().IsBootable(Slot::kA));
}

TEST_F(ServerTest, OnlyVerifiedImagesAreTried) {
  const std::pair<std::string, int> wrong[] = {
      {TestImage({.version = {2, 0, 0, 0}, .other_key = true}), 24},
      {TestImage({.version = {2, 0, 0, 0}, .is_signed = false}), 24},
      {TestImage({.version = {2, 0, 0, 0}, .hardware_id = "other"}), 24},
      {TestImage({.version = {2, 0, 0, 0}, .load_address = 0x30000000}), 24},
      {TestImage({.version = {2, 0, 0, 0}, .flags = boot::kImageRomFixed}), 24},
  };
  for (const auto& [image, rc] : wrong) {
    EXPECT_EQ(device_.Upload(image)["match"], true);
    EXPECT_EQ(device_.Test(image)["err"], Err(rc));
    EXPECT_EQ(device_.Record().trial, Slot::kNone);
  }
  std::string damaged = new_;
  damaged[1000] ^= 1;
  device_.Upload(damaged);
  EXPECT_EQ(device_.Test(damaged)["err"], Err(24));
  EXPECT_EQ(State()[1]["bootable"], false);
}

TEST_F(ServerTest, AnImageThatNeverRanIsNotConfirmed) {
  device_.Upload(new_);
  EXPECT_EQ(device_.Confirm(new_)["err"], Err(32));
  device_.Test(new_);
  EXPECT_EQ(device_.Confirm(new_)["err"], Err(32));
  EXPECT_EQ(device_.Record().active, Slot::kA);
}

TEST_F(ServerTest, ConfirmOfTheOldImageTakesATrialBack) {
  BootNewOnTrial();
  EXPECT_TRUE(device_.Confirm(old_).contains("images"));
  EXPECT_EQ(device_.Record().trial, Slot::kNone);
  // Too late for the image that was taken back.
  EXPECT_EQ(device_.Confirm()["err"], Err(32));
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
}

TEST_F(ServerTest, APendingTrialIsTakenBackBeforeItRan) {
  device_.Upload(new_);
  device_.Test(new_);
  EXPECT_TRUE(device_.Confirm(old_).contains("images"));
  EXPECT_EQ(device_.Record().trial, Slot::kNone);
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
}

TEST_F(ServerTest, TestOfTheImageOnTrialGivesItAllAttemptsAgain) {
  BootNewOnTrial();
  EXPECT_EQ(device_.Record().attempts_left, 2);
  EXPECT_TRUE(device_.Test(new_).contains("images"));
  EXPECT_EQ(device_.Record().attempts_left, 3);
  EXPECT_EQ(device_.Test(old_)["err"], Err(33));
}

TEST_F(ServerTest, ATrialThatIsNeverConfirmedRunsOut) {
  BootNewOnTrial();
  EXPECT_EQ(device_.Boot().slot, Slot::kB);
  EXPECT_EQ(device_.Boot().slot, Slot::kB);
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
  EXPECT_EQ(State()[1]["pending"], false);
  // And its slot is free for the next upload.
  EXPECT_EQ(device_.Upload(new_)["match"], true);
}

TEST_F(ServerTest, EraseEmptiesTheOtherSlotOnly) {
  device_.Upload(new_);
  EXPECT_EQ(device_.Request(kWrite, 1, 5, {{"slot", 0}})["err"], Err(14));
  EXPECT_EQ(device_.Request(kWrite, 1, 5, {{"slot", 1}}), json::object());
  EXPECT_EQ(device_.flash().bytes().substr(kTestLayout.slot_b, kTestLayout.slot_size),
            std::string(kTestLayout.slot_size, '\xff'));
  EXPECT_EQ(State().size(), 1U);
}

TEST_F(ServerTest, SlotInfoNamesTheSlotForUploads) {
  const json slots = device_.Request(kRead, 1, 6)["images"][0]["slots"];
  ASSERT_EQ(slots.size(), 2U);
  EXPECT_FALSE(slots[0].contains("upload_image_id"));
  EXPECT_EQ(slots[1]["upload_image_id"], 0);
  EXPECT_EQ(slots[1]["size"], kTestLayout.slot_size);
}

TEST_F(ServerTest, TheSealRaisesTheCounterNeverAboveTheRunningImage) {
  BootNewOnTrial();
  EXPECT_EQ(device_.Request(kWrite, 100, 1, {{"security_counter", 4}})["rc"], 6) << "on trial";
  device_.Confirm();
  EXPECT_EQ(device_.Request(kWrite, 100, 1, {{"security_counter", 5}})["rc"], 3);
  EXPECT_EQ(device_.Request(kWrite, 100, 1, {{"security_counter", 4}}), json::object());
  EXPECT_EQ(device_.Request(kWrite, 100, 1, {{"security_counter", 1}}), json::object());
  EXPECT_EQ(device_.Record().security_counter, 4U);
  EXPECT_EQ(State()[0]["bootable"], false) << "the old image is below it";
  EXPECT_EQ(device_.Test(old_)["err"], Err(27));
  EXPECT_EQ(device_.Request(kRead, 100, 0)["security_counter"], 4);
}

TEST_F(ServerTest, TheSealBelievesNoImageThatFailsItsCheckNow) {
  BootNewOnTrial();
  device_.Confirm();
  ASSERT_EQ(State()[1]["bootable"], true) << "as it was found before";
  // A counter that no image has, so that none would boot any more.
  const std::string high = TestImage({.version = {2, 0, 0, 5}, .security_counter = 400});
  const size_t hashed = mcu_image::ParseImage(new_)->hashed_size;
  device_.flash().bytes().replace(kTestLayout.slot_b, hashed, high, 0, hashed);
  EXPECT_EQ(device_.Request(kWrite, 100, 1, {{"security_counter", 400}})["err"], Err(24));
  EXPECT_EQ(device_.Record().security_counter, 0U);
}

TEST_F(ServerTest, AFlashThatFailsIsReportedAndNothingIsLost) {
  device_.flash().WearOut(true);
  EXPECT_EQ(device_.Upload(new_)["err"], Err(12));
  device_.flash().WearOut(false);
  EXPECT_EQ(device_.Upload(new_)["match"], true);
  device_.flash().WearOut(true);
  EXPECT_EQ(device_.Test(new_)["err"], Err(12));
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
}

// ---- Serial recovery ----

TEST_F(ServerTest, RecoveryBringsBackADeviceWithTwoBadSlots) {
  device_.PutImage(Slot::kA, "");
  EXPECT_EQ(device_.Boot().slot, Slot::kNone);
  EXPECT_EQ(device_.Request(kRead, 1, 0)["images"], json::array());
  EXPECT_EQ(device_.Upload(new_)["match"], true);
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
  EXPECT_EQ(State()[0]["version"], "2.0.0.5");
}

TEST_F(ServerTest, RecoveryTakesOnlyVerifiedImages) {
  device_.PutImage(Slot::kA, "");
  device_.Boot();
  EXPECT_EQ(device_.Upload(TestImage({.other_key = true}))["err"], Err(24));
  EXPECT_EQ(device_.Boot().slot, Slot::kNone);
  EXPECT_EQ(device_.Upload(new_)["match"], true);
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
}

TEST_F(ServerTest, ARecordThatIsLostIsBegunAnewWithTheCounterOfTheGenuineImages) {
  device_.PutImage(Slot::kB, new_);
  device_.flash().bytes().replace(kTestLayout.record0, 64, std::string(64, 'x'));
  device_.flash().bytes().replace(kTestLayout.record1, 64, std::string(64, 'x'));
  EXPECT_EQ(device_.Boot().slot, Slot::kNone);
  EXPECT_EQ(device_.Upload(TestImage({.security_counter = 3}))["err"], Err(24));
  EXPECT_EQ(device_.Upload(new_)["match"], true);
  EXPECT_EQ(device_.Record().security_counter, 4U);
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
}

TEST_F(ServerTest, AnAskedForRecoveryKeepsTheOtherSlotAsWayBack) {
  BootNewOnTrial();
  device_.Confirm();
  device_.BootIntoRecovery();
  json map = {{"off", 0}, {"len", old_.size()}, {"sha", Binary(Sha256(old_))}, {"data", Binary(old_.substr(0, 900))}};
  device_.Request(kWrite, 1, 1, map);
  EXPECT_EQ(device_.Boot().slot, Slot::kB) << "power lost in the middle";
  device_.BootIntoRecovery();
  EXPECT_EQ(device_.Upload(old_)["match"], true);
  EXPECT_EQ(device_.Boot().slot, Slot::kA);
  EXPECT_TRUE(device_.Record().IsConfirmed(Slot::kB));
}

}  // namespace
}  // namespace tandem::mcu
