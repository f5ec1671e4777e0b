#include "tests/model/aos_steps.h"

namespace tandem::model {
namespace {

using S = um::UmStep;
using I = um::UmInput;
using J = um::UmJob;

constexpr um::UmTransition kSteps[] = {
    {S::kIdle, I::kPrepareCommand, S::kPreparing, J::kPrepare, ""},
    {S::kIdle, I::kRestarted, S::kIdle, J::kNone, ""},

    {S::kPreparing, I::kJobDone, S::kPrepared, J::kNone, ""},
    {S::kPreparing, I::kJobFailed, S::kFailed, J::kNone, ""},
    {S::kPreparing, I::kRestarted, S::kIdle, J::kNone, "what it prepared is lost"},

    {S::kPrepared, I::kStartCommand, S::kStarting, J::kStart, ""},
    {S::kPrepared, I::kRevertCommand, S::kReverting, J::kRevert, ""},
    {S::kPrepared, I::kRestarted, S::kPrepared, J::kNone, ""},

    {S::kStarting, I::kJobDone, S::kUpdated, J::kNone, ""},
    {S::kStarting, I::kJobFailed, S::kFailed, J::kNone, ""},
    {S::kStarting, I::kRestarted, S::kPrepared, J::kNone, "Start must be sent again"},

    {S::kUpdated, I::kApplyCommand, S::kApplying, J::kApply, ""},
    {S::kUpdated, I::kRevertCommand, S::kReverting, J::kRevert, ""},
    {S::kUpdated, I::kRestarted, S::kUpdated, J::kNone, ""},

    {S::kApplying, I::kJobDone, S::kIdle, J::kNone, ""},
    {S::kApplying, I::kJobFailed, S::kIdle, J::kNone, "with the error"},
    {S::kApplying, I::kRestarted, S::kUpdated, J::kNone, "Apply must be sent again"},

    {S::kReverting, I::kJobDone, S::kIdle, J::kNone, ""},
    {S::kReverting, I::kJobFailed, S::kIdle, J::kNone, "with the error"},
    {S::kReverting, I::kRestarted, S::kFailed, J::kNone, ""},

    {S::kFailed, I::kRevertCommand, S::kReverting, J::kRevert, ""},
    {S::kFailed, I::kRestarted, S::kFailed, J::kNone, ""},
};

}  // namespace

std::optional<um::UmTransition> FindAosTransition(um::UmStep step, um::UmInput input) {
  for (const um::UmTransition& row : kSteps) {
    if (row.from == step && row.input == input) return row;
  }
  return std::nullopt;
}

}  // namespace tandem::model
