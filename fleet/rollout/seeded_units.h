// Units of simulated rings in tests: the same failures for the same seed on every machine.
#ifndef TANDEM_FLEET_ROLLOUT_SEEDED_UNITS_H_
#define TANDEM_FLEET_ROLLOUT_SEEDED_UNITS_H_

#include <cstdint>
#include <random>

namespace tandem::fleet {

class SeededUnits {
 public:
  explicit SeededUnits(uint64_t seed) : random_(seed) {}

  // Whether the next unit fails, at this rate. (The standard distributions differ among libraries.)
  bool Fails(double rate) { return static_cast<double>(random_() >> 11) * 0x1p-53 < rate; }

 private:
  std::mt19937_64 random_;
};

}  // namespace tandem::fleet

#endif  // TANDEM_FLEET_ROLLOUT_SEEDED_UNITS_H_
