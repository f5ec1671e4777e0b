#include "fleet/rollout/sprt.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status/status.h"

namespace tandem::fleet {
namespace {

constexpr double kSmallestRate = 1e-6;
constexpr double kSmallestError = 1e-9;
constexpr double kSmallestRatio = 1.05;
// What is still undecided below this changes no digit that is shown.
constexpr double kNegligible = 1e-12;

absl::Status CheckError(double value, std::string_view name, std::string_view meaning) {
  if (value >= kSmallestError && value < 0.5) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(std::string(name), " = ", value, ": the accepted probability of ",
                                                 std::string(meaning), " is from 1e-9 to below 0.5, such as 0.05"));
}

// P(failures, undecided) after some number of units; failures from `first` on.
struct Undecided {
  std::vector<double> mass = {1};
  uint64_t first = 0;

  double Total() const {
    double total = 0;
    for (const double m : mass) total += m;
    return total;
  }

  void Score(double rate) {
    mass.push_back(0);
    for (size_t i = mass.size() - 1; i > 0; --i) mass[i] = mass[i] * (1 - rate) + mass[i - 1] * rate;
    mass.front() *= 1 - rate;
  }
};

// Takes what has reached a bound after `units` out of `undecided`. More failures only make llr larger, so those that
// promote are at the front and those that abort at the back.
void Decide(const Sprt& sprt, uint64_t units, Undecided& undecided, OperatingCharacteristic& result) {
  const auto judge = [&](size_t i) {
    const auto failures = static_cast<double>(undecided.first + i);
    return sprt.Judge(static_cast<double>(units) - failures, failures);
  };
  while (!undecided.mass.empty() && judge(undecided.mass.size() - 1) == Sprt::Verdict::kAbort) {
    result.abort += undecided.mass.back();
    undecided.mass.pop_back();
  }
  size_t promoted = 0;
  while (promoted < undecided.mass.size() && judge(promoted) == Sprt::Verdict::kPromote) {
    result.promote += undecided.mass[promoted++];
  }
  undecided.mass.erase(undecided.mass.begin(), undecided.mass.begin() + static_cast<std::ptrdiff_t>(promoted));
  undecided.first += promoted;
}

}  // namespace

absl::Status Check(const SprtParams& params) {
  if (!(params.p0 >= kSmallestRate && params.p0 < 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("p0 = ", params.p0, ": the accepted failure rate is from 1e-6 to below 1, such as 0.01"));
  }
  if (!(params.p1 < 1 && params.p1 >= kSmallestRatio * params.p0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("p1 = ", params.p1, ": the failure rate that must be found is below 1 and ",
                     "at least 1.05 p0 (p0 = ", params.p0, "), such as ", std::min(2 * params.p0, 0.99)));
  }
  RETURN_IF_ERROR(CheckError(params.alpha, "alpha", "a false abort"));
  return CheckError(params.beta, "beta", "a missed regression");
}

Sprt::Sprt(const SprtParams& params)
    : failure_weight_(std::log(params.p1 / params.p0)),
      pass_weight_(std::log1p(-params.p1) - std::log1p(-params.p0)),
      abort_bound_(std::log((1 - params.beta) / params.alpha)),
      promote_bound_(std::log(params.beta / (1 - params.alpha))) {}

Sprt::Verdict Sprt::Judge(double passes, double failures) const {
  const double llr = Llr(passes, failures);
  if (llr >= abort_bound_) return Verdict::kAbort;
  return llr <= promote_bound_ ? Verdict::kPromote : Verdict::kUndecided;
}

uint64_t CleanPassesToPromote(const SprtParams& params, uint64_t passes, uint64_t failures) {
  const Sprt sprt(params);
  const auto failed = static_cast<double>(failures);
  const double llr = sprt.Llr(static_cast<double>(passes), failed);
  const double needed = std::ceil((sprt.promote_bound() - llr) / sprt.pass_weight());
  return needed > 0 ? static_cast<uint64_t>(needed) : 0;
}

OperatingCharacteristic Characteristic(const SprtParams& params, double rate, uint64_t units) {
  const Sprt sprt(params);
  OperatingCharacteristic result;
  Undecided undecided;
  double left = 1;
  for (uint64_t scored = 1; scored <= units && left > kNegligible; ++scored) {
    result.expected_units += left;
    undecided.Score(rate);
    Decide(sprt, scored, undecided, result);
    left = undecided.Total();
  }
  result.undecided = left;
  return result;
}

std::optional<double> SmallestDetectableRegression(const SprtParams& params, uint64_t units) {
  const auto found = [&](double rate) { return Characteristic(params, rate, units).abort >= 1 - params.beta; };
  if (!found(1)) return std::nullopt;
  double missed = params.p0;
  double detected = 1;
  while (detected / missed > 1.0001) {
    const double middle = std::sqrt(missed * detected);
    (found(middle) ? detected : missed) = middle;
  }
  return detected;
}

}  // namespace tandem::fleet
