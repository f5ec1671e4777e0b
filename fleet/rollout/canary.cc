#include "fleet/rollout/canary.h"

#include <algorithm>
#include <cmath>
#include <queue>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"

namespace tandem::fleet {
namespace {

void AppendUint64(uint64_t value, std::string& out) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

void AppendField(std::string_view field, std::string& out) {
  AppendUint64(field.size(), out);
  out.append(field);
}

uint64_t ReadUint64(std::string_view bytes) {
  uint64_t value = 0;
  for (const char c : bytes.substr(0, 8)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

uint64_t Need(const StratumCount& count, double percent) {
  if (percent <= 0 || count.units == 0) return 0;
  const auto share = static_cast<uint64_t>(std::llround(static_cast<double>(count.units) * percent / 100));
  const uint64_t target = std::min(std::max<uint64_t>(share, 1), count.units);
  return target > count.taken ? target - count.taken : 0;
}

// A stratum that asks for its next place.
struct Claim {
  Stratum stratum;
  uint64_t units = 0;
  uint64_t have = 0;
  uint64_t need = 0;

  // For a heap whose top is the claim to be served first.
  bool operator<(const Claim& other) const {
    if ((have == 0) != (other.have == 0)) return other.have == 0;
    const auto mine = static_cast<long double>(units) * (2 * static_cast<long double>(other.have) + 1);
    const auto theirs = static_cast<long double>(other.units) * (2 * static_cast<long double>(have) + 1);
    return mine != theirs ? mine < theirs : other.stratum < stratum;
  }
};

Quotas ShareOut(std::priority_queue<Claim> claims, uint64_t places) {
  Quotas quotas;
  for (; places > 0 && !claims.empty(); --places) {
    Claim claim = claims.top();
    claims.pop();
    ++quotas[claim.stratum];
    ++claim.have;
    if (--claim.need > 0) claims.push(std::move(claim));
  }
  return quotas;
}

}  // namespace

uint64_t UnitPosition(std::string_view unit_id, std::string_view release_digest) {
  std::string fields;
  fields.reserve(16 + unit_id.size() + release_digest.size());
  AppendField(unit_id, fields);
  AppendField(release_digest, fields);
  return ReadUint64(Sha256(fields));
}

absl::StatusOr<Quotas> RingQuotas(const StratumCounts& counts, const RingShare& share) {
  if (!(share.cumulative_percent >= 0 && share.cumulative_percent <= 100)) {
    return absl::InvalidArgumentError(absl::StrCat("a ring of ", share.cumulative_percent,
                                                   " % of the target: write the cumulative percentage, 0 to 100"));
  }
  Quotas quotas;
  uint64_t total = 0;
  std::priority_queue<Claim> claims;
  for (const auto& [stratum, count] : counts) {
    const uint64_t need = Need(count, share.cumulative_percent);
    if (need == 0) continue;
    quotas[stratum] = need;
    total += need;
    claims.push(Claim{stratum, count.units, count.taken, need});
  }
  if (!share.max_units.has_value() || total <= *share.max_units) return quotas;
  return ShareOut(std::move(claims), *share.max_units);
}

Quotas ControlQuotas(const std::vector<ChosenUnit>& members) {
  Quotas quotas;
  for (const ChosenUnit& member : members) ++quotas[member.stratum];
  return quotas;
}

LowestPositions::LowestPositions(Quotas quotas, std::string release_digest)
    : release_digest_(std::move(release_digest)) {
  for (const auto& [stratum, quota] : quotas) strata_[stratum].quota = quota;
}

void LowestPositions::Offer(const Stratum& stratum, std::string_view unit_id) {
  const auto it = strata_.find(stratum);
  if (it == strata_.end() || it->second.quota == 0) return;
  auto& [quota, units] = it->second;
  const uint64_t position = UnitPosition(unit_id, release_digest_);
  if (units.size() == quota) {
    const auto& [highest, highest_id] = units.front();
    if (position > highest || (position == highest && unit_id >= highest_id)) return;
    std::ranges::pop_heap(units);
    units.pop_back();
  }
  units.emplace_back(position, unit_id);
  std::ranges::push_heap(units);
}

std::vector<ChosenUnit> LowestPositions::Take() {
  std::vector<ChosenUnit> chosen;
  for (auto& [stratum, heap] : strata_) {
    for (auto& [position, unit_id] : heap.units) chosen.push_back({position, std::move(unit_id), stratum});
  }
  strata_.clear();
  std::ranges::sort(chosen);
  return chosen;
}

std::vector<ControlPair> PairWithControls(const std::vector<ChosenUnit>& members,
                                          const std::vector<ChosenUnit>& controls) {
  std::map<Stratum, std::queue<const ChosenUnit*>> free;
  for (const ChosenUnit& control : controls) free[control.stratum].push(&control);
  std::vector<ControlPair> pairs;
  for (const ChosenUnit& member : members) {
    auto& left = free[member.stratum];
    if (left.empty()) continue;
    pairs.push_back({member.unit_id, left.front()->unit_id});
    left.pop();
  }
  return pairs;
}

}  // namespace tandem::fleet
