// Updates one after the other on a simulated unit, the way an Update Manager makes them, and the judge beside it.
//
// What the Update Manager keeps in its own record is in CampaignState; a change of it is one more thing that the power
// can cut, before or after it.
#ifndef TANDEM_BOOTLOADER_SIM_CAMPAIGN_H_
#define TANDEM_BOOTLOADER_SIM_CAMPAIGN_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bootloader/sim/power.h"
#include "bootloader/sim/sim_unit.h"

namespace tandem::boot::sim {

// How a new image behaves.
enum class Behaviour : uint8_t {
  kGood,
  // Crashes before it can do anything; the watchdog resets.
  kCrashes,
  // Runs, but the check of it fails: it is reverted.
  kFailsCheck,
  // Is good and confirmed; later its bytes decay, and the bootloader's own check of it fails.
  kDecays,
};

struct Campaign {
  std::string name;
  std::vector<Behaviour> updates;
};
// Each ends with an update that works.
const std::vector<Campaign>& Campaigns();

struct CampaignState {
  enum class Stage : uint8_t { kIdle, kPreparing, kPrepared, kStarted, kCommitted, kSealing, kReverting };

  // ---- What the Update Manager's record holds ----
  // The update under way; its image has version 2 + update.
  uint8_t update = 0;
  Stage stage = Stage::kIdle;
  Slot target = Slot::kNone;
  bool rearmed = false;

  // ---- What the judge has seen; bit n: version n ----
  // Written as a whole.
  uint32_t checked = 2;
  // Found good while it ran, before anybody confirmed it.
  uint32_t proven = 2;
  // Boots of an image that crashes, since it was put on trial.
  uint8_t crashes = 0;
  // The version that is booted when nothing is on trial.
  uint8_t committed = 1;
  // Every version that was ever that.
  uint32_t ever_committed = 2;
  // Their bytes are bad now.
  uint32_t decayed = 0;
  // The trial was cancelled: nothing on trial may be booted.
  bool cancelled = false;
  // What the security counter was raised to.
  uint32_t sealed = 0;
  uint32_t cuts = 0;
};

struct Outcome {
  enum class Kind : uint8_t { kDone, kPowerCut, kViolation };
  Kind kind = Kind::kDone;
  // What must never happen, and happened.
  std::string violation;
  uint32_t boots = 0;
};

// Goes on from `state` until all updates are over, the power goes or the judge objects. Power must be on.
Outcome RunCampaign(const Campaign& campaign, Broken broken, SimUnit& unit, Power& power, CampaignState& state);

}  // namespace tandem::boot::sim

#endif  // TANDEM_BOOTLOADER_SIM_CAMPAIGN_H_
