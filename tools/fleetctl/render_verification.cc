#include "tools/fleetctl/render_verification.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tandem::fleetctl {
namespace {

namespace v1 = fleet::v1;

// "12s left"; what is over has none.
std::string LeftText(const google::protobuf::Timestamp& deadline, const RenderOptions& options) {
  if (deadline.seconds() == 0) return "";
  const absl::Duration left = absl::FromUnixSeconds(deadline.seconds()) - options.now;
  return left <= absl::ZeroDuration() ? "due" : absl::StrCat(AgeText(left), " left");
}

std::string MeasurementsText(const v1::DiagnosticRun& run) {
  return absl::StrJoin(run.measurements(), ", ", [](std::string* out, const unit::v1::Measurement& measurement) {
    absl::StrAppend(out, measurement.name(), " ", measurement.value(),
                    measurement.unit().empty() ? "" : absl::StrCat(" ", measurement.unit()));
    if (measurement.has_max()) absl::StrAppend(out, " (at most ", measurement.max(), ")");
    if (measurement.has_min()) absl::StrAppend(out, " (at least ", measurement.min(), ")");
  });
}

}  // namespace

std::string VerificationText(const v1::ReleaseVerification& verification) {
  if (verification.state().empty()) return "";
  std::string text = absl::StrCat(verification.state(), ": ", verification.verified(), " verified, ",
                                  verification.verifying(), " verifying, ", verification.failed(), " failed");
  if (!verification.failed_unit().empty()) {
    absl::StrAppend(&text, "; first on unit ", verification.failed_unit(), ": ", verification.reason());
  }
  if (verification.auto_rolled_back()) text += "; taken back from every unit by itself";
  return text;
}

std::string RenderVerification(const v1::Verification& verification, const RenderOptions& options) {
  std::string text;
  if (const std::string release = VerificationText(verification.release()); !release.empty()) {
    absl::StrAppend(&text, "release: ", Clean(release), "\n\n");
  }
  if (verification.units().empty()) return text + "no unit was verified here\n";
  std::vector<std::string> header = {"UNIT", "STATE", "KIND", "LEFT"};
  header.insert(header.end(), verification.diagnostics().begin(), verification.diagnostics().end());
  Table table(std::move(header));
  for (const v1::UnitVerification& unit : verification.units()) {
    std::vector<std::string> row = {unit.unit_id(), unit.attempt().state(), unit.attempt().kind(),
                                    LeftText(unit.deadline(), options)};
    for (const std::string& column : verification.diagnostics()) {
      const auto found = std::ranges::find(unit.runs(), column, &v1::DiagnosticRun::diagnostic);
      row.push_back(found == unit.runs().end() ? "-" : found->state());
    }
    table.Add(std::move(row));
  }
  return text + table.Text(options);
}

std::string RenderRuns(const google::protobuf::RepeatedPtrField<v1::DiagnosticRun>& runs,
                       const RenderOptions& options) {
  Table table({"DIAGNOSTIC", "STATE", "RELEASE", "ASKED", "BY", "MEASURED", "REASON"});
  for (const v1::DiagnosticRun& run : runs) {
    const std::string late = run.late_outcome().empty() ? "" : absl::StrCat(" (too late: ", run.late_outcome(), ")");
    table.Add({run.diagnostic(), run.state(), run.release_id(), TimeText(run.created_at(), options), run.triggered_by(),
               MeasurementsText(run), run.reason() + late});
  }
  return table.empty() ? "no diagnostic has run\n" : table.Text(options);
}

std::string RenderGuards(const v1::Guards& guards, const RenderOptions& options) {
  std::string state = "on";
  if (!guards.switched_on()) state = "switched off by an operator";
  if (guards.switched_on() && !guards.auto_rollback()) {
    state = absl::StrCat("off until ", TimeText(guards.disabled_until(), options),
                         ": the storm guard; `tandem-fleetctl guards auto-rollback on` ends it");
  }
  std::string text = absl::StrCat(
      "automatic rollback: ", Painted(state, guards.auto_rollback() ? Paint::kGreen : Paint::kRed, options),
      "\nverification failures in a row: ", guards.streak(), " of ", guards.limit());
  if (!guards.streak_releases().empty()) {
    absl::StrAppend(&text, " (", Clean(absl::StrJoin(guards.streak_releases(), ", ")), ")");
  }
  absl::StrAppend(&text, "\nunits that the loop guard stopped: ", guards.storm_units(),
                  guards.storm_units() > 0 ? "; `tandem-fleetctl units list --presence storm` names them" : "", "\n");
  return text;
}

}  // namespace tandem::fleetctl
