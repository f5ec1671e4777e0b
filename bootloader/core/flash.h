// Flash as a bootloader sees it: erased by sectors, programmed by units, read by bytes. Freestanding.
//
// A driver checks the rules of its medium instead of trusting its caller: programming what is not erased is an error,
// not a quiet AND of both.
#ifndef TANDEM_BOOTLOADER_CORE_FLASH_H_
#define TANDEM_BOOTLOADER_CORE_FLASH_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::boot {

struct FlashGeometry {
  // Bytes; a multiple of sector_size.
  uint32_t size = 0;
  uint32_t sector_size = 4096;
  // Programs begin at a multiple of it and are a multiple of it long; 1 to 16, a power of two.
  uint32_t program_size = 4;
  // What an erased byte reads as.
  uint8_t erased = 0xff;
};

enum class FlashResult : uint8_t {
  kOk,
  kOutOfRange,
  kMisaligned,
  // The place is not erased.
  kNotErased,
  // The medium reports an error, or did not keep what was written.
  kFailed,
};

// "ok", "out of range", ...
constexpr const char* FlashResultText(FlashResult result) {
  switch (result) {
    case FlashResult::kOk:
      return "ok";
    case FlashResult::kOutOfRange:
      return "outside the flash";
    case FlashResult::kMisaligned:
      return "not aligned to the flash";
    case FlashResult::kNotErased:
      return "the flash is not erased there";
    case FlashResult::kFailed:
      break;
  }
  return "the flash reports an error";
}

// One device, or one part of it that starts at 0. A power cut inside Erase() or Program() may leave any mix of old, new
// and erased bytes in the sector or the unit that was being changed, and touches nothing else.
class Flash {
 public:
  virtual const FlashGeometry& geometry() const = 0;
  virtual FlashResult Read(uint32_t at, std::span<uint8_t> into) = 0;
  // The sector that starts at `at`.
  virtual FlashResult Erase(uint32_t at) = 0;
  // Durable when it returns.
  virtual FlashResult Program(uint32_t at, std::span<const uint8_t> bytes) = 0;

 protected:
  // Nobody owns a Flash by this base: without a heap there is nothing to delete.
  ~Flash() = default;
};

}  // namespace tandem::boot

#endif  // TANDEM_BOOTLOADER_CORE_FLASH_H_
