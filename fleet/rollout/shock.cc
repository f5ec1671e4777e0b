#include "fleet/rollout/shock.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace tandem::fleet {
namespace {

constexpr std::array kLambdas = {0.1, 0.3, 0.5, 0.7, 0.9};

// ln(mean of e^x), without leaving the range of a double.
double LogMeanExp(const std::array<double, kLambdas.size()>& logs) {
  const double largest = *std::ranges::max_element(logs);
  double sum = 0;
  for (const double log : logs) sum += std::exp(log - largest);
  return largest + std::log(sum / static_cast<double>(logs.size()));
}

double LogBlame(const PairCounts& pairs) {
  std::array<double, kLambdas.size()> logs{};
  for (size_t i = 0; i < logs.size(); ++i) {
    logs[i] = static_cast<double>(pairs.n10) * std::log1p(kLambdas[i]) +
              static_cast<double>(pairs.n01) * std::log1p(-kLambdas[i]);
  }
  return LogMeanExp(logs);
}

}  // namespace

ShockEvidence Weigh(const SprtParams& params, const PairCounts& pairs) {
  const auto failed = static_cast<double>(pairs.n01 + pairs.n11);
  const auto passed = static_cast<double>(pairs.n00 + pairs.n10);
  const double log_shock = Sprt(params).Llr(passed, failed);
  return {log_shock, -log_shock, LogBlame(pairs)};
}

Blame Attribute(const SprtParams& params, const ShockEvidence& evidence) {
  const double release_bound = std::log(2 / params.alpha);
  if (evidence.log_quiet >= release_bound || evidence.log_blame >= release_bound) return Blame::kRelease;
  return evidence.log_shock >= -std::log(params.alpha) ? Blame::kShock : Blame::kUnknown;
}

}  // namespace tandem::fleet
