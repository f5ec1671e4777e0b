// The dry run of a rollout.
#include <map>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "fleet/controller/applied_check.h"
#include "fleet/controller/ring_filler.h"
#include "fleet/controller/rollout_operations.h"
#include "fleet/controller/rollout_spec.h"
#include "fleet/rollout/plan.h"
#include "fleet/store/release_table.h"
#include "fleet/store/rollout_table.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

constexpr int kExamples = 20;

void SetDuration(google::protobuf::Duration* to, absl::Duration duration) {
  to->set_seconds(absl::ToInt64Seconds(duration));
}

template <typename Named>
void Count(Named& named, const std::string& example) {
  named.set_units(named.units() + 1);
  if (named.examples_size() < kExamples) named.add_examples(example);
}

// Units of a ring that would get no order, by reason.
class Exclusions {
 public:
  Exclusions(StoreTransaction& tx, const OpenedRelease& release) : tx_(tx), release_(release) {}

  absl::Status Prepare() {
    ASSIGN_OR_RETURN(const std::vector<StopRow> rows, StopTable(tx_).List());
    for (const StopRow& row : rows) {
      ASSIGN_OR_RETURN(TargetExpression target, TargetExpression::Parse(row.target));
      stops_.emplace_back(absl::StrCat("held by stop ", row.number, ": ", row.reason), std::move(target));
    }
    return absl::OkStatus();
  }

  // Empty: it would get one.
  absl::StatusOr<std::string> Why(const UnitRecord& unit) {
    for (const auto& [reason, target] : stops_) {
      if (target.Matches(unit.attributes)) return reason;
    }
    bool runs_it = true;
    for (int plane = 0; plane < kPlanes; ++plane) {
      if (!Has(release_.row.planes, plane)) continue;
      runs_it = runs_it && unit.row.runs[plane] == release_.row.number;
    }
    if (runs_it) return "it runs the release already";
    unit::v1::Reported reported;
    ASSIGN_OR_RETURN(const std::string bytes, UnitTable(tx_).Reported(unit.row.number));
    if (!reported.ParseFromString(bytes)) return "its stored report cannot be read";
    const std::string& hardware = unit.attributes.hardware.empty() ? reported.hardware() : unit.attributes.hardware;
    return std::string(CheckEligible(release_.document, hardware, reported.components()).message());
  }

 private:
  StoreTransaction& tx_;
  const OpenedRelease& release_;
  std::vector<std::pair<std::string, TargetExpression>> stops_;
};

PlannedRing ForPlan(const v1::RolloutSpec& spec, const v1::RingSpec& ring, uint64_t units, uint64_t controls) {
  PlannedRing planned{.name = ring.name(), .units = units, .controls = controls, .gate = PolicyOf(ring.gate())};
  planned.units_per_minute = spec.units_per_minute();
  planned.max_in_flight = spec.max_in_flight();
  if (ring.max_in_flight() != 0 && (planned.max_in_flight == 0 || ring.max_in_flight() < planned.max_in_flight)) {
    planned.max_in_flight = ring.max_in_flight();
  }
  planned.score_age = absl::Seconds(spec.score_age().seconds());
  planned.attempt = std::min(planned.attempt, planned.score_age);
  return planned;
}

}  // namespace

absl::StatusOr<v1::RolloutPlan> RolloutOperations::Plan(StoreTransaction& tx, const v1::RolloutSpec& asked,
                                                        int64_t now) {
  ASSIGN_OR_RETURN(const v1::RolloutSpec spec, CompleteSpec(asked));
  RETURN_IF_ERROR(documents_.Refresh(tx));
  ASSIGN_OR_RETURN(const ReleaseRow row, ReleaseTable(tx).Find(spec.release()));
  ASSIGN_OR_RETURN(const std::shared_ptr<const OpenedRelease> release, documents_.Release(tx, row.number));
  v1::RolloutPlan view;
  view.set_release_id(row.release_id);
  view.set_release_digest(row.digest);
  if (row.frozen) view.add_warnings(absl::StrCat("the release is frozen: ", row.frozen_reason));
  if (const absl::Status assignable = documents_.CheckAssignable(*release, now); !assignable.ok()) {
    view.add_warnings(std::string(assignable.message()));
  }
  Exclusions exclusions(tx, *release);
  RETURN_IF_ERROR(exclusions.Prepare());
  std::map<std::string, v1::Exclusion> excluded;
  std::unordered_set<std::string> taken;
  std::vector<PlannedRing> planned;
  for (int i = 0; i < spec.rings_size(); ++i) {
    ASSIGN_OR_RETURN(const std::vector<RingMember> members,
                     ChooseMembers(tx, spec, row.digest, i,
                                   [&](const UnitRecord& unit) { return taken.contains(unit.row.unit_id); }));
    v1::PlannedRing& ring = *view.add_rings();
    ring.set_name(spec.rings(i).name());
    std::map<Stratum, uint64_t> strata;
    uint64_t controls = 0;
    for (const RingMember& member : members) {
      taken.insert(member.unit_id);
      ASSIGN_OR_RETURN(const UnitRecord unit, UnitTable(tx).GetRecord(member.unit_id));
      ASSIGN_OR_RETURN(const std::string why, exclusions.Why(unit));
      if (!why.empty()) {
        Count(excluded[why], member.unit_id);
        continue;
      }
      Count(ring, member.unit_id);
      ++strata[member.stratum];
      controls += member.control.empty() ? 0 : 1;
    }
    for (const auto& [stratum, units] : strata) {
      v1::StratumShare& share = *ring.add_strata();
      share.set_hardware(stratum.hardware);
      share.set_region(stratum.region);
      share.set_units(units);
    }
    view.set_units(view.units() + ring.units());
    planned.push_back(ForPlan(spec, spec.rings(i), ring.units(), controls));
  }
  for (auto& [reason, exclusion] : excluded) {
    exclusion.set_reason(reason);
    *view.add_excluded() = std::move(exclusion);
  }
  ASSIGN_OR_RETURN(const RolloutPlan plan, MakePlan(planned));
  for (int i = 0; i < view.rings_size(); ++i) {
    const RingPlan& from = plan.rings[static_cast<size_t>(i)];
    v1::PlannedRing& ring = *view.mutable_rings(i);
    SetDuration(ring.mutable_expected_duration(), from.duration);
    ring.set_bounded_by(std::string(Name(from.bound)));
    ring.set_smallest_detectable(from.smallest_regression.value_or(0));
    ring.mutable_warnings()->Add(from.warnings.begin(), from.warnings.end());
  }
  SetDuration(view.mutable_expected_duration(), plan.duration);
  if (view.units() == 0) view.add_warnings("no unit would get this release");
  return view;
}

}  // namespace tandem::fleet
