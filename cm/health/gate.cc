#include "cm/health/gate.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tandem::cm {
namespace {

using enum ProbeState;
using enum GateCondition;

constexpr std::array<GateTransition, 16> kTable = {{
    {kWaiting, kInGrace, kWaiting},
    {kWaiting, kPassedEnough, kPassed},
    {kWaiting, kPassedTooFew, kPassing},
    {kWaiting, kFailureForgiven, kFailing},
    {kWaiting, kFailureFinal, kFailed},
    {kPassing, kPassedEnough, kPassed},
    {kPassing, kPassedTooFew, kPassing},
    {kPassing, kFailureForgiven, kFailing},
    {kPassing, kFailureFinal, kFailed},
    {kPassed, kPassedEnough, kPassed},
    {kPassed, kFailureForgiven, kFailing},
    {kPassed, kFailureFinal, kFailed},
    {kFailing, kPassedEnough, kPassed},
    {kFailing, kPassedTooFew, kPassing},
    {kFailing, kFailureForgiven, kFailing},
    {kFailing, kFailureFinal, kFailed},
}};

// Counts the result, and says what it means.
GateCondition Classify(GateMode mode, const GateRule& rule, absl::Duration grace, const GateEvent& event,
                       ProbeProgress& progress) {
  if (event.elapsed < std::max(grace, rule.grace)) return kInGrace;
  if (event.kind == GateEvent::Kind::kProbePassed) {
    ++progress.successes;
    return progress.successes >= rule.successes_needed ? kPassedEnough : kPassedTooFew;
  }
  progress.successes = 0;
  ++progress.failures;
  const bool forgiven = mode == GateMode::kPreconditions || progress.failures <= rule.failures_allowed;
  return forgiven ? kFailureForgiven : kFailureFinal;
}

ProbeState NextState(ProbeState from, GateCondition when) {
  for (const GateTransition& row : kTable) {
    if (row.from == from && row.when == when) return row.to;
  }
  return from;
}

std::string FailureText(const GateRule& rule, const ProbeProgress& progress) {
  std::string text = absl::StrCat("probe \"", rule.name, "\" failed: ", progress.detail);
  if (rule.failures_allowed > 0) {
    absl::StrAppend(&text, " (", progress.failures, " failures, ", rule.failures_allowed, " allowed)");
  }
  return text;
}

std::string WaitingText(const std::vector<GateRule>& rules, const GateState& state) {
  std::vector<std::string> waiting;
  for (size_t i = 0; i < rules.size(); ++i) {
    const ProbeProgress& progress = state.probes[i];
    if (progress.state == kPassed) continue;
    // The failure is what a person can act on; the count of successes is not.
    waiting.push_back(progress.state == kFailing ? absl::StrCat("\"", rules[i].name, "\" (", progress.detail, ")")
                                                 : absl::StrCat("\"", rules[i].name, "\""));
  }
  return waiting.empty() ? "the grace period" : absl::StrCat("probes ", absl::StrJoin(waiting, ", "));
}

void Judge(GateMode mode, const std::vector<GateRule>& rules, absl::Duration grace, absl::Duration elapsed,
           GateState& state) {
  for (size_t i = 0; i < rules.size(); ++i) {
    if (state.probes[i].state != kFailed) continue;
    state.verdict = GateVerdict::kFailed;
    state.reason = FailureText(rules[i], state.probes[i]);
    return;
  }
  const bool all_passed =
      std::ranges::all_of(state.probes, [](const ProbeProgress& probe) { return probe.state == kPassed; });
  if (all_passed && elapsed >= grace) {
    state.verdict = GateVerdict::kPassed;
    state.reason = mode == GateMode::kHealth ? "healthy" : "preconditions hold";
    return;
  }
  state.verdict = GateVerdict::kWaiting;
  state.reason = WaitingText(rules, state);
}

}  // namespace

std::string_view ProbeStateName(ProbeState state) {
  switch (state) {
    case kWaiting:
      return "waiting";
    case kPassing:
      return "passing";
    case kPassed:
      return "passed";
    case kFailing:
      return "failing";
    case kFailed:
      return "failed";
  }
  return "unknown";
}

std::string_view GateVerdictName(GateVerdict verdict) {
  switch (verdict) {
    case GateVerdict::kWaiting:
      return "waiting";
    case GateVerdict::kPassed:
      return "passed";
    case GateVerdict::kFailed:
      return "failed";
  }
  return "unknown";
}

std::string_view GateConditionText(GateCondition condition) {
  switch (condition) {
    case kInGrace:
      return "a result before the grace is over";
    case kPassedEnough:
      return "passed, successes_needed in a row";
    case kPassedTooFew:
      return "passed, fewer than successes_needed in a row";
    case kFailureForgiven:
      return "failed, at most failures_allowed times, or as a precondition";
    case kFailureFinal:
      return "failed more than failures_allowed times";
  }
  return "unknown";
}

std::span<const GateTransition> GateTable() { return kTable; }

GateState InitialGateState(const std::vector<GateRule>& rules) {
  GateState state;
  state.probes.resize(rules.size());
  state.reason = WaitingText(rules, state);
  return state;
}

GateState StepGate(GateMode mode, const std::vector<GateRule>& rules, absl::Duration grace, GateState state,
                   const GateEvent& event) {
  const bool final =
      state.verdict == GateVerdict::kFailed || (state.verdict == GateVerdict::kPassed && mode == GateMode::kHealth);
  if (final) return state;
  if (event.kind != GateEvent::Kind::kTick && event.probe < state.probes.size()) {
    ProbeProgress& progress = state.probes[event.probe];
    const GateCondition condition = Classify(mode, rules[event.probe], grace, event, progress);
    progress.detail = event.detail;
    progress.state = NextState(progress.state, condition);
  }
  Judge(mode, rules, grace, event.elapsed, state);
  return state;
}

}  // namespace tandem::cm
