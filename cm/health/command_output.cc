#include "cm/health/command_output.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/text/text.h"

namespace tandem::cm {
namespace {

constexpr absl::string_view kMeasure = "measure ";
constexpr absl::string_view kReason = "reason ";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string Cut(absl::string_view text, size_t limit) { return CleanText({text.data(), text.size()}, limit); }

// "NAME VALUE [UNIT]"
std::optional<ProbeMeasurement> ParseMeasurement(absl::string_view line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.size() < 2 || words.size() > 3) return std::nullopt;
  ProbeMeasurement measurement{.name = Cut(words[0], kMaxMeasurementName)};
  if (!absl::SimpleAtod(words[1], &measurement.value) || !std::isfinite(measurement.value)) return std::nullopt;
  if (words.size() == 3) measurement.unit = Cut(words[2], kMaxMeasurementName);
  return measurement;
}

// What programs print where there is no value, also with a unit behind it, such as "NaNms".
bool StandsForNoNumber(absl::string_view word) {
  if (!absl::ConsumePrefix(&word, "-")) absl::ConsumePrefix(&word, "+");
  while (!word.empty() && absl::ascii_ispunct(static_cast<unsigned char>(word.back()))) word.remove_suffix(1);
  if (absl::StartsWithIgnoreCase(word, "nan")) return !absl::StartsWithIgnoreCase(word, "nano");
  constexpr absl::string_view kNone[] = {"inf", "infinity", "null", "none", "undefined"};
  return std::ranges::any_of(kNone, [&](absl::string_view none) { return absl::EqualsIgnoreCase(word, none); });
}

// "140", "-0.5", "1e3", "140ms", "99.5%"; not "p99", "resnet50", "2026-11-30" or "1.2.3".
std::optional<double> NumberOfWord(absl::string_view word) {
  while (!word.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(word.back())) && word.back() != '.') {
    word.remove_suffix(1);
  }
  double value = 0;
  if (word.empty() || !absl::SimpleAtod(word, &value)) return std::nullopt;
  return value;
}

std::vector<absl::string_view> Words(std::string_view text) {
  return absl::StrSplit(View(text), absl::ByAnyChar(" \t\r\n,;:()[]{}"), absl::SkipEmpty());
}

}  // namespace

CommandOutput ParseCommandOutput(std::string_view output) {
  CommandOutput result;
  for (absl::string_view line : absl::StrSplit(View(output), '\n')) {
    if (absl::ConsumePrefix(&line, kReason)) {
      result.reason = Cut(absl::StripAsciiWhitespace(line), kMaxReason);
    } else if (absl::ConsumePrefix(&line, kMeasure) &&
               result.measurements.size() + result.unreadable.size() < kMaxMeasurements) {
      const absl::string_view said = absl::StripAsciiWhitespace(line);
      if (auto measurement = ParseMeasurement(said); measurement.has_value()) {
        result.measurements.push_back(*std::move(measurement));
      } else {
        result.unreadable.push_back(Cut(said.substr(0, said.find_first_of(" \t")), kMaxMeasurementName));
      }
    }
  }
  return result;
}

std::string LogExcerpt(std::string_view text) {
  std::string kept;
  for (const absl::string_view line : absl::StrSplit(View(text), '\n')) {
    if (absl::StartsWith(line, kMeasure) || absl::StartsWith(line, kReason)) continue;
    absl::StrAppend(&kept, line, "\n");
  }
  while (!kept.empty() && kept.back() == '\n') kept.pop_back();
  if (kept.size() > kMaxLogExcerpt) {
    kept.erase(0, kept.size() - kMaxLogExcerpt);
    const size_t line_end = kept.find('\n');
    if (line_end != std::string::npos && line_end < kMaxLogExcerpt / 2) kept.erase(0, line_end + 1);
  }
  return ValidUtf8(kept);
}

absl::StatusOr<double> OnlyNumber(std::string_view text) {
  std::optional<double> only;
  for (const absl::string_view line : absl::StrSplit(View(text), '\n')) {
    if (absl::StartsWith(line, kReason)) continue;
    for (const absl::string_view word : absl::StrSplit(line, absl::ByAnyChar(" \t\r,;:=()[]{}"), absl::SkipEmpty())) {
      const std::optional<double> number = NumberOfWord(word);
      if (StandsForNoNumber(word) || (number.has_value() && !std::isfinite(*number))) {
        return absl::FailedPreconditionError(absl::StrCat("it printed \"", Cut(word, 40), "\" for a number"));
      }
      if (!number.has_value()) continue;
      if (only.has_value()) {
        return absl::FailedPreconditionError(absl::StrCat("it printed more than one number, ", *only, " and ", *number,
                                                          ": print \"measure NAME VALUE\" and name the measurement"));
      }
      only = number;
    }
  }
  if (!only.has_value()) return absl::FailedPreconditionError("it printed no number");
  return *only;
}

std::string LastLine(std::string_view text) {
  const absl::string_view stripped = absl::StripTrailingAsciiWhitespace(View(text));
  const size_t end = stripped.rfind('\n');
  return Cut(end == absl::string_view::npos ? stripped : stripped.substr(end + 1), kMaxReason);
}

absl::Status CompareWithGolden(std::string_view answer, std::string_view golden, double tolerance, double& worst) {
  worst = 0;
  if (answer == golden) return absl::OkStatus();
  if (tolerance <= 0) {
    const size_t common = std::min(answer.size(), golden.size());
    size_t at = 0;
    while (at < common && answer[at] == golden[at]) ++at;
    return absl::FailedPreconditionError(absl::StrCat(
        "the answer (", answer.size(), " bytes) differs from the golden one (", golden.size(), " bytes) at byte ", at));
  }
  const std::vector<absl::string_view> given = Words(answer);
  const std::vector<absl::string_view> wanted = Words(golden);
  if (given.size() != wanted.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the answer has ", given.size(), " values, the golden one ", wanted.size()));
  }
  absl::Status result;
  for (size_t i = 0; i < given.size(); ++i) {
    double value = 0;
    double expected = 0;
    const bool numbers = absl::SimpleAtod(given[i], &value) && absl::SimpleAtod(wanted[i], &expected);
    const double difference = numbers ? std::abs(value - expected) : 0;
    if (numbers && std::isfinite(difference)) worst = std::max(worst, difference);
    // Written so that what is no number does not pass.
    if (given[i] == wanted[i] || (numbers && difference <= tolerance) || !result.ok()) continue;
    result = absl::FailedPreconditionError(absl::StrCat("value ", i + 1, " of the answer is ", Cut(given[i], 40),
                                                        ", the golden one ", Cut(wanted[i], 40)));
  }
  return result;
}

}  // namespace tandem::cm
