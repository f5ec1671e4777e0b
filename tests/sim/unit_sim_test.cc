// Campaigns against the real classes of a unit, on virtual time, on all cores. A seed that fails is made smaller and
// told as a story: TANDEM_SEED=<seed> runs it alone, TANDEM_SEEDS=<count> runs more of them, TANDEM_FIRST=<seed> begins
// elsewhere, TANDEM_WITHOUT=<mask> overrides what is left out (campaign.h), TANDEM_PROGRESS=1 tells how far it is.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/log/log.h"
#include "gtest/gtest.h"
#include "tests/sim/campaign.h"

namespace tandem::sim {
namespace {

// Half a minute. Of the seeds beyond, some are open: 3853, 7584, 8564, 10492.
constexpr uint64_t kDefaultSeeds = 3000;
constexpr size_t kMostFailures = 10;
// Other tests have deadlines, this one has none.
constexpr int kNiceness = 10;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

// What fails on purpose need not be logged.
absl::Status BeQuiet() {
  const char* const file = std::getenv("TANDEM_LOG");
  LogOptions quiet;
  quiet.level = file == nullptr ? "error" : "debug";
  quiet.file = file == nullptr ? "/dev/null" : file;
  return InitLog(quiet);
}

void TellStory(const Campaign& campaign) {
  for (const Trouble& trouble : campaign.troubles) std::cout << "  " << Describe(trouble) << "\n";
  for (const std::string& line : Play(campaign, /*tells=*/true).story) std::cout << line << "\n";
}

struct Seeds {
  uint64_t first = 1;
  uint64_t count = 0;
  uint32_t without = 0;

  uint64_t end() const { return first + count; }
};

// Of all campaigns, whoever played them.
struct Tally {
  uint64_t played = 0;
  std::map<std::string, uint64_t> ends;
  absl::Duration virtual_time;
  // What was wrong, by seed.
  std::map<uint64_t, std::string> failures;
};

// Several processes play every n-th campaign each, and tell of each in a line of one pipe. A campaign follows from its
// seed alone, so who plays it does not matter.
class Players {
 public:
  Players(const Seeds& seeds, size_t processes) : seeds_(seeds), next_(processes), pids_(processes) {}

  Tally Play() {
    int ends[2] = {};
    EXPECT_EQ(pipe(ends), 0);
    std::cout.flush();
    for (size_t i = 0; i < pids_.size(); ++i) {
      next_[i] = seeds_.first + i;
      pids_[i] = fork();
      if (pids_[i] == 0) {
        close(ends[0]);
        PlayShare(i, ends[1]);
        _exit(0);
      }
      EXPECT_GT(pids_[i], 0);
    }
    close(ends[1]);
    std::FILE* const lines = fdopen(ends[0], "r");
    std::string line;
    for (int c = std::fgetc(lines); c != EOF; c = std::fgetc(lines)) {
      if (c != '\n') {
        line.push_back(static_cast<char>(c));
        continue;
      }
      Take(line);
      line.clear();
    }
    std::fclose(lines);
    for (size_t i = 0; i < pids_.size(); ++i) Reap(i);
    return tally_;
  }

 private:
  // In a process of its own.
  void PlayShare(size_t number, int to) {
    (void)!nice(kNiceness);
    size_t failures = 0;
    for (uint64_t seed = seeds_.first + number; seed < seeds_.end(); seed += pids_.size()) {
      const CampaignResult result = sim::Play(MakeCampaign(seed, seeds_.without));
      std::string problem = result.problems.empty() ? "" : result.problems.front().substr(0, 2000);
      problem = absl::StrReplaceAll(problem, {{"\n", " "}, {"\t", " "}});
      // Short enough to arrive in one piece.
      const std::string line = absl::StrCat(number, "\t", seed, "\t", absl::ToInt64Milliseconds(result.took), "\t",
                                            result.end, "\t", problem, "\n");
      if (write(to, line.data(), line.size()) != static_cast<ssize_t>(line.size())) return;
      if (!problem.empty() && ++failures == kMostFailures) return;
    }
  }

  void Take(const std::string& line) {
    const std::vector<std::string> parts = absl::StrSplit(line, '\t');
    size_t number = 0;
    uint64_t seed = 0;
    int64_t took = 0;
    if (parts.size() != 5 || !absl::SimpleAtoi(parts[0], &number) || number >= next_.size() ||
        !absl::SimpleAtoi(parts[1], &seed) || !absl::SimpleAtoi(parts[2], &took)) {
      ADD_FAILURE() << "what is \"" << line << "\"?";
      return;
    }
    next_[number] = seed + pids_.size();
    ++tally_.played;
    ++tally_.ends[parts[3]];
    tally_.virtual_time += absl::Milliseconds(took);
    if (!parts[4].empty()) tally_.failures[seed] = parts[4];
    if (progress_) TellProgress();
  }

  void TellProgress() {
    const absl::Duration runs = absl::Now() - began_;
    if (runs - told_ < absl::Seconds(5)) return;
    told_ = runs;
    std::cerr << tally_.played << " of " << seeds_.count << " campaigns, "
              << static_cast<uint64_t>(static_cast<double>(tally_.played) / absl::ToDoubleSeconds(runs))
              << " a second\n";
  }

  void Reap(size_t number) {
    int status = 0;
    if (waitpid(pids_[number], &status, 0) == pids_[number] && WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
    tally_.failures[next_[number]] = "the program ended in the middle of it";
  }

  const Seeds seeds_;
  // The seed that each of them plays now.
  std::vector<uint64_t> next_;
  std::vector<pid_t> pids_;
  const bool progress_ = std::getenv("TANDEM_PROGRESS") != nullptr;
  const absl::Time began_ = absl::Now();
  absl::Duration told_;
  Tally tally_;
};

void TellFailures(const Seeds& seeds, const Tally& tally) {
  size_t told = 0;
  for (const auto& [seed, problem] : tally.failures) {
    ADD_FAILURE() << "TANDEM_SEED=" << seed << ": " << problem;
    if (++told == kMostFailures) break;
  }
  if (!tally.failures.empty()) TellStory(Shrink(MakeCampaign(tally.failures.begin()->first, seeds.without)));
}

TEST(UnitSim, EveryCampaignEndsAsOne) {
  ASSERT_TRUE(BeQuiet().ok());
  const auto without = static_cast<uint32_t>(FromEnvironment("TANDEM_WITHOUT", kKnownNow));
  if (const uint64_t only = FromEnvironment("TANDEM_SEED", 0); only != 0) {
    const Campaign campaign = MakeCampaign(only, without);
    TellStory(campaign);
    for (const std::string& problem : Play(campaign).problems) ADD_FAILURE() << problem;
    return;
  }
  const Seeds seeds{.first = FromEnvironment("TANDEM_FIRST", 1),
                    .count = FromEnvironment("TANDEM_SEEDS", kDefaultSeeds),
                    .without = without};
  Tally tally = Players(seeds, std::max(std::thread::hardware_concurrency(), 1U)).Play();
  for (const auto& [end, times] : tally.ends) std::cout << end << ": " << times << "\n";
  if (tally.played > 0) {
    std::cout << "virtual time: " << absl::FormatDuration(tally.virtual_time / static_cast<int64_t>(tally.played))
              << " each\n";
  }
  TellFailures(seeds, tally);
  if (!tally.failures.empty()) return;
  EXPECT_EQ(tally.played, seeds.count);
  if (seeds.count < 1000) return;
  // A simulation that never gets far proves nothing.
  EXPECT_GT(tally.ends["applied"], seeds.count / 3);
  EXPECT_GT(tally.ends["reverted"], seeds.count / 20);
}

}  // namespace
}  // namespace tandem::sim
