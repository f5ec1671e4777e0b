#include "fleet/verification/run_outcome.h"

#include <algorithm>
#include <array>

namespace tandem::fleet {
namespace {

constexpr std::array<std::string_view, kRunStates> kNames = {"pending", "passed", "failed",
                                                             "timeout", "error",  "superseded"};

}  // namespace

std::string_view Name(RunState state) { return kNames.at(static_cast<size_t>(state)); }

std::optional<RunState> ParseOutcome(std::string_view outcome) {
  for (const RunState state : {RunState::kPassed, RunState::kFailed, RunState::kTimeout, RunState::kError}) {
    if (outcome == Name(state)) return state;
  }
  return std::nullopt;
}

VerificationOutcome Decide(std::span<const RunState> runs) {
  bool passed = false;
  bool failed = false;
  for (const RunState run : runs) {
    if (run == RunState::kPending) return VerificationOutcome::kPending;
    passed = passed || run == RunState::kPassed;
    failed = failed || run == RunState::kFailed || run == RunState::kTimeout || run == RunState::kError;
  }
  if (failed) return VerificationOutcome::kFailed;
  return passed ? VerificationOutcome::kPassed : VerificationOutcome::kPending;
}

int64_t DeadlineOf(int64_t created_at, int64_t max_timeout_secs) { return created_at + (max_timeout_secs * 3 + 1) / 2; }

int64_t ExtensionFor(bool away, int64_t extended, int64_t grace) {
  return away ? std::clamp<int64_t>(grace - extended, 0, kReapSeconds) : 0;
}

}  // namespace tandem::fleet
