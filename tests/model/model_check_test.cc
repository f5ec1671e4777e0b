// Every configuration is searched whole: TANDEM_MODEL_FAULTS=<count> allows another number of faults.
#include "tests/model/model_check.h"

#include <cstdlib>
#include <iostream>

#include "gtest/gtest.h"

namespace tandem::model {
namespace {

class ModelCheck : public ::testing::TestWithParam<ModelConfig> {};

TEST_P(ModelCheck, KeepsEveryInvariantAndAlwaysComesToRest) {
  ModelConfig config = GetParam();
  if (const char* const faults = std::getenv("TANDEM_MODEL_FAULTS"); faults != nullptr) {
    config.faults = std::atoi(faults);
  }
  config.max_violations = 12;
  const ModelResult result = CheckModel(config);
  std::cout << config.name << ": " << result.states << " states, " << result.transitions << " transitions, "
            << result.seconds << " s\n";
  for (const Violation& violation : result.violations) ADD_FAILURE() << violation.what << "\n" << violation.story;
  EXPECT_TRUE(result.complete);
}

INSTANTIATE_TEST_SUITE_P(All, ModelCheck, ::testing::ValuesIn(AllModels()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace tandem::model
