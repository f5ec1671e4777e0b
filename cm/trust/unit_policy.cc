#include "cm/trust/unit_policy.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/sha256.h"
#include "common/status/status.h"
#include "common/version/version.h"

namespace tandem::cm {
namespace {

using release::v1::Assignment;
using release::v1::Release;
using release::v1::ReleaseComponent;

std::string NameOf(const ReleaseComponent& component) {
  return component.component_id().empty() ? absl::StrCat("component type \"", component.component_type(), "\"")
                                          : absl::StrCat("component \"", component.component_id(), "\"");
}

std::string NameOf(const AcceptedRelease& release, const ReleaseComponent& component) {
  return absl::StrCat("release \"", release.release.release_id(), "\", ", NameOf(component));
}

bool ForHardware(const ReleaseComponent& component, const std::string& hardware) {
  return component.hardware().empty() ||
         std::ranges::find(component.hardware(), hardware) != component.hardware().end();
}

// The versions on the unit once the update has run.
std::vector<InstalledVersion> Union(const std::vector<AcceptedRelease>& releases, const UnitFacts& unit) {
  std::vector<InstalledVersion> result = unit.installed;
  for (const AcceptedRelease& release : releases) {
    for (const ReleaseComponent& entry : release.release.components()) {
      bool found = false;
      for (InstalledVersion& installed : result) {
        if (!Targets(entry, installed)) continue;
        installed.version = entry.version();
        found = true;
      }
      // A component that nobody has reported yet still counts: the update brings it, or fails.
      if (!found) result.push_back({entry.component_id(), entry.component_type(), entry.version()});
    }
  }
  return result;
}

absl::Status CheckRequirement(const release::v1::Requirement& requirement, const std::vector<InstalledVersion>& after) {
  bool found = false;
  for (const InstalledVersion& installed : after) {
    if (installed.component_type != requirement.component_type()) continue;
    found = true;
    if (CompareVersions(installed.version, requirement.min_version()) < 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("requires ", requirement.component_type(), " >= ", requirement.min_version(), ", but \"",
                       installed.component_id, "\" would have ", installed.version.empty() ? "none" : installed.version,
                       "; update it first, or in the same assignment"));
    }
  }
  if (found) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("requires ", requirement.component_type(),
                                                    " >= ", requirement.min_version(),
                                                    ", but this unit has no component of that type"));
}

}  // namespace

bool Targets(const ReleaseComponent& entry, const InstalledVersion& installed) {
  return entry.component_type() == installed.component_type &&
         (entry.component_id().empty() || entry.component_id() == installed.component_id);
}

absl::StatusOr<Release> ReleaseForUnit(const Signed<Release>& release, const Assignment& assignment,
                                       const std::string& hardware) {
  const std::string where = absl::StrCat("release \"", release.document.release_id(), "\"");
  std::set<int> planes;
  for (const release::v1::PlaneRelease& plane : assignment.planes()) {
    if (plane.release_digest() != release.digest) continue;
    if (std::ranges::find(release.document.planes(), plane.plane()) == release.document.planes().end()) {
      return absl::InvalidArgumentError(absl::StrCat("the assignment takes plane ",
                                                     release::v1::Plane_Name(plane.plane()), " from ", where,
                                                     ", which does not have it"));
    }
    planes.insert(plane.plane());
  }
  Release result = release.document;
  result.clear_components();
  for (const ReleaseComponent& component : release.document.components()) {
    if (!planes.contains(component.plane())) continue;
    if (ForHardware(component, hardware)) {
      *result.add_components() = component;
      continue;
    }
    // An entry for other hardware is fine as long as there is one for ours.
    const bool has_ours = std::ranges::any_of(release.document.components(), [&](const ReleaseComponent& other) {
      return other.component_id() == component.component_id() && other.component_type() == component.component_type() &&
             ForHardware(other, hardware);
    });
    if (!has_ours) {
      return absl::PermissionDeniedError(absl::StrCat(where, ", ", NameOf(component), " is for hardware ",
                                                      absl::StrJoin(component.hardware(), ", "), "; this unit is \"",
                                                      hardware, "\""));
    }
  }
  return result;
}

absl::Status CheckNoOverlap(const std::vector<AcceptedRelease>& releases) {
  for (size_t i = 0; i < releases.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      for (const ReleaseComponent& a : releases[i].release.components()) {
        for (const ReleaseComponent& b : releases[j].release.components()) {
          const bool same = a.component_id().empty() || b.component_id().empty()
                                ? a.component_type() == b.component_type()
                                : a.component_id() == b.component_id();
          if (!same) continue;
          return absl::InvalidArgumentError(absl::StrCat(NameOf(a), " is in release \"",
                                                         releases[j].release.release_id(), "\" and in release \"",
                                                         releases[i].release.release_id(), "\""));
        }
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckFloors(const std::vector<AcceptedRelease>& releases, const record::v1::TrustRecord& trust) {
  for (const AcceptedRelease& release : releases) {
    for (const ReleaseComponent& component : release.release.components()) {
      const auto floor = trust.security_floor().find(component.component_type());
      if (floor == trust.security_floor().end() || component.security_version() >= floor->second) continue;
      return absl::PermissionDeniedError(absl::StrCat(NameOf(release, component), " has security_version ",
                                                      component.security_version(), ", below this unit's floor of ",
                                                      floor->second, "; it can never go back there"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckWayBack(const Assignment& assignment, const std::vector<AcceptedRelease>& releases,
                          const UnitFacts& unit, const record::v1::TrustRecord& trust) {
  for (const AcceptedRelease& release : releases) {
    const auto& committed = trust.committed_releases();
    if (release.release.rollback_target() || std::ranges::find(committed, release.digest) != committed.end()) continue;
    for (const ReleaseComponent& component : release.release.components()) {
      for (const InstalledVersion& installed : unit.installed) {
        if (!Targets(component, installed) || installed.version.empty() || installed.version == component.version()) {
          continue;
        }
        const bool older = CompareVersions(component.version(), installed.version) < 0;
        if (!older && assignment.rollback_of().empty()) continue;
        return absl::PermissionDeniedError(absl::StrCat(
            NameOf(release, component), " would take \"", installed.component_id, "\" from ", installed.version,
            " back to ", component.version(),
            "; only a release that this unit has committed before, or one signed as rollback_target, may do that"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRequirements(const std::vector<AcceptedRelease>& releases, const UnitFacts& unit) {
  const std::vector<InstalledVersion> after = Union(releases, unit);
  for (const AcceptedRelease& release : releases) {
    for (const ReleaseComponent& component : release.release.components()) {
      for (const release::v1::Requirement& requirement : component.requirements()) {
        RETURN_IF_ERROR(Annotate(CheckRequirement(requirement, after), NameOf(release, component)));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem::cm
