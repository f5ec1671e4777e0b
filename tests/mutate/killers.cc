#include "tests/mutate/killers.h"

#include <cstdint>

#include "common/log/log.h"
#include "gtest/gtest.h"
#include "tests/model/model_check.h"
#include "tests/sim/campaign.h"

namespace tandem::mutate {
namespace {

// A mutant that only shows in one campaign of thousands is a hole in the other two.
constexpr uint64_t kCampaigns = 400;

// The unit tests that are linked into this program.
bool UnitTestsFail() { return RUN_ALL_TESTS() != 0; }

bool ModelFails() {
  for (const model::ModelConfig& config : model::QuickModels()) {
    if (!model::CheckModel(config).violations.empty()) return true;
  }
  return false;
}

bool SimulationFails() {
  LogOptions quiet;
  quiet.level = "error";
  quiet.file = "/dev/null";
  if (!InitLog(quiet).ok()) return true;
  for (uint64_t seed = 1; seed <= kCampaigns; ++seed) {
    if (!sim::RunCampaign(seed).empty()) return true;
  }
  return false;
}

}  // namespace

std::vector<Killer> Killers() {
  return {{"unit tests", UnitTestsFail}, {"the model check", ModelFails}, {"the simulation", SimulationFails}};
}

}  // namespace tandem::mutate
