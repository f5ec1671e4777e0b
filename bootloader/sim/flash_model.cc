#include "bootloader/sim/flash_model.h"

#include <algorithm>

namespace tandem::boot::sim {
namespace {

// Untouched, the bits of one mask, of the other, the first half of its bytes.
constexpr uint32_t kTearsPerUnit = 4;
constexpr uint8_t kBits[] = {0x55, 0xaa};
constexpr uint32_t kErasesOfBits = 2;

uint8_t Mix(uint8_t before, uint8_t after, uint8_t after_bits) {
  return static_cast<uint8_t>((before & ~after_bits) | (after & after_bits));
}

}  // namespace

FlashResult FlashModel::Read(uint32_t at, std::span<uint8_t> into) {
  if (at > bytes_.size() || into.size() > bytes_.size() - at) return FlashResult::kOutOfRange;
  if (!power_.on()) return FlashResult::kFailed;
  std::copy_n(bytes_.begin() + at, into.size(), into.begin());
  return FlashResult::kOk;
}

FlashResult FlashModel::Erase(uint32_t at) {
  if (at >= bytes_.size()) return FlashResult::kOutOfRange;
  if (at % geometry_.sector_size != 0) return FlashResult::kMisaligned;
  if (!power_.on()) return FlashResult::kFailed;
  const std::span<uint8_t> sector = std::span(bytes_).subspan(at, geometry_.sector_size);
  const uint32_t steps = geometry_.sector_size / geometry_.program_size;
  // From the start 0 to all steps, from the end 1 to all but one, bits.
  if (const std::optional<uint32_t> tear = power_.Change(2 * steps + kErasesOfBits)) {
    TearErase(sector, *tear);
    return FlashResult::kFailed;
  }
  std::fill(sector.begin(), sector.end(), geometry_.erased);
  return FlashResult::kOk;
}

void FlashModel::TearErase(std::span<uint8_t> sector, uint32_t tear) {
  const uint32_t unit = geometry_.program_size;
  const uint32_t steps = geometry_.sector_size / unit;
  if (tear <= steps) {
    std::fill_n(sector.begin(), size_t{tear} * unit, geometry_.erased);
  } else if (tear < 2 * steps) {
    const std::span<uint8_t> tail = sector.last(size_t{tear - steps} * unit);
    std::fill(tail.begin(), tail.end(), geometry_.erased);
  } else {
    for (uint8_t& byte : sector) byte = Mix(byte, geometry_.erased, kBits[tear - 2 * steps]);
  }
}

FlashResult FlashModel::Program(uint32_t at, std::span<const uint8_t> bytes) {
  if (at > bytes_.size() || bytes.size() > bytes_.size() - at) return FlashResult::kOutOfRange;
  if (at % geometry_.program_size != 0 || bytes.size() % geometry_.program_size != 0) return FlashResult::kMisaligned;
  if (!power_.on()) return FlashResult::kFailed;
  const std::span<uint8_t> place = std::span(bytes_).subspan(at, bytes.size());
  if (std::any_of(place.begin(), place.end(), [&](uint8_t byte) { return byte != geometry_.erased; })) {
    return FlashResult::kNotErased;
  }
  const auto units = static_cast<uint32_t>(bytes.size() / geometry_.program_size);
  if (const std::optional<uint32_t> tear = power_.Change(kTearsPerUnit * units + 1)) {
    TearProgram(place, bytes, *tear);
    return FlashResult::kFailed;
  }
  std::copy(bytes.begin(), bytes.end(), place.begin());
  return FlashResult::kOk;
}

void FlashModel::TearProgram(std::span<uint8_t> place, std::span<const uint8_t> bytes, uint32_t tear) {
  const uint32_t unit = geometry_.program_size;
  const uint32_t whole = tear / kTearsPerUnit * unit;
  std::copy_n(bytes.begin(), whole, place.begin());
  if (whole == bytes.size()) return;
  const uint32_t way = tear % kTearsPerUnit;
  for (uint32_t i = whole; way != 0 && i < whole + unit; ++i) {
    if (way <= 2) {
      place[i] = Mix(place[i], bytes[i], kBits[way - 1]);
    } else if (i < whole + unit / 2) {
      place[i] = bytes[i];
    }
  }
}

}  // namespace tandem::boot::sim
