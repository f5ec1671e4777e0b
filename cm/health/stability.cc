#include "cm/health/stability.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem::cm {
namespace {

StabilityStep Committed(const StabilityRules& rules, StabilityState state, const StabilityEvent& event) {
  const bool same = state.sequence == event.sequence && state.attempt == event.attempt;
  if (!same) {
    // A new update: what came before is forgiven.
    state = {.sequence = event.sequence, .attempt = event.attempt, .boot_id = event.boot_id};
    return {.state = std::move(state)};
  }
  const std::string before = std::exchange(state.boot_id, event.boot_id);
  if (before.empty() || before == event.boot_id) return {.state = std::move(state)};
  ++state.restarts;
  if (state.restarts < rules.restarts || !state.told.insert("restarts").second) return {.state = std::move(state)};
  const std::string text =
      absl::StrCat("the unit has started ", state.restarts, " times by itself since the update was committed");
  return {.state = std::move(state), .anomaly = text};
}

StabilityStep ProbeFailed(const StabilityRules& rules, StabilityState state, const StabilityEvent& event) {
  const uint32_t failures = ++state.failures_in_a_row[event.probe];
  const bool tell = failures >= rules.failures && state.told.insert(absl::StrCat("probe ", event.probe)).second;
  if (!tell) return {.state = std::move(state)};
  return {.state = std::move(state),
          .anomaly = absl::StrCat("probe \"", event.probe, "\" failed ", failures, " times in a row: ", event.detail)};
}

}  // namespace

StabilityStep StepStability(const StabilityRules& rules, StabilityState state, const StabilityEvent& event) {
  switch (event.kind) {
    case StabilityEvent::Kind::kCommitted:
      return Committed(rules, std::move(state), event);
    case StabilityEvent::Kind::kNotWatched:
    case StabilityEvent::Kind::kEnded:
      state.boot_id.clear();
      state.failures_in_a_row.clear();
      break;
    case StabilityEvent::Kind::kProbePassed:
      state.failures_in_a_row.erase(event.probe);
      break;
    case StabilityEvent::Kind::kProbeFailed:
      return ProbeFailed(rules, std::move(state), event);
  }
  return {.state = std::move(state)};
}

}  // namespace tandem::cm
