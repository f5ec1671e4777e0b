// Campaigns in plain words.
#include "absl/strings/str_cat.h"
#include "tests/sim/campaign.h"

namespace tandem::sim {
namespace {

using Kind = Trouble::Kind;

std::string What(const Trouble& trouble) {
  const std::string& whom = trouble.whom;
  const std::string lasts = absl::StrCat(" for ", absl::FormatDuration(trouble.lasts));
  switch (trouble.kind) {
    case Kind::kAssign:
      return absl::StrCat("assignment ", trouble.assignment.Name());
    case Kind::kAbort:
      return "an operator aborts";
    case Kind::kPause:
      return absl::StrCat("an operator pauses", lasts);
    case Kind::kApprove:
      return "an operator approves";
    case Kind::kKill:
      return absl::StrCat(whom, " is killed");
    case Kind::kKillAtCall:
      return absl::StrCat(whom, " is killed in its file-system call ", trouble.count, " from now");
    case Kind::kCrashLoop:
      return absl::StrCat("CM ends every second", lasts);
    case Kind::kPowerCut:
      return absl::StrCat("the power of ", whom, " is cut", lasts);
    case Kind::kPowerCutAtCall:
      return absl::StrCat("the power of ", whom, " is cut in call ", trouble.count, " from now");
    case Kind::kDiskFull:
      return absl::StrCat(whom, " finds the disk full", lasts);
    case Kind::kFailCall:
      return absl::StrCat("call ", trouble.count, " of ", whom, " from now fails");
    case Kind::kFlip:
      return absl::StrCat("a byte of ", trouble.text, " of ", whom, " is damaged while it restarts");
    case Kind::kHardware:
      return absl::StrCat("from its next start on CM is configured for hardware ", trouble.text);
    case Kind::kLeap:
      return absl::StrCat("the clock of ", whom, " leaps by ", static_cast<int64_t>(trouble.count), " s");
    case Kind::kSuspend:
      return absl::StrCat(whom, " sleeps for ", trouble.count, " s");
    case Kind::kDown:
      return absl::StrCat(whom, " does not run", lasts);
    case Kind::kAway:
      return absl::StrCat(whom, " cannot reach CM", lasts);
    case Kind::kHidden:
      return absl::StrCat(whom, " does not know its components", lasts);
    case Kind::kNotFound:
      return absl::StrCat("the mirror answers 404", lasts);
    case Kind::kUnavailable:
      return absl::StrCat("the mirror does not answer", lasts);
    case Kind::kWrongBytes:
      return absl::StrCat("the mirror sends wrong bytes", lasts);
    case Kind::kSlow:
      return absl::StrCat("the mirror is slow", lasts);
    case Kind::kMoves:
      return absl::StrCat("the vehicle moves", lasts);
    case Kind::kFails:
      return absl::StrCat(trouble.text, " of ", whom, " fails ", trouble.count, " times");
    case Kind::kFailsAfter:
      return absl::StrCat(trouble.text, " of ", whom, " is done, and fails, ", trouble.count, " times");
    case Kind::kErrorText:
      return absl::StrCat("errors of ", whom, " say: ", trouble.text);
    case Kind::kBrokerAway:
      return absl::StrCat("the broker is away", lasts);
    case Kind::kLossy:
      return absl::StrCat("the broker loses messages", lasts);
    case Kind::kRedeliver:
      return "the broker delivers the desired state again";
    case Kind::kNoVerdict:
      return "the fleet gives no verdict";
    case Kind::kBadVerdict:
      return "the fleet's verdict is bad";
    case Kind::kExpect:
      return absl::StrCat("assignment ", trouble.count, " should be ", trouble.text, " by now");
    case Kind::kWait:
      return absl::StrCat("nothing", lasts);
  }
  return "";
}

}  // namespace

std::string Describe(const Trouble& trouble) {
  return absl::StrCat(What(trouble), " (",
                      trouble.phase.empty() ? "at " : absl::StrCat("in ", trouble.phase, " after "),
                      absl::FormatDuration(trouble.at), ")");
}

}  // namespace tandem::sim
