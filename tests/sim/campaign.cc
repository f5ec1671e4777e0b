// Campaigns by chance, and made smaller.
#include "tests/sim/campaign.h"

#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/unit.h"
#include "tests/sim/world.h"

namespace tandem::sim {
namespace {

using Kind = Trouble::Kind;

constexpr uint64_t kDurableOutboxEvery = 200;

struct Choice {
  Kind kind;
  int weight;
  uint32_t known = kNothingKnown;
};

constexpr Choice kChoices[] = {
    {Kind::kKill, 6},
    {Kind::kKillAtCall, 8},
    {Kind::kPowerCut, 5},
    {Kind::kPowerCutAtCall, 8},
    {Kind::kAway, 5},
    {Kind::kDown, 3},
    {Kind::kDiskFull, 3, kKnownUmDisk},
    {Kind::kFailCall, 3, kKnownUmDisk},
    {Kind::kFlip, 3},
    {Kind::kHardware, 1, kKnownGate},
    {Kind::kLeap, 2},
    {Kind::kSuspend, 2, kKnownTrialTime},
    {Kind::kCrashLoop, 1, kKnownTrialTime},
    {Kind::kHidden, 1, kKnownLate},
    {Kind::kUnavailable, 2},
    {Kind::kNotFound, 2, kKnownMirror},
    {Kind::kWrongBytes, 1, kKnownMirror},
    {Kind::kSlow, 2},
    {Kind::kMoves, 3},
    {Kind::kFails, 4},
    {Kind::kFailsAfter, 3},
    {Kind::kBrokerAway, 3},
    {Kind::kLossy, 2},
    {Kind::kRedeliver, 2},
    {Kind::kAbort, 2},
    {Kind::kPause, 2},
    {Kind::kBadVerdict, 1},
};

constexpr const char* kPhases[] = {"", "", "", "Preparing", "Ready", "Starting", "Trial", "Committing", "Reverting"};
constexpr const char* kMethods[] = {"Prepare", "Start", "Check", "Apply", "Revert", "Seal", "Reboot", "Reload"};
constexpr const char* kRecords[] = {"desired.rec", "trust.rec", "committed.rec", "update.rec"};

class Dice {
 public:
  Dice(uint64_t seed, uint32_t without) : world_(seed * 0x9e3779b97f4a7c15ULL + 1, false), without_(without) {}

  bool Chance(double probability) { return world_.Chance(probability); }
  uint64_t Between(uint64_t low, uint64_t high) { return world_.Between(low, high); }
  absl::Duration Between(absl::Duration low, absl::Duration high) { return world_.Between(low, high); }
  template <typename T, size_t size>
  const T& Pick(const T (&list)[size]) {
    return list[Between(0, size - 1)];
  }
  bool Without(uint32_t known) const { return (without_ & known) != 0; }

  Kind PickKind() {
    uint64_t total = 0;
    for (const Choice& choice : kChoices) total += Without(choice.known) ? 0 : static_cast<uint64_t>(choice.weight);
    uint64_t at = Between(0, total - 1);
    for (const Choice& choice : kChoices) {
      if (Without(choice.known)) continue;
      if (at < static_cast<uint64_t>(choice.weight)) return choice.kind;
      at -= static_cast<uint64_t>(choice.weight);
    }
    return Kind::kWait;
  }

 private:
  World world_;
  const uint32_t without_;
};

void AddNodes(Dice& dice, Campaign& campaign) {
  campaign.nodes.push_back({.um = {.node_id = "app", .priority = 10}});
  if (dice.Chance(0.75)) {
    campaign.nodes.push_back({.um = {.node_id = "rootfs", .priority = 20, .switches_boot = true}});
  }
  if (dice.Chance(0.4)) {
    campaign.nodes.push_back({.um = {.node_id = "mcu", .priority = 20, .switches_boot = true}, .computer = "ecu"});
  }
  if (campaign.nodes.size() == 1 || dice.Chance(0.2)) {
    campaign.nodes.push_back({.um = {.node_id = "model", .priority = 10}, .computer = "aux"});
  }
}

void AddAssignments(Dice& dice, Campaign& campaign) {
  SimAssignment assignment;
  for (const SimNode& node : campaign.nodes) assignment.release.components.push_back(node.um.node_id);
  const int count = dice.Chance(0.35) ? 2 : 1;
  for (int i = 0; i < count; ++i) {
    assignment.sequence = static_cast<uint64_t>(i) + 1;
    assignment.release.version = absl::StrCat(i + 2, ".0.0");
    assignment.release.bad_health = dice.Chance(0.15);
    assignment.release.bad_boot = !assignment.release.bad_health && dice.Chance(0.1);
    assignment.verified = dice.Chance(0.15);
    campaign.troubles.push_back({.kind = Kind::kAssign,
                                 .at = i == 0 ? absl::Seconds(1) : dice.Between(absl::Seconds(2), absl::Seconds(60)),
                                 .assignment = assignment});
  }
}

Trouble MakeTrouble(Dice& dice, const Campaign& campaign) {
  const SimNode& node = campaign.nodes[dice.Between(0, campaign.nodes.size() - 1)];
  Trouble trouble{.kind = dice.PickKind(), .phase = dice.Pick(kPhases)};
  trouble.at = trouble.phase.empty() ? dice.Between(absl::ZeroDuration(), absl::Seconds(60))
                                     : dice.Between(absl::ZeroDuration(), absl::Seconds(6));
  trouble.lasts = dice.Between(absl::Milliseconds(100), absl::Seconds(25));
  trouble.whom = dice.Chance(0.5) ? "CM" : node.um.node_id;
  const bool of_disk = trouble.kind == Kind::kDiskFull || trouble.kind == Kind::kFailCall;
  if (of_disk && dice.Without(kKnownRefusals)) trouble.whom = node.um.node_id;
  switch (trouble.kind) {
    case Kind::kKillAtCall:
    case Kind::kFailCall:
      trouble.count = dice.Between(1, 40);
      break;
    case Kind::kPowerCutAtCall:
      trouble.count = dice.Between(1, 60);
      trouble.whom = node.computer;
      break;
    case Kind::kPowerCut:
      trouble.whom = node.computer;
      trouble.lasts = dice.Between(absl::Milliseconds(500), absl::Seconds(8));
      break;
    case Kind::kLeap:
      trouble.whom = "main";
      trouble.count = static_cast<uint64_t>(dice.Chance(0.5) ? 7200 : -7200);
      break;
    case Kind::kSuspend:
      trouble.whom = "main";
      trouble.count = dice.Between(5, 600);
      break;
    case Kind::kAway:
    case Kind::kDown:
      if (trouble.kind == Kind::kAway) trouble.whom = node.um.node_id;
      if (dice.Without(kKnownAway | kKnownLate)) trouble.lasts = std::min(trouble.lasts, absl::Seconds(6));
      break;
    case Kind::kHidden:
      trouble.whom = node.um.node_id;
      break;
    case Kind::kFails:
    case Kind::kFailsAfter:
      trouble.whom = node.um.node_id;
      trouble.text = dice.Pick(kMethods);
      trouble.count = dice.Between(1, dice.Without(kKnownStuck) ? 1 : 4);
      break;
    case Kind::kFlip:
      if (trouble.whom == "CM") {
        // The first one holds the running update's documents.
        trouble.text = kRecords[dice.Between(dice.Without(kKnownGate) ? 1 : 0, std::size(kRecords) - 1)];
      } else {
        trouble.text = "um.rec";
      }
      break;
    case Kind::kHardware:
      trouble.text = "rev-c";
      break;
    default:
      break;
  }
  return trouble;
}

}  // namespace

const uint32_t kKnownNow = kNothingKnown;

Campaign MakeCampaign(uint64_t seed, uint32_t without) {
  Dice dice(seed, without);
  Campaign campaign{.seed = seed, .tolerates = without};
  AddNodes(dice, campaign);
  AddAssignments(dice, campaign);
  campaign.rollback_window = dice.Chance(0.5) ? absl::Seconds(20) : absl::Minutes(10);
  campaign.needs_standstill = !dice.Without(kKnownConditions) && dice.Chance(0.3);
  campaign.durable_outbox = seed % kDurableOutboxEvery == 0;
  const uint64_t troubles = dice.Chance(0.1) ? 0 : dice.Between(1, 5);
  for (uint64_t i = 0; i < troubles; ++i) campaign.troubles.push_back(MakeTrouble(dice, campaign));
  return campaign;
}

CampaignResult Play(const Campaign& campaign, bool tells) {
  Unit unit(campaign, tells);
  return unit.Run();
}

std::vector<std::string> RunCampaign(uint64_t seed) { return Play(MakeCampaign(seed, kKnownNow)).problems; }

Campaign Shrink(Campaign campaign) {
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (size_t i = 0; i < campaign.troubles.size(); ++i) {
      Campaign without = campaign;
      without.troubles.erase(without.troubles.begin() + static_cast<std::ptrdiff_t>(i));
      if (Play(without).problems.empty()) continue;
      campaign = std::move(without);
      smaller = true;
      break;
    }
    for (Trouble& trouble : campaign.troubles) {
      if (trouble.kind == Kind::kAssign || trouble.lasts < absl::Seconds(1)) continue;
      const absl::Duration before = std::exchange(trouble.lasts, trouble.lasts / 2);
      if (Play(campaign).problems.empty()) {
        trouble.lasts = before;
      } else {
        smaller = true;
      }
    }
  }
  return campaign;
}

}  // namespace tandem::sim
