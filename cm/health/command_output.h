// What a diagnostic's command says on its standard output, line by line (docs/diagnostics.md):
//
//   measure NAME VALUE [UNIT]      a number
//   reason TEXT                    why it failed, or a few words on why it passed; the last one counts
//
// Everything else is for people, and ends up in the log excerpt. Pure.
#ifndef TANDEM_CM_HEALTH_COMMAND_OUTPUT_H_
#define TANDEM_CM_HEALTH_COMMAND_OUTPUT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/health/probe.h"

namespace tandem::cm {

// Of one command; more are dropped.
inline constexpr size_t kMaxMeasurements = 64;
// Of names, units and reasons, in bytes; longer ones are cut.
inline constexpr size_t kMaxMeasurementName = 64;
inline constexpr size_t kMaxReason = 512;
inline constexpr size_t kMaxLogExcerpt = 8 << 10;

struct CommandOutput {
  std::vector<ProbeMeasurement> measurements;
  // Names of those without a number.
  std::vector<std::string> unreadable;
  std::string reason;
};
CommandOutput ParseCommandOutput(std::string_view output);

// The end of `text` without the lines above, at most kMaxLogExcerpt bytes, from the beginning of a line where it can.
std::string LogExcerpt(std::string_view text);

// The one number of `text`, which may have a unit behind it. FAILED_PRECONDITION when there is none, more than one, one
// out of range, or a word such as "nan" that stands for no number: what cannot be told is no measurement.
absl::StatusOr<double> OnlyNumber(std::string_view text);
std::string LastLine(std::string_view text);

// OK when `answer` is `golden`, or differs from it in numbers by at most `tolerance` (and in white space, when that is
// not 0). FAILED_PRECONDITION: where they differ. `worst`: the largest difference of two numbers.
absl::Status CompareWithGolden(std::string_view answer, std::string_view golden, double tolerance, double& worst);

}  // namespace tandem::cm

#endif  // TANDEM_CM_HEALTH_COMMAND_OUTPUT_H_
