// Rollouts as text: plans, lists, and the live tree of rings, units and attempts. Pure.
#ifndef TANDEM_TOOLS_FLEETCTL_RENDER_ROLLOUT_H_
#define TANDEM_TOOLS_FLEETCTL_RENDER_ROLLOUT_H_

#include <string>
#include <vector>

#include "tandem/fleet/v1/fleet.pb.h"
#include "tools/fleetctl/table.h"

namespace tandem::fleetctl {

std::string RenderPlan(const fleet::v1::RolloutPlan& plan, const RenderOptions& options);
std::string RenderRollouts(const fleet::v1::ListRolloutsResponse& rollouts, const RenderOptions& options);

// Rings -> units -> attempts. `attempts` are those to be named, such as the failed ones.
std::string RenderTree(const fleet::v1::Rollout& rollout, const std::vector<fleet::v1::Attempt>& attempts,
                       const RenderOptions& options);

// What changed since `before`, a line per change, for output that is not a terminal.
std::vector<std::string> DescribeChanges(const fleet::v1::Rollout& before, const fleet::v1::Rollout& after);
// A line for each failed attempt of `after` that `before` does not have.
std::vector<std::string> DescribeFailures(const std::vector<fleet::v1::Attempt>& before,
                                          const std::vector<fleet::v1::Attempt>& after);

// Complete, aborted, superseded.
bool IsOver(const fleet::v1::Rollout& rollout);

}  // namespace tandem::fleetctl

#endif  // TANDEM_TOOLS_FLEETCTL_RENDER_ROLLOUT_H_
