#include "tests/model/model_check.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "tests/model/explorer.h"
#include "tests/model/unit_model.h"

namespace tandem::model {

ModelResult CheckModel(const ModelConfig& config) {
  const auto began = std::chrono::steady_clock::now();
  ModelResult result;
  UnitModel model(config);
  Explorer<UnitState, UnitModel> explorer(model, config.max_states);
  const auto known = [&](const std::string& what) {
    return std::ranges::any_of(result.violations, [&](const Violation& v) { return v.what == what; });
  };
  const bool all = explorer.Search([&](uint32_t at, size_t edge, const char* what) {
    if (known(what)) return true;
    result.violations.push_back({.what = what, .story = explorer.Story(at, static_cast<int>(edge))});
    return result.violations.size() < config.max_violations;
  });
  result.complete = all;
  if (all) {
    bool applied = false;
    for (uint32_t at = 0; at < explorer.states() && !applied; ++at) applied = explorer.state(at).env.committed != 0;
    if (!applied) result.violations.push_back({.what = "no update is ever applied", .story = ""});
    const uint32_t stuck =
        explorer.FindStuck([&](const UnitState& state) { return model.IsRest(state); }, kFault | kPerson);
    if (stuck != kNoState) {
      result.violations.push_back(
          {.what = "no way to rest without people and without further faults",
           .story = absl::StrCat(explorer.Story(stuck), "stuck: ", model.Describe(explorer.state(stuck)), "\n")});
    }
    uint32_t at = 0;
    int edge = 0;
    if (explorer.FindCircle(kForwardSent, kFault | kPerson, &at, &edge)) {
      result.violations.push_back(
          {.what = "PrepareUpdate or StartUpdate without end", .story = explorer.Story(at, edge)});
    } else if (explorer.FindCircle(kOtherSent, kFault | kPerson | kTime | kReturns, &at, &edge)) {
      result.violations.push_back(
          {.what = "a command again and again without a pause", .story = explorer.Story(at, edge)});
    }
  }
  result.states = explorer.states();
  result.transitions = explorer.transitions();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return result;
}

}  // namespace tandem::model
