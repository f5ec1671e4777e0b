#include "fleet/controller/applied_check.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status.h"
#include "common/version/version.h"

namespace tandem::fleet {
namespace {

using release::v1::ReleaseComponent;

bool IsFor(const ReleaseComponent& component, const std::string& hardware) {
  return component.hardware().empty() ||
         std::ranges::find(component.hardware(), hardware) != component.hardware().end();
}

bool Means(const ReleaseComponent& component, const unit::v1::ComponentReport& report) {
  return report.component_type() == component.component_type() &&
         (component.component_id().empty() || component.component_id() == report.component_id());
}

bool IsOrdered(const OrderedRelease& ordered, const ReleaseComponent& component) {
  return component.plane() >= 1 && ((ordered.planes >> (component.plane() - 1)) & 1) != 0;
}

absl::Status CheckComponent(const ReleaseComponent& component, const ComponentReports& reports) {
  for (const unit::v1::ComponentReport& report : reports) {
    if (!Means(component, report)) continue;
    const std::string name = absl::StrCat(report.component_type(), " ", report.component_id());
    if (report.version() != component.version()) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " runs ", report.version(), ", not ", component.version()));
    }
    if (!report.slot_trial().empty()) {
      return absl::FailedPreconditionError(absl::StrCat(name, " is still on trial in slot ", report.slot_trial()));
    }
    if (report.slot_running() != report.slot_confirmed()) {
      return absl::FailedPreconditionError(absl::StrCat(name, " runs from slot ", report.slot_running(), ", but slot ",
                                                        report.slot_confirmed(), " is the confirmed one"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPlane(int plane, const std::string& digest_hex, const PlaneReports& planes) {
  const std::string name = absl::AsciiStrToUpper(release::v1::Plane_Name(static_cast<release::v1::Plane>(plane)));
  for (const unit::v1::PlaneReport& report : planes) {
    if (absl::AsciiStrToUpper(report.plane()) != name) continue;
    if (report.release_digest() == digest_hex) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat("plane ", absl::AsciiStrToLower(name), " is at release ",
                                                      report.release_id(), " (", report.release_digest().substr(0, 12),
                                                      "…)"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("plane ", absl::AsciiStrToLower(name), " is at no release that it names"));
}

}  // namespace

absl::Status CheckRuns(const std::vector<OrderedRelease>& ordered, const std::string& hardware,
                       const ComponentReports& components, const PlaneReports& planes) {
  for (const OrderedRelease& release : ordered) {
    for (const int plane : release.document->planes()) {
      if (((release.planes >> (plane - 1)) & 1) == 0) continue;
      RETURN_IF_ERROR(CheckPlane(plane, release.digest_hex, planes));
    }
    for (const ReleaseComponent& component : release.document->components()) {
      if (!IsOrdered(release, component) || !IsFor(component, hardware)) continue;
      RETURN_IF_ERROR(CheckComponent(component, components));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEligible(const release::v1::Release& release, const std::string& hardware,
                           const ComponentReports& components) {
  const auto is_for = [&](const ReleaseComponent& component) { return IsFor(component, hardware); };
  if (std::ranges::none_of(release.components(), is_for)) {
    return absl::FailedPreconditionError(
        hardware.empty() ? "its hardware is not known, and every component of the release is for certain hardware"
                         : absl::StrCat("nothing of the release is for hardware \"", hardware, "\""));
  }
  for (const ReleaseComponent& component : release.components()) {
    if (!is_for(component)) continue;
    for (const release::v1::Requirement& requirement : component.requirements()) {
      std::string has;
      for (const unit::v1::ComponentReport& report : components) {
        if (report.component_type() == requirement.component_type()) has = report.version();
      }
      for (const ReleaseComponent& other : release.components()) {
        if (is_for(other) && other.component_type() == requirement.component_type()) has = other.version();
      }
      if (!has.empty() && CompareVersions(has, requirement.min_version()) >= 0) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          component.component_type(), " ", component.version(), " requires ", requirement.component_type(), " ",
          requirement.min_version(), has.empty() ? ", which it does not report" : absl::StrCat("; it has ", has)));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::fleet
