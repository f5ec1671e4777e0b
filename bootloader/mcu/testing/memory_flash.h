// NOR flash in memory, for tests: enforces the rules of NOR, counts operations, and loses power inside the one it is
// told to.
#ifndef TANDEM_BOOTLOADER_MCU_TESTING_MEMORY_FLASH_H_
#define TANDEM_BOOTLOADER_MCU_TESTING_MEMORY_FLASH_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "bootloader/core/flash.h"

namespace tandem::mcu {

class MemoryFlash final : public boot::Flash {
 public:
  explicit MemoryFlash(const boot::FlashGeometry& geometry)
      : geometry_(geometry), bytes_(geometry.size, static_cast<char>(geometry.erased)) {}

  const boot::FlashGeometry& geometry() const override { return geometry_; }

  boot::FlashResult Read(uint32_t at, std::span<uint8_t> into) override {
    if (!powered_ || at > bytes_.size() || into.size() > bytes_.size() - at) return boot::FlashResult::kOutOfRange;
    std::copy_n(bytes_.begin() + at, into.size(), into.begin());
    return Disturb(at, into);
  }

  boot::FlashResult Erase(uint32_t at) override {
    if (at % geometry_.sector_size != 0) return boot::FlashResult::kMisaligned;
    return Change(at, std::string(geometry_.sector_size, static_cast<char>(geometry_.erased)));
  }

  boot::FlashResult Program(uint32_t at, std::span<const uint8_t> bytes) override {
    if (at % geometry_.program_size != 0 || bytes.size() % geometry_.program_size != 0) {
      return boot::FlashResult::kMisaligned;
    }
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (static_cast<uint8_t>(bytes_.at(at + i)) != geometry_.erased) return boot::FlashResult::kNotErased;
    }
    return Change(at, std::string(bytes.begin(), bytes.end()));
  }

  // The power goes in the operation after `operations` more, of which this part of the bytes is done, from 0 to 1.
  void CutAfter(uint64_t operations, double done) {
    cut_ = operations_ + operations;
    done_ = done;
  }
  // Power is back; what was cut stays as it is.
  void PowerOn() {
    powered_ = true;
    cut_.reset();
  }
  // The next `count` reads that touch these bytes fail, or are told as good with a bit wrong.
  enum class Disturbed { kFails, kLies };
  void DisturbReads(Disturbed how, uint32_t at, uint32_t size, int count) {
    disturbed_ = how;
    disturbed_at_ = at;
    disturbed_end_ = at + size;
    disturbed_reads_ = count;
  }
  // Every change fails from now on, as when the medium is worn out.
  void WearOut(bool worn) { worn_ = worn; }

  bool powered() const { return powered_; }
  uint64_t operations() const { return operations_; }
  std::string& bytes() { return bytes_; }

 private:
  boot::FlashResult Disturb(uint32_t at, std::span<uint8_t> read) {
    if (disturbed_reads_ == 0 || at >= disturbed_end_ || at + read.size() <= disturbed_at_) {
      return boot::FlashResult::kOk;
    }
    --disturbed_reads_;
    if (disturbed_ == Disturbed::kFails) return boot::FlashResult::kFailed;
    read[0] ^= 1;
    return boot::FlashResult::kOk;
  }

  boot::FlashResult Change(uint32_t at, const std::string& to) {
    if (!powered_ || worn_) return boot::FlashResult::kFailed;
    const bool cut = cut_.has_value() && operations_ == *cut_;
    ++operations_;
    const auto size = static_cast<size_t>(static_cast<double>(to.size()) * (cut ? done_ : 1.0));
    bytes_.replace(at, size, to, 0, size);
    powered_ = !cut;
    return cut ? boot::FlashResult::kFailed : boot::FlashResult::kOk;
  }

  const boot::FlashGeometry geometry_;
  std::string bytes_;
  uint64_t operations_ = 0;
  std::optional<uint64_t> cut_;
  double done_ = 0;
  bool powered_ = true;
  bool worn_ = false;
  Disturbed disturbed_ = Disturbed::kFails;
  uint32_t disturbed_at_ = 0;
  uint32_t disturbed_end_ = 0;
  int disturbed_reads_ = 0;
};

}  // namespace tandem::mcu

#endif  // TANDEM_BOOTLOADER_MCU_TESTING_MEMORY_FLASH_H_
