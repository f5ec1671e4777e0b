#include "bootloader/core/flash_record_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace tandem::boot {
namespace {

constexpr uint32_t kSector = 256;

// Two sectors that fail where a test wants them to.
class BadFlash final : public Flash {
 public:
  ~BadFlash() = default;

  const FlashGeometry& geometry() const override { return geometry_; }
  FlashResult Read(uint32_t at, std::span<uint8_t> into) override {
    if (at == bad_read) return FlashResult::kFailed;
    std::copy_n(bytes.begin() + at, into.size(), into.begin());
    return FlashResult::kOk;
  }
  FlashResult Erase(uint32_t at) override {
    if (erase_fails) return FlashResult::kFailed;
    std::fill_n(bytes.begin() + at, kSector, uint8_t{0xff});
    return FlashResult::kOk;
  }
  FlashResult Program(uint32_t at, std::span<const uint8_t> from) override {
    std::copy(from.begin(), from.end(), bytes.begin() + at);
    if (forgets) bytes[at + 20] ^= 1;
    return FlashResult::kOk;
  }

  std::vector<uint8_t> bytes = std::vector<uint8_t>(2 * kSector, 0xff);
  uint32_t bad_read = 0xffffffff;
  bool erase_fails = false;
  bool forgets = false;

 private:
  const FlashGeometry geometry_ = {.size = 2 * kSector, .sector_size = kSector};
};

class FlashRecordStoreTest : public testing::Test {
 protected:
  FlashResult SaveNext(uint32_t counter) {
    const LoadedRecord loaded = store_.Load();
    BootRecord next = loaded.record;
    next.security_counter = counter;
    ++next.sequence;
    return store_.Save(loaded, next);
  }

  BadFlash flash_;
  FlashRecordStore store_{flash_, 0, kSector};
};

TEST_F(FlashRecordStoreTest, WritesTheCopiesInTurn) {
  EXPECT_EQ(store_.Load().state, RecordState::kBlank);
  for (uint32_t counter = 1; counter < 6; ++counter) {
    ASSERT_EQ(SaveNext(counter), FlashResult::kOk);
    const LoadedRecord loaded = store_.Load();
    ASSERT_EQ(loaded.state, RecordState::kValid);
    EXPECT_EQ(loaded.record.security_counter, counter);
    EXPECT_EQ(loaded.copy, (counter + 1) % 2);
  }
}

TEST_F(FlashRecordStoreTest, AMediumThatFailsOrForgetsIsReportedAndLeavesTheRecord) {
  ASSERT_EQ(SaveNext(1), FlashResult::kOk);
  flash_.erase_fails = true;
  EXPECT_EQ(SaveNext(2), FlashResult::kFailed);
  flash_.erase_fails = false;
  flash_.forgets = true;
  EXPECT_EQ(SaveNext(3), FlashResult::kFailed);
  EXPECT_EQ(store_.Load().record.security_counter, 1U);
  flash_.forgets = false;
  EXPECT_EQ(SaveNext(4), FlashResult::kOk);
  EXPECT_EQ(store_.Load().record.security_counter, 4U);
}

TEST_F(FlashRecordStoreTest, ACopyThatCannotBeReadCountsAsInvalid) {
  ASSERT_EQ(SaveNext(1), FlashResult::kOk);
  ASSERT_EQ(SaveNext(2), FlashResult::kOk);
  flash_.bad_read = kSector;
  EXPECT_EQ(store_.Load().record.security_counter, 1U);
}

}  // namespace
}  // namespace tandem::boot
