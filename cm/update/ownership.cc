#include "cm/update/ownership.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cm/update/status_view.h"

namespace tandem::cm {
namespace {

bool Binds(const config::v1::Node& node, const InstalledVersion& claim) {
  return std::ranges::any_of(node.components(), [&](const config::v1::NodeComponent& bound) {
    return bound.component_type() == claim.component_type &&
           (bound.component_id().empty() || bound.component_id() == claim.component_id);
  });
}

}  // namespace

Ownership::Ownership(const std::map<std::string, UmInfo>& ums) {
  // Those whose entry in `nodes` lists components; mostly none.
  std::vector<const config::v1::Node*> bound_nodes;
  for (const auto& [node_id, um] : ums) {
    if (!um.node.components().empty()) bound_nodes.push_back(&um.node);
  }
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> claimants;
  for (const auto& [node_id, um] : ums) {
    for (InstalledVersion& installed : InstalledOf(um.last)) {
      std::set<std::string> owners;
      for (const config::v1::Node* const node : bound_nodes) {
        if (Binds(*node, installed)) owners.insert(node->node_id());
      }
      std::string why_not;
      if (!owners.empty() && !owners.contains(node_id)) {
        why_not = absl::StrCat("it belongs to ", absl::StrJoin(owners, " or "), " by nodes[].components");
      } else if (owners.empty() && !um.node.components().empty()) {
        why_not = "it is not among the node's nodes[].components";
      } else {
        // A claim that the configuration rules out takes nothing from anybody.
        claimants[{installed.component_id, installed.component_type}].push_back(node_id);
      }
      claims_[node_id].push_back({.installed = std::move(installed), .why_not = std::move(why_not)});
    }
  }
  for (auto& [node_id, claims] : claims_) {
    for (Claim& claim : claims) {
      if (!claim.why_not.empty()) continue;
      const auto& who = claimants.at({claim.installed.component_id, claim.installed.component_type});
      if (who.size() < 2) continue;
      claim.why_not = absl::StrCat(absl::StrJoin(who, " and "), who.size() == 2 ? " both" : " all",
                                   " claim it; give it another id, or bind it with nodes[].components");
    }
  }
}

std::string Ownership::WhyNot(const std::string& node_id, const std::string& component_id,
                              const std::string& component_type) const {
  const auto claims = claims_.find(node_id);
  if (claims == claims_.end()) return "";
  for (const Claim& claim : claims->second) {
    if (claim.installed.component_id == component_id && claim.installed.component_type == component_type) {
      return claim.why_not;
    }
  }
  return "";
}

std::vector<InstalledVersion> Ownership::Of(const std::string& node_id) const {
  std::vector<InstalledVersion> own;
  const auto claims = claims_.find(node_id);
  if (claims == claims_.end()) return own;
  for (const Claim& claim : claims->second) {
    if (claim.why_not.empty()) own.push_back(claim.installed);
  }
  return own;
}

std::vector<std::pair<InstalledVersion, std::string>> Ownership::DisputedBy(const std::string& node_id) const {
  std::vector<std::pair<InstalledVersion, std::string>> disputed;
  const auto claims = claims_.find(node_id);
  if (claims == claims_.end()) return disputed;
  for (const Claim& claim : claims->second) {
    if (!claim.why_not.empty()) disputed.emplace_back(claim.installed, claim.why_not);
  }
  return disputed;
}

}  // namespace tandem::cm
