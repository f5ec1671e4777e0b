// Cuts the power of a campaign everywhere, and goes on after each cut until the campaign ends.
#ifndef TANDEM_BOOTLOADER_SIM_EXPLORER_H_
#define TANDEM_BOOTLOADER_SIM_EXPLORER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bootloader/sim/campaign.h"

namespace tandem::boot::sim {

struct Totals {
  // Times the power was cut.
  uint64_t cuts = 0;
  uint64_t boots = 0;
  // Campaigns that were run to their end.
  uint64_t campaigns = 0;
};

// What must never happen, and how to see it again.
struct Finding {
  std::string violation;
  std::vector<Cut> cuts;
};

// One campaign on one medium. Not thread-safe.
class Explorer {
 public:
  Explorer(const Medium& medium, const Campaign& campaign, Broken broken);

  // Every tear of every change, one cut a campaign; nothing is left out. Stops at the first finding.
  std::optional<Finding> CutEverywhere(Totals& totals);

  // `campaigns` campaigns with `cuts` cuts in a row each, at places drawn from `seed`.
  std::optional<Finding> CutAtRandom(uint64_t seed, uint64_t campaigns, int cuts, Totals& totals);

  // The campaign with these cuts, each counted from the power-on before it.
  std::optional<Finding> Replay(const std::vector<Cut>& cuts, Totals& totals);

 private:
  // What is there at a power-on.
  struct Snapshot {
    std::string medium;
    CampaignState state;
    // Tears of every change until the campaign ends, if the power stays.
    std::vector<uint32_t> ways;
  };

  // From `from` until `cut`, or to the end without one. Sets `after` and what follows from there.
  std::optional<Finding> RunFrom(const Snapshot& from, std::optional<Cut> cut, const std::vector<Cut>& path,
                                 Snapshot& after, Totals& totals);
  // From `from` to the end: what a cut can hit from there. Nothing when the judge objects.
  std::optional<Finding> LookAhead(Snapshot& from, const std::vector<Cut>& path, Totals& totals);
  std::optional<Finding> Begin(Snapshot& start, Totals& totals);

  const Campaign campaign_;
  const Broken broken_;
  Power power_;
  std::unique_ptr<SimUnit> unit_;
  std::string factory_;
};

// "12.3/5.1": change 12 torn the third way, then change 5 after the next power-on.
std::string CutsText(const std::vector<Cut>& cuts);
// INVALID_ARGUMENT.
absl::StatusOr<std::vector<Cut>> ParseCuts(const std::string& text);

}  // namespace tandem::boot::sim

#endif  // TANDEM_BOOTLOADER_SIM_EXPLORER_H_
