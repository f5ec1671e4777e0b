#include "um/um_state.h"

#include <array>
#include <utility>

namespace tandem::um {
namespace {

using S = UmStep;
using I = UmInput;
using J = UmJob;

constexpr std::array<std::pair<UmStep, std::string_view>, 11> kStepNames = {{
    {S::kIdle, "idle"},
    {S::kPreparing, "preparing"},
    {S::kPrepared, "prepared"},
    {S::kStarting, "starting"},
    {S::kRebooting, "rebooting"},
    {S::kUpdated, "updated"},
    {S::kChecking, "checking"},
    {S::kApplying, "applying"},
    {S::kReverting, "reverting"},
    {S::kFailed, "failed"},
    {S::kSealing, "sealing"},
}};

}  // namespace

std::optional<UmTransition> FindUmTransition(UmStep step, UmInput input) {
  for (const UmTransition& row : UmTransitions()) {
    if (row.from == step && row.input == input) return row;
  }
  return std::nullopt;
}

WireState WireStateOf(UmStep step) {
  switch (step) {
    case S::kIdle:
    case S::kSealing:
    case S::kPreparing:
      return WireState::kIdle;
    case S::kPrepared:
    case S::kStarting:
    case S::kRebooting:
      return WireState::kPrepared;
    case S::kUpdated:
    case S::kChecking:
    case S::kApplying:
      return WireState::kUpdated;
    case S::kReverting:
    case S::kFailed:
      return WireState::kFailed;
  }
  return WireState::kFailed;
}

bool IsWorking(UmStep step) {
  switch (step) {
    case S::kPreparing:
    case S::kStarting:
    case S::kRebooting:
    case S::kChecking:
    case S::kApplying:
    case S::kReverting:
    case S::kSealing:
      return true;
    default:
      return false;
  }
}

std::string_view Name(UmStep step) {
  for (const auto& [value, name] : kStepNames) {
    if (value == step) return name;
  }
  return "";
}

std::optional<UmStep> ParseUmStep(std::string_view name) {
  for (const auto& [value, known] : kStepNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

std::string_view Name(UmInput input) {
  switch (input) {
    case I::kPrepareCommand:
      return "PrepareUpdate";
    case I::kStartCommand:
      return "StartUpdate";
    case I::kApplyCommand:
      return "ApplyUpdate";
    case I::kRevertCommand:
      return "RevertUpdate";
    case I::kSealCommand:
      return "SealUpdate";
    case I::kJobDone:
      return "job done";
    case I::kJobNeedsReboot:
      return "job needs a reboot";
    case I::kJobFailed:
      return "job failed";
    case I::kRestarted:
      return "process restarted";
  }
  return "";
}

std::string_view Name(UmJob job) {
  switch (job) {
    case J::kNone:
      return "";
    case J::kPrepare:
      return "Prepare";
    case J::kStart:
      return "Start";
    case J::kReboot:
      return "Reboot";
    case J::kCheck:
      return "CheckAfterReboot";
    case J::kApply:
      return "Apply";
    case J::kRevert:
      return "Revert";
    case J::kSeal:
      return "Seal";
  }
  return "";
}

std::string_view Name(WireState state) {
  switch (state) {
    case WireState::kIdle:
      return "IDLE";
    case WireState::kPrepared:
      return "PREPARED";
    case WireState::kUpdated:
      return "UPDATED";
    case WireState::kFailed:
      return "FAILED";
  }
  return "";
}

}  // namespace tandem::um
