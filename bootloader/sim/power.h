// When the power goes in a simulation: in the middle of the n-th change that any medium makes.
//
// A medium asks before each change, and says how many ways there are for it to be torn; 0 is "nothing of it happened".
#ifndef TANDEM_BOOTLOADER_SIM_POWER_H_
#define TANDEM_BOOTLOADER_SIM_POWER_H_

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace tandem::boot::sim {

// The change at which the power goes, counted from power-on, and how that change is torn.
struct Cut {
  uint32_t change = 0;
  uint32_t tear = 0;

  bool operator==(const Cut&) const = default;
};

// Not thread-safe.
class Power {
 public:
  // Power comes back; it goes again at `cut`, if any.
  void On(std::optional<Cut> cut) {
    on_ = true;
    cut_ = cut;
    ways_.clear();
  }
  bool on() const { return on_; }

  // Before a change with `ways` tears. Nothing: it happens. A number below `ways`: it is torn that way, and power is
  // off.
  std::optional<uint32_t> Change(uint32_t ways) {
    ways_.push_back(ways);
    if (!cut_.has_value() || cut_->change + 1 != ways_.size()) return std::nullopt;
    on_ = false;
    return cut_->tear % ways;
  }

  // Of every change since On().
  const std::vector<uint32_t>& ways() const { return ways_; }
  std::vector<uint32_t> TakeWays() { return std::exchange(ways_, {}); }

 private:
  bool on_ = false;
  std::optional<Cut> cut_;
  std::vector<uint32_t> ways_;
};

}  // namespace tandem::boot::sim

#endif  // TANDEM_BOOTLOADER_SIM_POWER_H_
