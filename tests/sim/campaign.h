// A campaign is data: a unit, what it is assigned, and what goes wrong when. It is made from a seed or written by hand,
// runs the same way each time, and can be made smaller while it still fails.
#ifndef TANDEM_TESTS_SIM_CAMPAIGN_H_
#define TANDEM_TESTS_SIM_CAMPAIGN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/sim/documents.h"
#include "tests/sim/um.h"

namespace tandem::sim {

struct Trouble {
  enum class Kind {
    kAssign,
    kAbort,
    kPause,
    kApprove,
    // A process, "CM" or a UM, is killed; in the middle of its n-th file-system call from then on.
    kKill,
    kKillAtCall,
    // CM is killed every second.
    kCrashLoop,
    // Of a computer; in the middle of its n-th call.
    kPowerCut,
    kPowerCutAtCall,
    // For a process: nothing can be written for a while; the n-th call fails once.
    kDiskFull,
    kFailCall,
    // A byte of a record ("update.rec") is wrong when the process comes back; CM's configuration names other hardware.
    kFlip,
    kHardware,
    // A computer's time of day leaps for good; it sleeps.
    kLeap,
    kSuspend,
    // A UM's process, or its way to CM, is not there for a while; its components are not known until later.
    kDown,
    kAway,
    kHidden,
    // The mirror.
    kNotFound,
    kUnavailable,
    kWrongBytes,
    kSlow,
    // The vehicle moves: the precondition does not hold.
    kMoves,
    // A method of a UM's plugin, before it does anything or after it did everything; n times.
    kFails,
    kFailsAfter,
    // What its errors say.
    kErrorText,
    kBrokerAway,
    kLossy,
    kRedeliver,
    kNoVerdict,
    kBadVerdict,
    // No trouble: by now the cloud's last word on assignment `count` must be `text`.
    kExpect,
    // Nothing happens, but the end of it is waited for.
    kWait,
  };

  Kind kind = Kind::kWait;
  // From the beginning, or from when CM first enters `phase`.
  absl::Duration at;
  std::string phase = {};
  // "CM", a node_id, a computer.
  std::string whom = {};
  absl::Duration lasts = absl::ZeroDuration();
  uint64_t count = 1;
  // A method, a file, an error text.
  std::string text = {};
  SimAssignment assignment = {};
};

// In plain words, for the story.
std::string Describe(const Trouble& trouble);

struct SimNode {
  UmOptions um;
  std::string computer = "main";
};

struct Campaign {
  uint64_t seed = 1;
  std::vector<SimNode> nodes;
  std::vector<Trouble> troubles;
  absl::Duration rollback_window = absl::Minutes(5);
  // A precondition of the unit's configuration: the vehicle stands still.
  bool needs_standstill = false;
  // A part truly cannot come back, so that the unit may wait for a person.
  bool may_need_service = false;
  // The outbox is the durable one, on a real file; it costs much more than one in memory.
  bool durable_outbox = false;
  // Of Known: what is no problem, because it is known to be broken.
  uint32_t tolerates = 0;
};

struct CampaignResult {
  // Broken invariants; empty: all is well.
  std::vector<std::string> problems;
  // "applied", "reverted", "refused", ...
  std::string end;
  std::vector<std::string> story;
  // What the cloud heard, each message once: "1.1 applied".
  std::vector<std::string> told;
  absl::Duration took;
};

CampaignResult Play(const Campaign& campaign, bool tells = false);

// What random campaigns leave out, because it is known to be broken. Each goes as its mend lands.
enum Known : uint32_t {
  kNothingKnown = 0,
  // A desired state that the disk would not take is refused and forgotten (D15, C7).
  kKnownRefusals = 1 << 0,
  // The gate's documents are damaged or no longer for this unit (D3).
  kKnownGate = 1 << 1,
  // A UM that comes late, or whose components are known late (D8, D10).
  kKnownLate = 1 << 2,
  // A UM that is away before Start for longer than the registration budget (D16).
  kKnownAway = 1 << 3,
  // Conditions that end (D11).
  kKnownConditions = 1 << 4,
  // CM is killed every second (C5), and time that went by asleep (D17).
  kKnownTrialTime = 1 << 5,
  // A UM that cannot write its record, or a Prepare that was not taken (D9, C7).
  kKnownUmDisk = 1 << 6,
  // Prepare after ABORT (H2), and a Revert that is not answered (H1).
  kKnownAbort = 1 << 7,
  // A UM that keeps failing (D5, D13).
  kKnownStuck = 1 << 8,
  // The mirror says 404 (D18, C9).
  kKnownMirror = 1 << 9,
  // Texts that are no UTF-8 (D4).
  kKnownText = 1 << 10,
  // A clock that leaps far (D7).
  kKnownClock = 1 << 11,
};

Campaign MakeCampaign(uint64_t seed, uint32_t without);
// Of the campaign that this seed makes, without what is known to be broken; empty: good.
std::vector<std::string> RunCampaign(uint64_t seed);
// The known ones as main stands now.
extern const uint32_t kKnownNow;

// The smallest that still fails.
Campaign Shrink(Campaign campaign);

}  // namespace tandem::sim

#endif  // TANDEM_TESTS_SIM_CAMPAIGN_H_
