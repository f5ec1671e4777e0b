#include "bootloader/mcu/smp/upload_progress.h"

#include <gtest/gtest.h>

#include <string>

#include "bootloader/mcu/testing/memory_flash.h"

namespace tandem::mcu {
namespace {

constexpr FlashLayout kLayout = {.progress = 0x1000, .slot_a = 0x2000, .slot_b = 0x8000, .slot_size = 0x6000};
constexpr boot::FlashGeometry kGeometry = {.size = 0xe000, .sector_size = 0x1000, .program_size = 8};

UploadId Id() {
  UploadId id = {.slot = boot::Slot::kB, .size = 0x012345};
  for (size_t i = 0; i < id.sha.size(); ++i) id.sha[i] = static_cast<uint8_t>(i);
  return id;
}

TEST(UploadProgress, GoldenFormat) {
  MemoryFlash flash(kGeometry);
  UploadProgress progress(flash, kLayout);
  ASSERT_EQ(progress.Start(Id()), boot::FlashResult::kOk);
  progress.MarkDone(0x1000, /*complete=*/false);
  std::string expected = std::string("TDUP\x45\x23\x01\x00\x01\x00\x00\x00", 12);
  for (char i = 0; i < 32; ++i) expected.push_back(i);
  expected +=
      std::string("\xd0\x16\x82\xaf", 4) + std::string(16, '\xff') + std::string(8, '\0') + std::string(8, '\xff');
  EXPECT_EQ(flash.bytes().substr(kLayout.progress, expected.size()), expected);
}

TEST(UploadProgress, OnlyMarksWithoutAGapCount) {
  MemoryFlash flash(kGeometry);
  UploadProgress progress(flash, kLayout);
  progress.Start(Id());
  EXPECT_EQ(progress.DoneBytes(), 0U);
  progress.MarkDone(0x1000, false);
  progress.MarkDone(0x3000, false);
  EXPECT_EQ(progress.DoneBytes(), 0x1000U);
  progress.MarkDone(0x2000, false);
  EXPECT_EQ(progress.DoneBytes(), 0x3000U);
}

TEST(UploadProgress, ATornMarkIsNoMark) {
  MemoryFlash flash(kGeometry);
  UploadProgress progress(flash, kLayout);
  progress.Start(Id());
  flash.CutAfter(0, 0.5);
  progress.MarkDone(0x1000, false);
  flash.PowerOn();
  EXPECT_EQ(progress.DoneBytes(), 0U);
  // It cannot be made whole, which must not look like progress either.
  progress.MarkDone(0x1000, false);
  progress.MarkDone(0x2000, false);
  EXPECT_EQ(progress.DoneBytes(), 0U);
}

TEST(UploadProgress, ATornOrForeignNoteIsNone) {
  MemoryFlash flash(kGeometry);
  UploadProgress progress(flash, kLayout);
  UploadId read;
  EXPECT_FALSE(progress.Load(read));
  flash.CutAfter(1, 0.9);
  progress.Start(Id());
  flash.PowerOn();
  EXPECT_FALSE(progress.Load(read));
  progress.Start(Id());
  ASSERT_TRUE(progress.Load(read));
  EXPECT_EQ(read, Id());
}

TEST(UploadProgress, MoreSectorsThanRoomShareMarks) {
  MemoryFlash flash({.size = 0x4000, .sector_size = 0x80, .program_size = 16});
  UploadProgress progress(flash, {.progress = 0x1000, .slot_a = 0x2000, .slot_size = 0x1000});
  progress.Start(Id());
  for (uint32_t done = 0x80; done <= 0x400; done += 0x80) progress.MarkDone(done, false);
  // 4 marks for 32 sectors.
  EXPECT_EQ(progress.DoneBytes(), 0x400U);
  progress.MarkDone(0x480, false);
  EXPECT_EQ(progress.DoneBytes(), 0x400U);
}

}  // namespace
}  // namespace tandem::mcu
