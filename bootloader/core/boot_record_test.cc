#include "bootloader/core/boot_record.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/golden/golden.h"

namespace tandem::boot {
namespace {

BootRecord GoldenRecord() {
  BootRecord record{.sequence = 7,
                    .active = Slot::kA,
                    .trial = Slot::kB,
                    .attempts_left = 2,
                    .confirmed = 1,
                    .unbootable = 0,
                    .last_chosen = Slot::kB,
                    .security_counter = 0x01020304};
  record.reserved[0] = 0xab;
  return record;
}

EncodedRecord Bytes(const std::string& text) {
  EncodedRecord bytes{};
  for (size_t i = 0; i < bytes.size() && i < text.size(); ++i) bytes[i] = static_cast<uint8_t>(text[i]);
  return bytes;
}

const EncodedRecord kErased = [] {
  EncodedRecord bytes;
  bytes.fill(0xff);
  return bytes;
}();

TEST(BootRecordTest, EncodesTheGoldenFormat) {
  EXPECT_EQ(Encode(GoldenRecord()), Bytes(GoldenBytes("boot_record.hex")));
}

TEST(BootRecordTest, DecodesTheGoldenFormatAndKeepsReservedBytes) {
  BootRecord record;
  ASSERT_EQ(Decode(Bytes(GoldenBytes("boot_record.hex")), record), CopyState::kValid);
  EXPECT_EQ(record, GoldenRecord());
}

TEST(BootRecordTest, Crc32IsTheOneOfIeee8023) {
  const std::string check = "123456789";
  EXPECT_EQ(Crc32(std::span(reinterpret_cast<const uint8_t*>(check.data()), check.size())), 0xcbf43926);
}

TEST(BootRecordTest, AnyChangedBitMakesACopyInvalid) {
  const EncodedRecord good = Encode(GoldenRecord());
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    EncodedRecord bad = good;
    bad[bit / 8] ^= static_cast<uint8_t>(1U << (bit % 8));
    BootRecord record;
    ASSERT_EQ(Decode(bad, record), CopyState::kInvalid) << bit;
    ASSERT_EQ(record, BootRecord()) << "nothing is taken from an invalid copy";
  }
}

TEST(BootRecordTest, ATornWriteOverTheOtherCopyLeavesTheOldRecord) {
  BootRecord old_record = GoldenRecord();
  BootRecord older = old_record;
  older.sequence = 6;
  older.attempts_left = 3;
  BootRecord newer = old_record;
  newer.sequence = 8;
  newer.attempts_left = 1;
  const EncodedRecord before = Encode(older);
  const EncodedRecord after = Encode(newer);
  for (size_t length = 0; length <= after.size(); ++length) {
    EncodedRecord torn = before;
    std::copy_n(after.begin(), length, torn.begin());
    const LoadedRecord loaded = Choose(torn, Encode(old_record));
    ASSERT_EQ(loaded.state, RecordState::kValid);
    if (torn == after) {
      ASSERT_EQ(loaded.record, newer);
    } else {
      ASSERT_EQ(loaded.record, old_record) << length;
    }
  }
}

TEST(BootRecordTest, TheNewestCopyIsChosenAcrossTheWrapOfItsNumber) {
  const struct {
    uint32_t first;
    uint32_t second;
    uint8_t newest;
  } kCases[] = {{1, 2, 1}, {2, 1, 0}, {0xffffffff, 0, 1}, {0, 0xffffffff, 0}, {5, 5, 0}};
  for (const auto& one : kCases) {
    const LoadedRecord loaded = Choose(Encode({.sequence = one.first}), Encode({.sequence = one.second}));
    EXPECT_EQ(loaded.copy, one.newest) << one.first << " " << one.second;
  }
}

EncodedRecord WithBytes(EncodedRecord bytes, size_t at, uint8_t value) {
  bytes[at] = value;
  const uint32_t crc = Crc32(std::span(bytes).first(60));
  for (size_t i = 0; i < 4; ++i) bytes[60 + i] = static_cast<uint8_t>(crc >> (8 * i));
  return bytes;
}

TEST(BootRecordTest, BlankAndLostAreToldApart) {
  const EncodedRecord zeros{};
  EncodedRecord broken = Encode(BootRecord());
  broken[20] ^= 1;
  EXPECT_EQ(Choose(zeros, kErased).state, RecordState::kBlank);
  EXPECT_EQ(Choose(zeros, kErased).record, BootRecord());
  EXPECT_EQ(Choose(broken, kErased).state, RecordState::kLost);
  EXPECT_EQ(Choose(WithBytes(Encode(BootRecord()), 5, 2), kErased).state, RecordState::kLost) << "too new";
  EXPECT_EQ(Choose(broken, broken).state, RecordState::kLost);
  EXPECT_EQ(Choose(broken, Encode({.sequence = 3})).record.sequence, 3);
  EXPECT_EQ(Choose({}, {}).state, RecordState::kLost) << "too short to read";
}

TEST(BootRecordTest, ANewerDecisionThatCannotBeUnderstoodIsNotUndone) {
  const EncodedRecord old_record = Encode({.sequence = 3});
  const EncodedRecord too_new = WithBytes(Encode({.sequence = 4}), 5, 2);
  EXPECT_EQ(Choose(old_record, too_new).state, RecordState::kLost);
  EXPECT_EQ(Choose(too_new, old_record).state, RecordState::kLost);
  // The unit went back to this software, which has decided since.
  EXPECT_EQ(Choose(Encode({.sequence = 5}), too_new).record.sequence, 5);
}

TEST(BootRecordTest, ATornFirstWriteOfAFreshUnitLosesNothing) {
  BootRecord first{.sequence = 1, .last_chosen = Slot::kA};
  const EncodedRecord whole = Encode(first);
  for (const uint8_t old : {0x00, 0xff}) {
    EncodedRecord blank;
    blank.fill(old);
    for (size_t done = 0; done < whole.size(); ++done) {
      EncodedRecord torn = blank;
      std::copy_n(whole.begin(), done, torn.begin());
      EXPECT_EQ(Choose(torn, blank).state, RecordState::kBlank) << done;
      EXPECT_EQ(Choose(blank, torn).state, RecordState::kBlank) << done;
      // A byte with only some of its bits.
      torn[done] = static_cast<uint8_t>((old & 0xaa) | (whole[done] & 0x55));
      EXPECT_EQ(Choose(torn, blank).state, RecordState::kBlank) << done;
    }
  }
  // A later record that decayed is lost, not forgotten.
  first.security_counter = 1;
  EncodedRecord decayed = Encode(first);
  decayed[60] = 0;
  EncodedRecord blank{};
  EXPECT_EQ(Choose(decayed, blank).state, RecordState::kLost);
}

TEST(BootRecordTest, ImpossibleValuesAreInvalidEvenWithARightChecksum) {
  const EncodedRecord good = Encode(GoldenRecord());
  BootRecord record;
  EXPECT_EQ(Decode(WithBytes(good, 12, 2), record), CopyState::kInvalid) << "active";
  EXPECT_EQ(Decode(WithBytes(good, 13, 7), record), CopyState::kInvalid) << "trial";
  EXPECT_EQ(Decode(WithBytes(good, 14, 10), record), CopyState::kInvalid) << "attempts";
  EXPECT_EQ(Decode(WithBytes(good, 15, 4), record), CopyState::kInvalid) << "confirmed";
  EXPECT_EQ(Decode(WithBytes(good, 16, 4), record), CopyState::kInvalid) << "unbootable";
}

TEST(BootRecordTest, ALaterFormatIsReadWhenItSaysThatThisReaderMay) {
  const EncodedRecord good = Encode(GoldenRecord());
  BootRecord record;
  EXPECT_EQ(Decode(WithBytes(good, 4, 2), record), CopyState::kValid);
  EXPECT_EQ(Decode(WithBytes(good, 5, 2), record), CopyState::kTooNew);
}

}  // namespace
}  // namespace tandem::boot
