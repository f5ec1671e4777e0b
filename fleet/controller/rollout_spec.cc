#include "fleet/controller/rollout_spec.h"

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "common/crypto/assigned_terms.h"
#include "common/status/status.h"
#include "fleet/store/unit_table.h"

namespace tandem::fleet {
namespace {

constexpr int kMaxRings = 50;
constexpr int kDefaultScoreAgeSeconds = 30 * 60;
constexpr int64_t kMaxSeconds = int64_t{400} * 24 * 3600;
constexpr size_t kMaxNameBytes = 200;
constexpr int kMaxUnitsPerMinute = 10'000'000;

void AddDefaultRings(v1::RolloutSpec& spec) {
  for (const auto& [name, percent] : {std::pair("canary", 5.0), std::pair("10 %", 10.0), std::pair("full", 100.0)}) {
    v1::RingSpec* ring = spec.add_rings();
    ring->set_name(name);
    ring->set_percent(percent);
  }
}

absl::StatusOr<int> MinuteOfDay(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  int hour = 0;
  int minute = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &hour) || !absl::SimpleAtoi(parts[1], &minute) || hour < 0 ||
      hour > 24 || minute < 0 || minute > 59 || hour * 60 + minute > 24 * 60) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is no time of day such as 22:30"));
  }
  return hour * 60 + minute;
}

absl::Status CheckSeconds(const google::protobuf::Duration& duration, const std::string& what) {
  if (duration.seconds() < 0 || duration.seconds() > kMaxSeconds || duration.nanos() != 0) {
    return absl::InvalidArgumentError(absl::StrCat(what, " must be whole seconds, from 0 to 400 days"));
  }
  return absl::OkStatus();
}

absl::Status CompleteGate(v1::GateSpec& gate) {
  if (gate.policy_case() == v1::GateSpec::POLICY_NOT_SET) gate.mutable_any();
  if (gate.has_any()) {
    v1::AnyPolicy& any = *gate.mutable_any();
    if (any.failure_threshold() == 0) any.set_failure_threshold(1);
    if (any.success_percent() == 0) any.set_success_percent(100);
    if (!(any.success_percent() > 0 && any.success_percent() <= 100)) {
      return absl::InvalidArgumentError("success_percent must be above 0 and at most 100");
    }
  } else {
    v1::StatisticalPolicy& test = *gate.mutable_statistical();
    if (test.p0() == 0) test.set_p0(0.01);
    if (test.p1() == 0) test.set_p1(0.02);
    if (test.false_abort() == 0) test.set_false_abort(0.05);
    if (test.missed_regression() == 0) test.set_missed_regression(0.05);
    RETURN_IF_ERROR(Check(PolicyOf(gate).sprt));
  }
  if (gate.min_units() == 0) gate.set_min_units(1);
  return CheckSeconds(gate.stability_window(), "stability_window");
}

absl::Status CompleteRing(v1::RingSpec& ring, std::set<std::string>& names) {
  if (ring.name().size() > kMaxNameBytes) return absl::InvalidArgumentError("its name is too long");
  if (!names.insert(ring.name()).second) return absl::InvalidArgumentError("another ring has this name");
  if (ring.percent() == 0) ring.set_percent(100);
  if (!(ring.percent() > 0 && ring.percent() <= 100)) {
    return absl::InvalidArgumentError(absl::StrCat("percent is ", ring.percent(), "; it must be above 0, at most 100"));
  }
  RETURN_IF_ERROR(Annotate(TargetExpression::Parse(ring.target()).status(), "target"));
  return Annotate(CompleteGate(*ring.mutable_gate()), "gate");
}

}  // namespace

absl::StatusOr<v1::RolloutSpec> CompleteSpec(v1::RolloutSpec spec) {
  if (spec.name().empty()) return absl::InvalidArgumentError("name is missing: say what this rollout is for");
  if (spec.name().size() > kMaxNameBytes) return absl::InvalidArgumentError("name: it is too long");
  if (spec.release().empty()) return absl::InvalidArgumentError("release is missing: a digest or a release_id");
  RETURN_IF_ERROR(Annotate(TargetExpression::Parse(spec.target()).status(), "target"));
  if (spec.rings().empty()) AddDefaultRings(spec);
  if (spec.rings_size() > kMaxRings) {
    return absl::InvalidArgumentError(absl::StrCat(spec.rings_size(), " rings; at most ", kMaxRings, " are taken"));
  }
  std::set<std::string> names;
  double percent = 0;
  for (int i = 0; i < spec.rings_size(); ++i) {
    v1::RingSpec& ring = *spec.mutable_rings(i);
    if (ring.name().empty()) ring.set_name(absl::StrCat("ring ", i + 1));
    RETURN_IF_ERROR(Annotate(CompleteRing(ring, names), absl::StrCat("ring ", i + 1, " (", ring.name(), ")")));
    // Rings of other targets have percentages of their own.
    if (ring.target().empty() && ring.percent() < percent) {
      return absl::InvalidArgumentError(absl::StrCat("ring ", i + 1, " (", ring.name(), "): percent ", ring.percent(),
                                                     " is below that of a ring before it; they add up"));
    }
    if (ring.target().empty()) percent = ring.percent();
  }
  RETURN_IF_ERROR(CheckAssignedConditions(spec.preconditions(), spec.conditions()));
  RETURN_IF_ERROR(CheckBaseUrls(spec.base_urls()));
  for (const v1::DailyWindow& window : spec.windows()) {
    RETURN_IF_ERROR(Annotate(MinuteOfDay(window.from()).status(), "windows: from"));
    RETURN_IF_ERROR(Annotate(MinuteOfDay(window.until()).status(), "windows: until"));
  }
  if (!(spec.units_per_minute() >= 0 && spec.units_per_minute() <= kMaxUnitsPerMinute)) {
    return absl::InvalidArgumentError(absl::StrCat("units_per_minute is ", spec.units_per_minute(),
                                                   "; it must be from 0, no limit, to ", kMaxUnitsPerMinute));
  }
  if (!spec.has_score_age()) spec.mutable_score_age()->set_seconds(kDefaultScoreAgeSeconds);
  RETURN_IF_ERROR(CheckSeconds(spec.score_age(), "score_age"));
  if (spec.score_age().seconds() == 0) return absl::InvalidArgumentError("score_age must be at least 1 s");
  if (!spec.has_join()) spec.set_join(true);
  return spec;
}

absl::StatusOr<v1::RolloutSpec> ReadSpec(const RolloutRow& rollout) {
  v1::RolloutSpec spec;
  if (spec.ParseFromString(rollout.spec)) return spec;
  return absl::DataLossError(absl::StrCat("rollout ", rollout.number, ": what was asked for cannot be read"));
}

GatePolicy PolicyOf(const v1::GateSpec& gate) {
  GatePolicy policy;
  if (gate.has_statistical()) {
    policy.failure_policy = GatePolicy::FailurePolicy::kStatistical;
    policy.sprt = {.p0 = gate.statistical().p0(),
                   .p1 = gate.statistical().p1(),
                   .alpha = gate.statistical().false_abort(),
                   .beta = gate.statistical().missed_regression()};
  } else {
    policy.failure_policy = GatePolicy::FailurePolicy::kAny;
    policy.failure_threshold = gate.any().failure_threshold();
    policy.success_percent = gate.any().success_percent();
  }
  policy.min_units = gate.min_units();
  policy.stability_window = absl::Seconds(gate.stability_window().seconds());
  policy.needs_approval = gate.needs_promote();
  policy.rehearsals = gate.rehearse_rollback();
  return policy;
}

absl::StatusOr<RingTarget> RingTarget::Parse(const v1::RolloutSpec& spec, int ring) {
  ASSIGN_OR_RETURN(TargetExpression all, TargetExpression::Parse(spec.target()));
  ASSIGN_OR_RETURN(TargetExpression own, TargetExpression::Parse(spec.rings(ring).target()));
  return RingTarget(std::move(all), std::move(own));
}

bool InWindow(const v1::RolloutSpec& spec, int64_t now) {
  if (spec.windows().empty()) return true;
  const int minute = static_cast<int>((now / 60) % (int64_t{24} * 60));
  for (const v1::DailyWindow& window : spec.windows()) {
    // Checked when it was created.
    const int from = MinuteOfDay(window.from()).value_or(0);
    const int until = MinuteOfDay(window.until()).value_or(0);
    if (from <= until ? minute >= from && minute < until : minute >= from || minute < until) return true;
  }
  return false;
}

std::string AttributesJson(const UnitAttributes& attributes) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  const auto add = [&](const char* name, const std::string& text) {
    if (!text.empty()) object[name] = text;
  };
  add("hardware", attributes.hardware);
  add("group", attributes.group);
  add("customer", attributes.customer);
  add("region", attributes.region);
  add("site", attributes.site);
  if (!attributes.tags.empty()) object["tags"] = attributes.tags;
  return object.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

}  // namespace tandem::fleet
