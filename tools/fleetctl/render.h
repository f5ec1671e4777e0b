// Answers of the fleet as text for people. Pure; each ends in a newline.
#ifndef TANDEM_TOOLS_FLEETCTL_RENDER_H_
#define TANDEM_TOOLS_FLEETCTL_RENDER_H_

#include <string>

#include "tandem/fleet/v1/fleet.pb.h"
#include "tools/fleetctl/table.h"

namespace tandem::fleetctl {

std::string RenderFleet(const fleet::v1::FleetOverview& fleet, const RenderOptions& options);
std::string RenderUnits(const fleet::v1::ListUnitsResponse& units, const RenderOptions& options);
std::string RenderUnit(const fleet::v1::UnitDetail& unit, const RenderOptions& options);
std::string RenderReleases(const fleet::v1::ListReleasesResponse& releases, const RenderOptions& options);
std::string RenderRelease(const fleet::v1::Release& release, const RenderOptions& options);
std::string RenderKeys(const fleet::v1::Keys& keys, const RenderOptions& options);
std::string RenderStops(const fleet::v1::ListStopsResponse& stops, const RenderOptions& options);
std::string RenderAudit(const fleet::v1::ListAuditResponse& entries, const RenderOptions& options);
std::string RenderTokens(const fleet::v1::ListTokensResponse& tokens, const RenderOptions& options);
// "release manager"
std::string RoleText(fleet::v1::Role role);

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_RENDER_H_
