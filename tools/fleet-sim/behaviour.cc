#include "tools/fleet-sim/behaviour.h"

#include <array>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status.h"

namespace tandem::fleetsim {
namespace {

// Good and bad units say the same up to the trial.
constexpr std::array<const char*, 4> kBeforeTrial = {"preparing", "ready", "starting", "trial"};

// splitmix64: each bit of the input changes half of the output's.
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

// FNV-1a: the same on every machine, which std::hash need not be.
uint64_t HashText(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

Step Feedback(const char* state, absl::Duration after) {
  return {.what = Step::What::kFeedback, .state = state, .after = after};
}

}  // namespace

absl::StatusOr<Span> ParseSpan(std::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(text), "..");
  Span span;
  const bool good = parts.size() <= 2 && absl::ParseDuration(parts.front(), &span.from) &&
                    absl::ParseDuration(parts.back(), &span.to) && span.from >= absl::ZeroDuration() &&
                    span.to >= span.from;
  if (good) return span;
  return absl::InvalidArgumentError(absl::StrCat("\"", std::string(text), "\" is no time such as 2s..8s or 500ms"));
}

absl::StatusOr<Weighted> ParseWeighted(std::string_view text) {
  Weighted result;
  double sum = 0;
  const std::vector<std::string> parts = absl::StrSplit(std::string(text), ",");
  for (const std::string& part : parts) {
    const std::vector<std::string> pair = absl::StrSplit(part, absl::MaxSplits('=', 1));
    double weight = 1;
    if (pair[0].empty() || (pair.size() == 2 && !absl::SimpleAtod(pair[1], &weight)) || !(weight >= 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", std::string(text), "\" is no list of names with weights such as gw-2=3,gw-1=1"));
    }
    sum += weight;
    result.emplace_back(pair[0], weight);
  }
  if (sum > 0) return result;
  return absl::InvalidArgumentError(absl::StrCat("all weights of \"", std::string(text), "\" are 0"));
}

absl::StatusOr<BadDiagnostic> ParseBadDiagnostic(std::string_view text) {
  const absl::Status bad = absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is not such as gw-2026.12/inference=0.3 or gw-*/*=0.01:hangs"));
  const std::vector<std::string> name_and_rest = absl::StrSplit(std::string(text), absl::MaxSplits('=', 1));
  const std::vector<std::string> names = absl::StrSplit(name_and_rest[0], '/');
  if (names.size() != 2 || names[0].empty() || names[1].empty()) return bad;
  BadDiagnostic rule{.release = names[0], .diagnostic = names[1]};
  if (name_and_rest.size() == 1) return rule;
  const std::vector<std::string> rest = absl::StrSplit(name_and_rest[1], absl::MaxSplits(':', 1));
  if (!absl::SimpleAtod(rest[0], &rule.share) || !(rule.share >= 0 && rule.share <= 1)) return bad;
  if (rest.size() == 1) return rule;
  for (const auto& [name, outcome] : {std::pair("failed", DiagnosticOutcome::kFailed),
                                      {"timeout", DiagnosticOutcome::kTimeout},
                                      {"error", DiagnosticOutcome::kError},
                                      {"hangs", DiagnosticOutcome::kHangs}}) {
    rule.outcome = outcome;
    if (rest[1] == name) return rule;
  }
  return bad;
}

double Behaviour::Share(std::string_view what, uint64_t unit, uint64_t count) const {
  const uint64_t hash = Mix(Mix(Mix(options_.seed ^ HashText(what)) ^ unit) ^ count);
  return static_cast<double>(hash >> 11) * 0x1.0p-53;
}

const std::string& Behaviour::Choose(const Weighted& from, std::string_view what, uint64_t unit) const {
  double sum = 0;
  for (const auto& [name, weight] : from) sum += weight;
  double at = Share(what, unit) * sum;
  for (const auto& [name, weight] : from) {
    if (at < weight) return name;
    at -= weight;
  }
  return from.back().first;
}

Outcome Behaviour::OutcomeOf(const UpdateOf& update) const {
  // An attempt of its own luck; a bad release is bad for the same units each time.
  for (const std::string& release : update.release_ids) {
    const auto bad = options_.bad_releases.find(release);
    if (bad != options_.bad_releases.end() && Share(absl::StrCat("bad ", release), update.unit) < bad->second) {
      return Outcome::kFail;
    }
  }
  const double sum = options_.success + options_.fail + options_.slow + options_.silent;
  double at = Share("outcome", update.unit, update.sequence) * sum;
  if (at < options_.fail) return Outcome::kFail;
  at -= options_.fail;
  if (at < options_.slow) return Outcome::kSlow;
  at -= options_.slow;
  return at < options_.silent ? Outcome::kSilent : Outcome::kSuccess;
}

DiagnosticOutcome Behaviour::OutcomeOf(const DiagnosticOf& run) const {
  const auto fits = [](const std::string& pattern, const std::string& name) {
    return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
  };
  for (const BadDiagnostic& rule : options_.bad_diagnostics) {
    if (!fits(rule.release, run.release_id) || !fits(rule.diagnostic, run.diagnostic)) continue;
    const std::string what = absl::StrCat("diagnostic ", run.release_id, "/", run.diagnostic);
    if (Share(what, run.unit) < rule.share) return rule.outcome;
  }
  return DiagnosticOutcome::kPassed;
}

std::vector<Step> Behaviour::Update(const UpdateOf& update) const {
  const Outcome outcome = OutcomeOf(update);
  if (outcome == Outcome::kSilent) return {};
  absl::Duration time = In(options_.update_time, "update-time", update.unit, update.sequence);
  if (outcome == Outcome::kSlow) time *= options_.slow_factor;
  // Preparing begins at once, the rest is even: one part for each state, one for the end.
  const absl::Duration part = time / 4;
  std::vector<Step> steps;
  steps.reserve(std::size(kBeforeTrial) + 2);
  for (const char* state : kBeforeTrial) steps.push_back(Feedback(state, steps.empty() ? absl::ZeroDuration() : part));
  if (outcome == Outcome::kFail) {
    steps.push_back(Feedback("reverting", part / 2));
    steps.push_back({.what = Step::What::kReverted, .state = "reverted", .after = part / 2});
  } else if (update.commit_on_verified) {
    steps.push_back({.what = Step::What::kProvisional, .state = "provisional", .after = part});
  } else {
    steps.push_back(Feedback("committing", part / 2));
    steps.push_back({.what = Step::What::kApplied, .state = "applied", .after = part / 2});
  }
  return steps;
}

std::vector<Step> Behaviour::AfterVerdict(bool verified) {
  if (verified) {
    return {Feedback("committing", absl::ZeroDuration()),
            {.what = Step::What::kApplied, .state = "applied", .after = absl::ZeroDuration()}};
  }
  return {Feedback("reverting", absl::ZeroDuration()),
          {.what = Step::What::kReverted, .state = "reverted", .after = absl::ZeroDuration()}};
}

absl::Duration Behaviour::AppearsAfter(uint64_t unit) const {
  if (Share("offline", unit) >= options_.offline) return absl::ZeroDuration();
  return In(options_.offline_for, "offline-for", unit, 0);
}

absl::Duration Behaviour::Delay(uint64_t unit, uint64_t count) const {
  if (options_.reorder <= 0 || Share("reorder", unit, count) >= options_.reorder) return absl::ZeroDuration();
  return In(options_.reorder_by, "reorder-by", unit, count);
}

}  // namespace tandem::fleetsim
