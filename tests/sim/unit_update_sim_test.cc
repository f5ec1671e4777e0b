// Thousands of updates of simulated units. A seed that fails replays exactly: TANDEM_SEED=<seed> runs it alone and
// tells its story; TANDEM_SEEDS=<count> runs more of them.
#include <cstdlib>
#include <iostream>
#include <map>

#include "gtest/gtest.h"
#include "tests/sim/sim_unit.h"

namespace tandem {
namespace {

constexpr uint64_t kDefaultSeeds = 3000;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(UnitUpdateSim, EveryUnitEndsAsOneWhateverFails) {
  const uint64_t only = FromEnvironment("TANDEM_SEED", 0);
  const uint64_t count = only != 0 ? 1 : FromEnvironment("TANDEM_SEEDS", kDefaultSeeds);
  std::map<std::string, int> ends;
  int failures = 0;
  for (uint64_t seed = only != 0 ? only : 1; count > 0 && seed < (only != 0 ? only : 1) + count; ++seed) {
    SimUnit unit(seed);
    unit.Run();
    const std::string outcome(unit.update().phase == cm::Phase::kIdle ? cm::Name(unit.update().outcome)
                                                                      : cm::Name(unit.update().phase));
    ++ends[outcome + (unit.update().compensating ? ", compensating" : "")];
    if (only != 0) std::cout << unit.Story() << std::endl;
    if (unit.problems().empty()) continue;
    ADD_FAILURE() << "TANDEM_SEED=" << seed << ": " << unit.problems().front();
    if (++failures == 1) std::cout << unit.Story() << std::endl;
    if (failures == 10) break;
  }
  for (const auto& [end, times] : ends) std::cout << end << ": " << times << "\n";
  if (only != 0 || failures > 0) return;
  // A simulation that never gets far proves nothing.
  EXPECT_GT(ends["applied"], static_cast<int>(count / 5));
  EXPECT_GT(ends["reverted"], static_cast<int>(count / 20));
}

}  // namespace
}  // namespace tandem
