// Campaigns against the real classes of a unit, on virtual time. A seed that fails is made smaller and told as a story:
// TANDEM_SEED=<seed> runs it alone, TANDEM_SEEDS=<count> runs more of them, TANDEM_FIRST=<seed> begins elsewhere,
// TANDEM_WITHOUT=<mask> overrides what is left out (campaign.h).
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include "common/log/log.h"
#include "gtest/gtest.h"
#include "tests/sim/campaign.h"

namespace tandem::sim {
namespace {

// About a minute, optimised; sanitizers look at fewer, ten times as closely.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kDefaultSeeds = 1000;
#else
constexpr uint64_t kDefaultSeeds = 5'000;
#endif

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

void TellStory(const Campaign& campaign) {
  for (const Trouble& trouble : campaign.troubles) std::cout << "  " << Describe(trouble) << "\n";
  for (const std::string& line : Play(campaign, /*tells=*/true).story) std::cout << line << "\n";
}

TEST(UnitSim, EveryCampaignEndsAsOne) {
  const uint64_t only = FromEnvironment("TANDEM_SEED", 0);
  const uint64_t first = only != 0 ? only : FromEnvironment("TANDEM_FIRST", 1);
  const uint64_t count = only != 0 ? 1 : FromEnvironment("TANDEM_SEEDS", kDefaultSeeds);
  const uint32_t without = static_cast<uint32_t>(FromEnvironment("TANDEM_WITHOUT", kKnownNow));
  // What fails on purpose need not be logged.
  LogOptions quiet;
  quiet.level = "error";
  quiet.file = std::getenv("TANDEM_LOG") != nullptr ? std::getenv("TANDEM_LOG") : "/dev/null";
  if (std::getenv("TANDEM_LOG") != nullptr) quiet.level = "debug";
  ASSERT_TRUE(InitLog(quiet).ok());
  std::map<std::string, uint64_t> ends;
  int failures = 0;
  absl::Duration virtual_time;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const Campaign campaign = MakeCampaign(seed, without);
    const CampaignResult result = Play(campaign);
    ++ends[result.end];
    virtual_time += result.took;
    if (only != 0) TellStory(campaign);
    if (result.problems.empty()) continue;
    ADD_FAILURE() << "TANDEM_SEED=" << seed << ": " << result.problems.front();
    if (++failures == 1 && only == 0) TellStory(Shrink(campaign));
    if (failures == 10) break;
  }
  for (const auto& [end, times] : ends) std::cout << end << ": " << times << "\n";
  std::cout << "virtual time: " << absl::FormatDuration(virtual_time / static_cast<int64_t>(count)) << " each\n";
  if (only != 0 || failures > 0 || count < 1000) return;
  // A simulation that never gets far proves nothing.
  EXPECT_GT(ends["applied"], count / 3);
  EXPECT_GT(ends["reverted"], count / 20);
}

}  // namespace
}  // namespace tandem::sim
