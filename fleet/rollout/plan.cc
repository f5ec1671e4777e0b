#include "fleet/rollout/plan.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

// Of a gate that counts failures; a statistical one has its beta.
constexpr double kFoundWith = 0.9;
// A statistical gate that promotes a good release less often than this is worth a warning.
constexpr double kOftenPromoted = 0.8;

bool IsStatistical(const PlannedRing& ring) {
  return ring.gate.failure_policy == GatePolicy::FailurePolicy::kStatistical;
}

absl::Status CheckRing(const PlannedRing& ring) {
  RETURN_IF_ERROR(Check(ring.gate));
  if (!(ring.units_per_minute >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("units_per_minute = ", ring.units_per_minute, ": write 0 for no limit, or a rate above 0"));
  }
  if (ring.attempt < absl::ZeroDuration() || ring.score_age < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("the duration of an attempt and the age of a score cannot be negative");
  }
  return absl::OkStatus();
}

absl::Duration ByRate(const PlannedRing& ring) {
  if (ring.units_per_minute <= 0 || ring.units == 0) return absl::ZeroDuration();
  return absl::Minutes(1) * (static_cast<double>(ring.units - 1) / ring.units_per_minute);
}

absl::Duration ByInFlight(const PlannedRing& ring) {
  if (ring.max_in_flight == 0 || ring.units == 0) return absl::ZeroDuration();
  return ring.attempt * static_cast<double>((ring.units - 1) / ring.max_in_flight);
}

void PlanDuration(const PlannedRing& ring, RingPlan& plan) {
  if (ring.units == 0) return;
  const absl::Duration rate = ByRate(ring);
  const absl::Duration in_flight = ByInFlight(ring);
  const std::pair<absl::Duration, DurationBound> parts[] = {
      {std::max(ring.score_age, ring.attempt), DurationBound::kScoreAge},
      rate >= in_flight ? std::pair(rate, DurationBound::kRate) : std::pair(in_flight, DurationBound::kInFlight),
      {ring.gate.rehearsals > 0 ? 2 * ring.attempt : absl::ZeroDuration(), DurationBound::kRehearsals},
      {ring.gate.stability_window, DurationBound::kStabilityWindow},
  };
  for (const auto& [part, bound] : parts) plan.duration += part;
  plan.bound = std::ranges::max_element(parts, {}, [](const auto& part) { return part.first; })->second;
}

void PlanStatistics(const PlannedRing& ring, RingPlan& plan) {
  plan.required = CleanPassesToPromote(ring.gate.sprt);
  plan.smallest_regression = SmallestDetectableRegression(ring.gate.sprt, ring.units);
  plan.promoted_at_p0 = Characteristic(ring.gate.sprt, ring.gate.sprt.p0, ring.units).promote;
  if (ring.units < plan.required) {
    plan.warnings.push_back(absl::StrCat("too small to decide: a promotion needs ", plan.required,
                                         " clean passes, the ring has ", ring.units, " units"));
  } else if (plan.promoted_at_p0 < kOftenPromoted) {
    plan.warnings.push_back(absl::StrFormat(
        "often too small to decide: a release that fails at p0 = %.3g %% is promoted in %.0f %% of cases, and else "
        "held until an operator decides",
        ring.gate.sprt.p0 * 100, plan.promoted_at_p0 * 100));
  }
  if (ring.controls < ring.units - ring.units / 2) {
    plan.warnings.push_back(absl::StrCat(ring.controls, " controls for ", ring.units,
                                         " units: a fleet-wide shock would be blamed on the release; at least every "
                                         "second unit needs one"));
  }
}

void PlanCounting(const PlannedRing& ring, RingPlan& plan) {
  RingCounts counts;
  counts.members = ring.units;
  plan.required = Decide(ring.gate, counts).evidence.required;
  plan.smallest_regression = SmallestRateFound(ring.units, ring.gate.failure_threshold, kFoundWith);
}

void WarnOfRing(const PlannedRing& ring, RingPlan& plan) {
  if (ring.units < ring.gate.min_units) {
    plan.warnings.push_back(
        absl::StrCat("cannot be promoted: min_units is ", ring.gate.min_units, ", the ring has ", ring.units));
  }
  if (ring.units < ring.gate.rehearsals) {
    plan.warnings.push_back(absl::StrCat("cannot be promoted: ", ring.gate.rehearsals,
                                         " rehearsed rollbacks, the ring has ", ring.units, " units"));
  }
  if (!plan.smallest_regression.has_value()) {
    plan.warnings.emplace_back("finds no regression: too few units to abort even if all of them fail");
  }
  if (ring.attempt > ring.score_age) {
    plan.warnings.push_back(absl::StrCat("units are scored at ", absl::FormatDuration(ring.score_age),
                                         ", before an attempt's expected end at ", absl::FormatDuration(ring.attempt),
                                         ": they would count as failed"));
  }
}

RingPlan PlanRing(const PlannedRing& ring) {
  RingPlan plan;
  plan.name = ring.name;
  plan.units = ring.units;
  if (ring.units == 0) {
    plan.warnings.emplace_back("no unit of the target is left for this ring");
    return plan;
  }
  PlanDuration(ring, plan);
  IsStatistical(ring) ? PlanStatistics(ring, plan) : PlanCounting(ring, plan);
  WarnOfRing(ring, plan);
  return plan;
}

// P(fewer than `threshold` of `units` fail), its terms in log space.
double ProbabilityOfFewer(uint64_t units, uint64_t threshold, double rate) {
  const auto n = static_cast<double>(units);
  double log_choices = 0;
  double sum = 0;
  for (uint64_t failures = 0; failures < threshold; ++failures) {
    const auto f = static_cast<double>(failures);
    sum += std::exp(log_choices + f * std::log(rate) + (n - f) * std::log1p(-rate));
    log_choices += std::log((n - f) / (f + 1));
  }
  return sum;
}

// People need no fractions of a second.
std::string Rounded(absl::Duration duration) { return absl::FormatDuration(absl::Ceil(duration, absl::Seconds(1))); }

}  // namespace

std::string_view Name(DurationBound bound) {
  switch (bound) {
    case DurationBound::kRate:
      return "rate";
    case DurationBound::kInFlight:
      return "maximum in flight";
    case DurationBound::kRehearsals:
      return "rehearsals";
    case DurationBound::kStabilityWindow:
      return "stability window";
    case DurationBound::kScoreAge:
      break;
  }
  return "age of a score";
}

std::optional<double> SmallestRateFound(uint64_t units, uint64_t threshold, double probability) {
  if (threshold > units) return std::nullopt;
  double missed = 1e-12;
  double found = 1;
  while (found / missed > 1.0001) {
    const double middle = std::sqrt(missed * found);
    (1 - ProbabilityOfFewer(units, threshold, middle) >= probability ? found : missed) = middle;
  }
  return found;
}

absl::StatusOr<RolloutPlan> MakePlan(const std::vector<PlannedRing>& rings) {
  RolloutPlan plan;
  for (const PlannedRing& ring : rings) {
    RETURN_IF_ERROR(Annotate(CheckRing(ring), absl::StrCat("ring ", ring.name)));
    plan.rings.push_back(PlanRing(ring));
    plan.duration += plan.rings.back().duration;
  }
  return plan;
}

std::vector<std::string> PlanLines(const RolloutPlan& plan) {
  std::vector<std::string> lines;
  for (const RingPlan& ring : plan.rings) {
    std::string line = absl::StrCat(ring.name, ": ", ring.units, " units");
    if (ring.units > 0) {
      absl::StrAppend(&line, ", ", Rounded(ring.duration), " (most of it: ", std::string(Name(ring.bound)), "), needs ",
                      ring.required, " passes");
    }
    if (ring.smallest_regression.has_value()) {
      absl::StrAppend(&line,
                      absl::StrFormat(", finds a failure rate from %.3g %% up", *ring.smallest_regression * 100));
    }
    lines.push_back(std::move(line));
    for (const std::string& warning : ring.warnings) lines.push_back(absl::StrCat("  warning: ", warning));
  }
  lines.push_back(absl::StrCat("in all: ", Rounded(plan.duration)));
  return lines;
}

}  // namespace tandem::fleet
