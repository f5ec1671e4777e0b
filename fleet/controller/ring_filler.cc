#include "fleet/controller/ring_filler.h"

#include <map>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/store/attempt_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

constexpr int kUnitsAtOnce = 5000;
constexpr size_t kMembersPerTransaction = 500;

Stratum StratumOf(const UnitAttributes& unit) { return {.hardware = unit.hardware, .region = unit.region}; }

// Each unit that the ring may have, in pages.
absl::Status ForEachUnit(StoreTransaction& tx, const RingTarget& target,
                         const std::function<void(const UnitRecord&)>& each) {
  UnitTable units(tx);
  int64_t after = 0;
  for (bool more = true; more;) {
    more = false;
    RETURN_IF_ERROR(units.Scan(after, kUnitsAtOnce, [&](UnitRecord&& unit) {
      more = true;
      after = unit.row.number;
      if (!unit.row.revoked && target.Matches(unit.attributes)) each(unit);
    }));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ChosenUnit>> ChooseControls(StoreTransaction& tx, const RingTarget& target,
                                                       const std::string& release_digest,
                                                       const std::vector<ChosenUnit>& members,
                                                       const IsTaken& is_taken) {
  std::unordered_set<std::string> chosen;
  for (const ChosenUnit& member : members) chosen.insert(member.unit_id);
  LowestPositions controls(ControlQuotas(members), release_digest);
  RETURN_IF_ERROR(ForEachUnit(tx, target, [&](const UnitRecord& unit) {
    if (chosen.contains(unit.row.unit_id) || is_taken(unit)) return;
    controls.Offer(StratumOf(unit.attributes), unit.row.unit_id);
  }));
  return controls.Take();
}

}  // namespace

absl::StatusOr<std::vector<RingMember>> ChooseMembers(StoreTransaction& tx, const v1::RolloutSpec& spec,
                                                      const std::string& release_digest, int ring,
                                                      const IsTaken& is_taken) {
  ASSIGN_OR_RETURN(const RingTarget target, RingTarget::Parse(spec, ring));
  const v1::RingSpec& ring_spec = spec.rings(ring);
  StratumCounts counts;
  RETURN_IF_ERROR(ForEachUnit(tx, target, [&](const UnitRecord& unit) {
    StratumCount& count = counts[StratumOf(unit.attributes)];
    ++count.units;
    if (is_taken(unit)) ++count.taken;
  }));
  RingShare share{.cumulative_percent = ring_spec.percent()};
  if (ring_spec.max_units() != 0) share.max_units = ring_spec.max_units();
  ASSIGN_OR_RETURN(Quotas quotas, RingQuotas(counts, share));
  LowestPositions lowest(std::move(quotas), release_digest);
  RETURN_IF_ERROR(ForEachUnit(tx, target, [&](const UnitRecord& unit) {
    if (!is_taken(unit)) lowest.Offer(StratumOf(unit.attributes), unit.row.unit_id);
  }));
  const std::vector<ChosenUnit> chosen = lowest.Take();
  std::map<std::string, std::string> controls;
  if (ring_spec.gate().has_statistical()) {
    ASSIGN_OR_RETURN(const std::vector<ChosenUnit> units, ChooseControls(tx, target, release_digest, chosen, is_taken));
    for (const ControlPair& pair : PairWithControls(chosen, units)) controls[pair.member] = pair.control;
  }
  std::vector<RingMember> members;
  members.reserve(chosen.size());
  for (const ChosenUnit& unit : chosen) {
    const auto control = controls.find(unit.unit_id);
    members.push_back({.unit_id = unit.unit_id,
                       .stratum = unit.stratum,
                       .control = control == controls.end() ? "" : control->second});
  }
  return members;
}

absl::StatusOr<int64_t> JoinNewcomers(StoreTransaction& tx, const RolloutRow& rollout, const v1::RolloutSpec& spec,
                                      int64_t last_unit, int64_t now) {
  if (rollout.ring + 1 != spec.rings_size()) return 0;
  ASSIGN_OR_RETURN(const RingTarget target, RingTarget::Parse(spec, static_cast<int>(rollout.ring)));
  std::vector<int64_t> newcomers;
  int64_t after = last_unit;
  for (bool more = true; more;) {
    more = false;
    RETURN_IF_ERROR(UnitTable(tx).Scan(after, kUnitsAtOnce, [&](UnitRecord&& unit) {
      more = true;
      after = unit.row.number;
      if (!unit.row.revoked && target.Matches(unit.attributes)) newcomers.push_back(unit.row.number);
    }));
  }
  int64_t joined = 0;
  for (const int64_t unit : newcomers) {
    ASSIGN_OR_RETURN(const std::optional<int64_t> number, AttemptTable(tx).Add({.rollout = rollout.number,
                                                                                .ring = rollout.ring,
                                                                                .unit = unit,
                                                                                .reason = "joined the target",
                                                                                .tries = 1,
                                                                                .created_at = now,
                                                                                .changed_at = now}));
    joined += number.has_value() ? 1 : 0;
  }
  return joined;
}

absl::StatusOr<FilledRing> FillRing(Store& store, const RolloutRow& rollout, const v1::RolloutSpec& spec,
                                    const std::string& release_digest, int64_t now) {
  std::vector<RingMember> members;
  FilledRing filled;
  int64_t stored = 0;
  const absl::Status read = store.Read("choose the members of a ring", [&](StoreTransaction& tx) -> absl::Status {
    // Of this ring too: what an earlier, unfinished filling has made.
    std::unordered_set<int64_t> taken;
    stored = 0;
    RETURN_IF_ERROR(tx.sql.Query("SELECT COALESCE(MAX(number), 0) FROM units", {},
                                 [&](const SqlRow& row) { filled.last_unit = row.Int(0); }));
    RETURN_IF_ERROR(tx.sql.Query("SELECT unit, ring FROM attempts WHERE rollout = ?1 AND kind = 0", {rollout.number},
                                 [&](const SqlRow& row) {
                                   taken.insert(row.Int(0));
                                   stored += row.Int(1) == rollout.ring ? 1 : 0;
                                 }));
    ASSIGN_OR_RETURN(members, ChooseMembers(tx, spec, release_digest, static_cast<int>(rollout.ring),
                                            [&](const UnitRecord& unit) { return taken.contains(unit.row.number); }));
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(read);
  int64_t made = 0;
  for (size_t begin = 0; begin < members.size(); begin += kMembersPerTransaction) {
    const size_t end = std::min(members.size(), begin + kMembersPerTransaction);
    int64_t of_these = 0;
    const absl::Status written = store.Write("fill a ring", [&](StoreTransaction& tx) -> absl::Status {
      of_these = 0;
      for (size_t i = begin; i < end; ++i) {
        ASSIGN_OR_RETURN(const UnitRow unit, UnitTable(tx).Get(members[i].unit_id, /*lock=*/false));
        AttemptRow attempt{.rollout = rollout.number,
                           .ring = rollout.ring,
                           .unit = unit.number,
                           .tries = 1,
                           .created_at = now,
                           .changed_at = now};
        if (!members[i].control.empty()) {
          ASSIGN_OR_RETURN(const UnitRow control, UnitTable(tx).Get(members[i].control, /*lock=*/false));
          attempt.control = control.number;
        }
        ASSIGN_OR_RETURN(const std::optional<int64_t> number, AttemptTable(tx).Add(attempt));
        of_these += number.has_value() ? 1 : 0;
      }
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(written);
    made += of_these;
  }
  filled.members = stored + made;
  return filled;
}

}  // namespace tandem::fleet
