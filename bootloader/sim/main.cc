// tandem-boot-sim: cuts the power of simulated units everywhere, and counts.
#include <cstdint>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "bootloader/sim/explorer.h"

namespace {

using namespace tandem::boot::sim;

constexpr char kExamples[] = R"(
The real boot record, slot policy and boot control work on models of flash; the power goes in the middle of every erase,
program, write and sync, torn in every way that the medium allows, and the unit goes on from what is left. First every
single cut, without exception, then cuts in a row at random places, until the number that was asked for is reached.

Examples:
  tandem-boot-sim                                     # every single cut, and up to 100,000
  tandem-boot-sim --cuts 1000000 --seed 7             # the long campaign
  tandem-boot-sim --broken does-not-count             # a policy that is wrong on purpose: it must be found, exit 1
  tandem-boot-sim --medium nor/4/ff --campaign two-good --replay 12.3/5.1

Exit codes: 0 no unit was lost, 1 one was, 2 usage.)";

struct Options {
  uint64_t cuts = 100000;
  uint64_t seed = 1;
  std::string medium;
  std::string campaign;
  std::string broken = "nothing";
  std::string replay;
};

std::vector<std::string> Names(bool media) {
  std::vector<std::string> names;
  if (media) {
    for (const Medium& medium : AllMedia()) names.push_back(medium.Name());
  } else {
    for (const Campaign& campaign : Campaigns()) names.push_back(campaign.name);
  }
  return names;
}

std::vector<std::string> BrokenNames() {
  std::vector<std::string> names = {BrokenName(Broken::kNothing)};
  for (const Broken broken : kAllBroken) names.push_back(BrokenName(broken));
  return names;
}

Broken ToBroken(const std::string& name) {
  for (const Broken broken : kAllBroken) {
    if (BrokenName(broken) == name) return broken;
  }
  return Broken::kNothing;
}

struct Scenario {
  Medium medium;
  Campaign campaign;
};

std::vector<Scenario> Chosen(const Options& options) {
  std::vector<Scenario> chosen;
  for (const Medium& medium : AllMedia()) {
    if (!options.medium.empty() && medium.Name() != options.medium) continue;
    for (const Campaign& campaign : Campaigns()) {
      if (options.campaign.empty() || campaign.name == options.campaign) chosen.push_back({medium, campaign});
    }
  }
  return chosen;
}

int Report(const Scenario& scenario, const Options& options, const Finding& finding) {
  std::cout << absl::StreamFormat(
      "LOST: %s\n  medium %s, campaign %s, cuts %s\n  see it again: tandem-boot-sim --medium %s --campaign %s%s%s\n",
      finding.violation, scenario.medium.Name(), scenario.campaign.name,
      finding.cuts.empty() ? "none" : CutsText(finding.cuts), scenario.medium.Name(), scenario.campaign.name,
      finding.cuts.empty() ? "" : " --replay " + CutsText(finding.cuts),
      options.broken == "nothing" ? "" : " --broken " + options.broken);
  return 1;
}

void Print(const std::string& what, const Totals& totals, absl::Duration took) {
  std::cout << absl::StreamFormat("%-34s %10d %10d %10d %8.1f s %9.0f\n", what, totals.cuts, totals.campaigns,
                                  totals.boots, absl::ToDoubleSeconds(took),
                                  static_cast<double>(totals.cuts) / absl::ToDoubleSeconds(took));
  std::cout.flush();
}

void Add(Totals& sum, const Totals& more) {
  sum.cuts += more.cuts;
  sum.campaigns += more.campaigns;
  sum.boots += more.boots;
}

int Replay(const Options& options) {
  const absl::StatusOr<std::vector<Cut>> cuts = ParseCuts(options.replay);
  if (!cuts.ok() || options.medium.empty() || options.campaign.empty()) {
    std::cerr << "tandem-boot-sim: --replay: "
              << (cuts.ok() ? "needs --medium and --campaign" : std::string(cuts.status().message())) << "\n";
    return 2;
  }
  const Scenario scenario = Chosen(options).at(0);
  Totals totals;
  const std::optional<Finding> finding =
      Explorer(scenario.medium, scenario.campaign, ToBroken(options.broken)).Replay(*cuts, totals);
  if (finding.has_value()) return Report(scenario, options, *finding);
  if (totals.cuts < cuts->size()) {
    std::cerr << absl::StreamFormat("tandem-boot-sim: only %d of %d cuts came about: the campaign has fewer changes\n",
                                    totals.cuts, cuts->size());
    return 2;
  }
  std::cout << absl::StreamFormat("the unit came through: %d cuts, %d boots\n", totals.cuts, totals.boots);
  return 0;
}

int Explore(const Options& options) {
  const Broken broken = ToBroken(options.broken);
  const std::vector<Scenario> chosen = Chosen(options);
  std::cout << absl::StreamFormat("%-34s %10s %10s %10s %10s %9s\n", "MEDIUM AND CAMPAIGN", "CUTS", "CAMPAIGNS",
                                  "BOOTS", "TIME", "CUTS/S");
  Totals sum;
  const absl::Time begin = absl::Now();
  for (const Scenario& scenario : chosen) {
    Totals totals;
    const absl::Time start = absl::Now();
    const std::optional<Finding> finding = Explorer(scenario.medium, scenario.campaign, broken).CutEverywhere(totals);
    Add(sum, totals);
    Print(scenario.medium.Name() + " " + scenario.campaign.name, totals, absl::Now() - start);
    if (finding.has_value()) return Report(scenario, options, *finding);
  }
  Print("every single cut", sum, absl::Now() - begin);
  // Two, then three in a row, each scenario in turn, until there are enough.
  constexpr uint64_t kRound = 500;
  Totals rows;
  const absl::Time rows_begin = absl::Now();
  for (uint64_t round = 0; sum.cuts + rows.cuts < options.cuts; ++round) {
    const Scenario& scenario = chosen[round % chosen.size()];
    const int in_a_row = 2 + static_cast<int>(round / chosen.size() % 2);
    const std::optional<Finding> finding =
        Explorer(scenario.medium, scenario.campaign, broken).CutAtRandom(options.seed + round, kRound, in_a_row, rows);
    if (finding.has_value()) return Report(scenario, options, *finding);
  }
  if (rows.cuts > 0) {
    Print(absl::StrFormat("two and three in a row, seed %d", options.seed), rows, absl::Now() - rows_begin);
    Add(sum, rows);
  }
  std::cout << absl::StreamFormat(
      "%d power cuts, %d units: none was left that does not boot, lost its confirmed slot, or confirmed what was not "
      "checked.\n",
      sum.cuts, sum.campaigns);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Cuts the power of simulated units at every change of their flash, and inside it.", "tandem-boot-sim");
  app.footer(kExamples);
  app.set_version_flag("--version", TANDEM_VERSION);
  Options options;
  app.add_option("--cuts", options.cuts, "Go on at random until the power was cut this often")
      ->capture_default_str()
      ->check(CLI::Range(uint64_t{0}, uint64_t{1000000000000}));
  app.add_option("--seed", options.seed, "Of the random places")->capture_default_str();
  app.add_option("--medium", options.medium, "Only this one")->check(CLI::IsMember(Names(/*media=*/true)));
  app.add_option("--campaign", options.campaign, "Only this one")->check(CLI::IsMember(Names(/*media=*/false)));
  app.add_option("--broken", options.broken, "Run a variant that is wrong on purpose")
      ->check(CLI::IsMember(BrokenNames()))
      ->capture_default_str();
  app.add_option("--replay", options.replay, "Only these cuts, CHANGE.TEAR/CHANGE.TEAR");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return options.replay.empty() ? Explore(options) : Replay(options);
}
