#include "um/um_state.h"

#include <array>
#include <utility>

namespace tandem::um {
namespace {

using S = UmStep;
using I = UmInput;
using J = UmJob;

constexpr UmTransition kTransitions[] = {
    {S::kIdle, I::kPrepareCommand, S::kPreparing, J::kPrepare, ""},
    {S::kIdle, I::kSealCommand, S::kSealing, J::kSeal, "the rollback window is over"},
    {S::kIdle, I::kRestarted, S::kIdle, J::kNone, ""},

    {S::kSealing, I::kJobDone, S::kIdle, J::kNone, ""},
    {S::kSealing, I::kJobFailed, S::kIdle, J::kNone, "with the error; CM sends Seal again"},
    {S::kSealing, I::kPrepareCommand, S::kPreparing, J::kPrepare, "after the seal, which is not waited for"},
    {S::kSealing, I::kRestarted, S::kSealing, J::kSeal, ""},

    {S::kPreparing, I::kJobDone, S::kPrepared, J::kNone, ""},
    {S::kPreparing, I::kJobFailed, S::kFailed, J::kNone, ""},
    {S::kPreparing, I::kPrepareCommand, S::kPreparing, J::kPrepare,
     "only for the same bytes from other sources: it goes on with those"},
    {S::kPreparing, I::kRevertCommand, S::kReverting, J::kRevert, "the preparation is cancelled first"},
    {S::kPreparing, I::kRestarted, S::kIdle, J::kNone, "CM sends Prepare again; it resumes"},

    {S::kPrepared, I::kStartCommand, S::kStarting, J::kStart, ""},
    {S::kPrepared, I::kRevertCommand, S::kReverting, J::kRevert, "staged data is dropped"},
    {S::kPrepared, I::kRestarted, S::kPrepared, J::kNone, ""},

    {S::kStarting, I::kJobDone, S::kUpdated, J::kNone, ""},
    {S::kStarting, I::kJobNeedsReboot, S::kRebooting, J::kReboot, ""},
    {S::kStarting, I::kJobFailed, S::kFailed, J::kNone, ""},
    {S::kStarting, I::kRestarted, S::kStarting, J::kStart, "the switch is finished, or found done"},

    {S::kRebooting, I::kRestarted, S::kRebooting, J::kCheck, "did the new version come up?"},
    {S::kRebooting, I::kJobDone, S::kUpdated, J::kNone, ""},
    {S::kRebooting, I::kJobNeedsReboot, S::kRebooting, J::kReboot, "it has not happened yet"},
    {S::kRebooting, I::kJobFailed, S::kFailed, J::kNone, "the bootloader fell back, or the check failed"},

    {S::kUpdated, I::kApplyCommand, S::kApplying, J::kApply, ""},
    {S::kUpdated, I::kRevertCommand, S::kReverting, J::kRevert, ""},
    {S::kUpdated, I::kRestarted, S::kChecking, J::kCheck, "does the new version still run?"},

    {S::kChecking, I::kJobDone, S::kUpdated, J::kNone, ""},
    {S::kChecking, I::kJobNeedsReboot, S::kRebooting, J::kReboot, ""},
    {S::kChecking, I::kJobFailed, S::kFailed, J::kNone, "the bootloader fell back by itself"},
    {S::kChecking, I::kRestarted, S::kChecking, J::kCheck, ""},

    {S::kApplying, I::kJobDone, S::kIdle, J::kNone, "the new version is permanent"},
    {S::kApplying, I::kJobFailed, S::kUpdated, J::kNone, "with the error; CM retries"},
    {S::kApplying, I::kRestarted, S::kChecking, J::kCheck, "CM sends Apply again"},

    {S::kReverting, I::kJobDone, S::kIdle, J::kNone, "what ran before runs again"},
    {S::kReverting, I::kJobNeedsReboot, S::kReverting, J::kReboot, ""},
    {S::kReverting, I::kJobFailed, S::kFailed, J::kNone, "with the error; CM retries"},
    {S::kReverting, I::kRestarted, S::kReverting, J::kRevert, ""},

    {S::kFailed, I::kRevertCommand, S::kReverting, J::kRevert, ""},
    {S::kFailed, I::kStartCommand, S::kStarting, J::kStart, "after COMMIT: the switch is armed again"},
    {S::kFailed, I::kRestarted, S::kFailed, J::kNone, ""},
};

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

std::span<const UmTransition> UmTransitions() { return kTransitions; }

std::optional<UmTransition> FindUmTransition(UmStep step, UmInput input) {
  for (const UmTransition& row : kTransitions) {
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
