#include "tools/fleetctl/spec_options.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "common/config/yaml_config.h"
#include "common/status/status.h"

namespace tandem::fleetctl {
namespace {

using fleet::v1::RingSpec;
using fleet::v1::RolloutSpec;

absl::Status SetRings(const std::string& text, RolloutSpec& spec) {
  spec.clear_rings();
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    RingSpec& ring = *spec.add_rings();
    const std::vector<std::string> sides = absl::StrSplit(part, absl::MaxSplits('=', 1));
    if (sides.size() == 2) ring.set_name(std::string(absl::StripAsciiWhitespace(sides[0])));
    const absl::string_view number = absl::StripSuffix(absl::StripAsciiWhitespace(sides.back()), "%");
    double percent = 0;
    if (!absl::SimpleAtod(number, &percent) || !(percent > 0) || percent > 100) {
      return absl::InvalidArgumentError(
          absl::StrCat("--rings: \"", part, "\" is no share; write 5%,10%,100% or canary=5%,full=100%"));
    }
    ring.set_percent(percent);
  }
  return absl::OkStatus();
}

absl::Status SetTimes(const SpecOptions& options, RolloutSpec& spec) {
  if (!options.start.empty()) {
    absl::Time start;
    if (!absl::ParseTime(absl::RFC3339_full, options.start, &start, nullptr)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--start: \"", options.start, "\" is no time such as 2026-12-01T22:00:00Z"));
    }
    spec.mutable_start()->set_seconds(absl::ToUnixSeconds(start));
  }
  if (!options.score_age.empty()) {
    absl::Duration age;
    if (!absl::ParseDuration(options.score_age, &age) || age <= absl::ZeroDuration()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--score-age: \"", options.score_age, "\" is no duration such as 30m"));
    }
    spec.mutable_score_age()->set_seconds(absl::ToInt64Seconds(age));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RolloutSpec> ReadSpec(const SpecOptions& options) {
  RolloutSpec spec;
  if (!options.file.empty()) RETURN_IF_ERROR(LoadYamlFile(options.file, spec));
  if (!options.release.empty()) spec.set_release(options.release);
  if (!options.name.empty()) spec.set_name(options.name);
  if (!options.target.empty()) spec.set_target(options.target);
  if (!options.rings.empty()) RETURN_IF_ERROR(SetRings(options.rings, spec));
  if (options.max_in_flight != 0) spec.set_max_in_flight(options.max_in_flight);
  if (options.units_per_minute != 0) spec.set_units_per_minute(options.units_per_minute);
  if (options.on_abort == "take-back") spec.set_on_abort(fleet::v1::TAKE_BACK);
  if (options.on_abort == "keep-updated") spec.set_on_abort(fleet::v1::KEEP_UPDATED);
  if (!options.base_urls.empty()) {
    spec.clear_base_urls();
    for (const std::string& url : options.base_urls) spec.add_base_urls(url);
  }
  RETURN_IF_ERROR(SetTimes(options, spec));
  if (spec.release().empty()) {
    return absl::InvalidArgumentError("which release? --release, or `release:` in the file");
  }
  if (spec.name().empty()) spec.set_name(spec.release());
  return spec;
}

}  // namespace tandem::fleetctl
