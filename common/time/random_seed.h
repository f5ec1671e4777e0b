// Seeds for jitter: from the machine, or the same ones in each run of a simulation.
#ifndef TANDEM_COMMON_TIME_RANDOM_SEED_H_
#define TANDEM_COMMON_TIME_RANDOM_SEED_H_

#include <cstdint>
#include <random>

namespace tandem {

// For delays only, never for secrets.
inline thread_local bool random_seeds_are_fixed = false;
inline thread_local uint64_t next_fixed_random_seed = 0;

inline uint64_t RandomSeed() {
  return random_seeds_are_fixed ? next_fixed_random_seed++ : uint64_t{std::random_device{}()};
}

// From now on this thread gets the seeds that follow `first`, so that a run can be replayed.
inline void FixRandomSeeds(uint64_t first) {
  random_seeds_are_fixed = true;
  next_fixed_random_seed = first;
}

}  // namespace tandem

#endif  // TANDEM_COMMON_TIME_RANDOM_SEED_H_
