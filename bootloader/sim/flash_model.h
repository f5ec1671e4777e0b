// NOR flash in memory: erased by sectors, programmed by units, every change torn wherever the simulation wants it.
#ifndef TANDEM_BOOTLOADER_SIM_FLASH_MODEL_H_
#define TANDEM_BOOTLOADER_SIM_FLASH_MODEL_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "bootloader/core/flash.h"
#include "bootloader/sim/power.h"

namespace tandem::boot::sim {

// A torn program: some units whole, the next one untouched or with only some of its bits or bytes, the rest untouched.
// A torn erase: a part from the start or from the end, in steps of a unit, or a mix of bits everywhere.
class FlashModel final : public Flash {
 public:
  // Erased. `power` must outlive it.
  FlashModel(FlashGeometry geometry, Power& power)
      : geometry_(geometry), power_(power), bytes_(geometry.size, geometry.erased) {}
  ~FlashModel() = default;

  const FlashGeometry& geometry() const override { return geometry_; }
  FlashResult Read(uint32_t at, std::span<uint8_t> into) override;
  FlashResult Erase(uint32_t at) override;
  FlashResult Program(uint32_t at, std::span<const uint8_t> bytes) override;

  const std::vector<uint8_t>& bytes() const { return bytes_; }
  void Restore(const std::vector<uint8_t>& bytes) { bytes_ = bytes; }

 private:
  void TearErase(std::span<uint8_t> sector, uint32_t tear);
  void TearProgram(std::span<uint8_t> place, std::span<const uint8_t> bytes, uint32_t tear);

  const FlashGeometry geometry_;
  Power& power_;
  std::vector<uint8_t> bytes_;
};

}  // namespace tandem::boot::sim

#endif  // TANDEM_BOOTLOADER_SIM_FLASH_MODEL_H_
