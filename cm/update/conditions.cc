#include "cm/update/conditions.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/assigned_terms.h"
#include "common/status/status.h"

namespace tandem::cm {

absl::StatusOr<std::vector<release::v1::Probe>> AssignedConditions(const AcceptedDesired& desired,
                                                                   const config::v1::CmConfig& config) {
  const release::v1::Assignment& assignment = desired.assignment;
  RETURN_IF_ERROR(Annotate(CheckAssignedConditions(assignment.preconditions(), assignment.conditions()), "assignment"));
  std::vector<const release::v1::Probe*> known;
  for (const release::v1::Probe& probe : config.conditions()) known.push_back(&probe);
  for (const AcceptedRelease& release : desired.releases) {
    for (const release::v1::Probe& probe : release.release.conditions()) known.push_back(&probe);
  }
  std::vector<release::v1::Probe> conditions(assignment.preconditions().begin(), assignment.preconditions().end());
  for (const std::string& name : assignment.conditions()) {
    const auto found = std::ranges::find(known, name, [](const release::v1::Probe* probe) { return probe->name(); });
    if (found == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "assignment: it names the condition \"", name, "\", which neither this unit nor a release has",
          known.empty() ? "" : "; there are ",
          absl::StrJoin(known, ", ",
                        [](std::string* out, const release::v1::Probe* probe) { out->append(probe->name()); })));
    }
    conditions.push_back(**found);
  }
  return conditions;
}

}  // namespace tandem::cm
