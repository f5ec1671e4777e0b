#include "fleet/api/routes.h"

#include <algorithm>

namespace tandem::fleet {
namespace {

using v1::OPERATOR;
using v1::RELEASE_MANAGER;
using v1::VIEWER;

// Whoever looks is a viewer. An operator runs what is there, and may always stop it. What brings new software to units,
// and who may do so, is the release manager's.
constexpr Route kRoutes[] = {
    {"GetFleet", VIEWER, "GET", "/v1/fleet"},

    {"RegisterUnits", OPERATOR, "POST", "/v1/units"},
    {"ListUnits", VIEWER, "GET", "/v1/units"},
    {"GetUnit", VIEWER, "GET", "/v1/units/{unit_id}"},
    {"RevokeUnit", OPERATOR, "POST", "/v1/units/{unit_id}/revoke"},
    {"HoldUnit", OPERATOR, "POST", "/v1/units/{unit_id}/hold"},
    {"RollBackUnit", OPERATOR, "POST", "/v1/units/{unit_id}/rollback"},

    {"ImportRelease", RELEASE_MANAGER, "POST", "/v1/releases"},
    {"ListReleases", VIEWER, "GET", "/v1/releases"},
    {"GetRelease", VIEWER, "GET", "/v1/releases/{release}"},
    // To freeze is to stop; what is frozen is let go by a release manager only (see Operations::FreezeRelease()).
    {"FreezeRelease", OPERATOR, "POST", "/v1/releases/{release}/freeze"},
    {"ImportReleaseList", RELEASE_MANAGER, "POST", "/v1/keys/release-list"},
    {"ImportKeySets", RELEASE_MANAGER, "POST", "/v1/keys/key-sets"},
    {"GetKeys", VIEWER, "GET", "/v1/keys"},

    // It reads the whole fleet.
    {"PlanRollout", OPERATOR, "POST", "/v1/plan"},
    {"CreateRollout", RELEASE_MANAGER, "POST", "/v1/rollouts"},
    {"ListRollouts", VIEWER, "GET", "/v1/rollouts"},
    {"GetRollout", VIEWER, "GET", "/v1/rollouts/{id}"},
    {"WatchRollout", VIEWER, "GET", "/v1/rollouts/{id}/watch"},
    {"ChangeRollout", OPERATOR, "POST", "/v1/rollouts/{id}/change"},
    {"ListAttempts", VIEWER, "GET", "/v1/rollouts/{rollout}/attempts"},

    {"GetVerification", VIEWER, "GET", "/v1/verification"},
    {"RunDiagnostics", OPERATOR, "POST", "/v1/units/{unit_id}/diagnostics"},
    {"GetGuards", VIEWER, "GET", "/v1/guards"},
    {"SetAutoRollback", OPERATOR, "POST", "/v1/guards/auto-rollback"},

    {"CreateStop", OPERATOR, "POST", "/v1/stops"},
    {"ListStops", VIEWER, "GET", "/v1/stops"},
    {"LiftStop", OPERATOR, "POST", "/v1/stops/{id}/lift"},

    {"ListAudit", VIEWER, "GET", "/v1/audit"},

    {"WhoAmI", VIEWER, "GET", "/v1/whoami"},
    {"CreateToken", RELEASE_MANAGER, "POST", "/v1/tokens"},
    {"ListTokens", RELEASE_MANAGER, "GET", "/v1/tokens"},
    {"RevokeToken", RELEASE_MANAGER, "POST", "/v1/tokens/{id}/revoke"},
};

}  // namespace

std::span<const Route> Routes() { return kRoutes; }

const Route* FindRoute(std::string_view method) {
  const auto* found = std::ranges::find(kRoutes, method, &Route::method);
  return found == std::end(kRoutes) ? nullptr : found;
}

std::string_view RoleName(v1::Role role) {
  switch (role) {
    case VIEWER:
      return "viewer";
    case OPERATOR:
      return "operator";
    case RELEASE_MANAGER:
      return "release manager";
    default:
      return "nobody";
  }
}

}  // namespace tandem::fleet
