// The table of one Update Manager. Apart from its readers, so that a test can put an altered table in its place.
#include "um/um_state.h"

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
    {S::kPrepared, I::kPrepareCommand, S::kPreparing, J::kPrepare,
     "only for other targets: what is staged is dropped and prepared anew"},
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

}  // namespace

std::span<const UmTransition> UmTransitions() { return kTransitions; }

}  // namespace tandem::um
