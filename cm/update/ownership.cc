#include "cm/update/ownership.h"

#include <algorithm>

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
  for (const auto& [node_id, um] : ums) {
    std::vector<InstalledVersion>& claims = claims_[node_id] = InstalledOf(um.last);
    is_bound_[node_id] = !um.node.components().empty();
    for (const InstalledVersion& claim : claims) {
      const Component component{claim.component_id, claim.component_type};
      claimants_[component].push_back(node_id);
      if (bound_.contains(component)) continue;
      for (const auto& [other_id, other] : ums) {
        if (Binds(other.node, claim)) bound_[component].push_back(other_id);
      }
    }
  }
}

std::string Ownership::WhyNot(const std::string& node_id, const std::string& component_id,
                              const std::string& component_type) const {
  const Component component{component_id, component_type};
  const auto bound = bound_.find(component);
  const bool anybody_bound = bound != bound_.end();
  if (anybody_bound && std::ranges::find(bound->second, node_id) == bound->second.end()) {
    return absl::StrCat("it belongs to ", absl::StrJoin(bound->second, " or "), " by nodes[].components");
  }
  if (!anybody_bound && is_bound_.at(node_id)) return "it is not among the node's nodes[].components";
  std::vector<std::string> claimants = claimants_.at(component);
  // A claim that the configuration rules out takes nothing from anybody.
  std::erase_if(claimants, [&](const std::string& other) {
    return anybody_bound ? std::ranges::find(bound->second, other) == bound->second.end() : is_bound_.at(other);
  });
  if (claimants.size() < 2) return "";
  return absl::StrCat(absl::StrJoin(claimants, " and "), claimants.size() == 2 ? " both" : " all",
                      " claim it; give it another id, or bind it with nodes[].components");
}

std::vector<InstalledVersion> Ownership::Of(const std::string& node_id) const {
  std::vector<InstalledVersion> own;
  for (const InstalledVersion& claim : claims_.at(node_id)) {
    if (WhyNot(node_id, claim.component_id, claim.component_type).empty()) own.push_back(claim);
  }
  return own;
}

std::vector<std::pair<InstalledVersion, std::string>> Ownership::DisputedBy(const std::string& node_id) const {
  std::vector<std::pair<InstalledVersion, std::string>> disputed;
  for (const InstalledVersion& claim : claims_.at(node_id)) {
    std::string why = WhyNot(node_id, claim.component_id, claim.component_type);
    if (!why.empty()) disputed.emplace_back(claim, std::move(why));
  }
  return disputed;
}

}  // namespace tandem::cm
