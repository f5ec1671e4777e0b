#include "bootloader/sim/explorer.h"

#include <random>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace tandem::boot::sim {

Explorer::Explorer(const Medium& medium, const Campaign& campaign, Broken broken)
    : campaign_(campaign), broken_(broken), unit_(MakeSimUnit(medium, broken, power_)), factory_(unit_->Save()) {}

std::optional<Finding> Explorer::RunFrom(const Snapshot& from, std::optional<Cut> cut, const std::vector<Cut>& path,
                                         Snapshot& after, Totals& totals) {
  unit_->Restore(from.medium);
  after.state = from.state;
  power_.On(cut);
  const Outcome outcome = RunCampaign(campaign_, broken_, *unit_, power_, after.state);
  totals.boots += outcome.boots;
  if (outcome.kind == Outcome::Kind::kViolation) return Finding{outcome.violation, path};
  if (outcome.kind == Outcome::Kind::kDone) ++totals.campaigns;
  if (outcome.kind == Outcome::Kind::kPowerCut) ++totals.cuts;
  after.ways = power_.TakeWays();
  after.medium = unit_->Save();
  return std::nullopt;
}

std::optional<Finding> Explorer::LookAhead(Snapshot& from, const std::vector<Cut>& path, Totals& totals) {
  Snapshot end;
  std::optional<Finding> finding = RunFrom(from, std::nullopt, path, end, totals);
  from.ways = std::move(end.ways);
  return finding;
}

std::optional<Finding> Explorer::Begin(Snapshot& start, Totals& totals) {
  start.medium = factory_;
  start.state = CampaignState();
  return LookAhead(start, {}, totals);
}

std::optional<Finding> Explorer::CutEverywhere(Totals& totals) {
  Snapshot start;
  if (std::optional<Finding> finding = Begin(start, totals)) return finding;
  for (uint32_t change = 0; change < start.ways.size(); ++change) {
    for (uint32_t tear = 0; tear < start.ways[change]; ++tear) {
      const std::vector<Cut> path = {{change, tear}};
      Snapshot after;
      if (std::optional<Finding> finding = RunFrom(start, path[0], path, after, totals)) return finding;
      if (std::optional<Finding> finding = LookAhead(after, path, totals)) return finding;
    }
  }
  return std::nullopt;
}

std::optional<Finding> Explorer::CutAtRandom(uint64_t seed, uint64_t campaigns, int cuts, Totals& totals) {
  std::mt19937_64 random(seed);
  const auto draw = [&](size_t below) { return static_cast<uint32_t>(random() % below); };
  Snapshot start;
  if (std::optional<Finding> finding = Begin(start, totals)) return finding;
  for (uint64_t i = 0; i < campaigns; ++i) {
    Snapshot now = start;
    std::vector<Cut> path;
    for (int cut = 0; cut < cuts && !now.ways.empty(); ++cut) {
      // Soon after a power-on it is most delicate: the bootloader writes.
      const size_t within = cut > 0 && random() % 2 == 0 ? std::min<size_t>(now.ways.size(), 4) : now.ways.size();
      const uint32_t change = draw(within);
      path.push_back({change, draw(now.ways[change])});
      Snapshot after;
      if (std::optional<Finding> finding = RunFrom(now, path.back(), path, after, totals)) return finding;
      if (std::optional<Finding> finding = LookAhead(after, path, totals)) return finding;
      now = std::move(after);
    }
  }
  return std::nullopt;
}

std::optional<Finding> Explorer::Replay(const std::vector<Cut>& cuts, Totals& totals) {
  Snapshot now;
  if (std::optional<Finding> finding = Begin(now, totals)) return finding;
  std::vector<Cut> path;
  for (const Cut& cut : cuts) {
    path.push_back(cut);
    Snapshot after;
    if (std::optional<Finding> finding = RunFrom(now, cut, path, after, totals)) return finding;
    now = std::move(after);
  }
  return LookAhead(now, path, totals);
}

std::string CutsText(const std::vector<Cut>& cuts) {
  return absl::StrJoin(cuts, "/",
                       [](std::string* out, const Cut& cut) { absl::StrAppend(out, cut.change, ".", cut.tear); });
}

absl::StatusOr<std::vector<Cut>> ParseCuts(const std::string& text) {
  std::vector<Cut> cuts;
  for (const auto part : absl::StrSplit(text, '/', absl::SkipEmpty())) {
    const std::vector<std::string> numbers = absl::StrSplit(part, '.');
    Cut cut;
    if (numbers.size() != 2 || !absl::SimpleAtoi(numbers[0], &cut.change) || !absl::SimpleAtoi(numbers[1], &cut.tear)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", part, "\" is no cut; write CHANGE.TEAR, such as 12.3"));
    }
    cuts.push_back(cut);
  }
  return cuts;
}

}  // namespace tandem::boot::sim
