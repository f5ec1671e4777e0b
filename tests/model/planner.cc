#include "tests/model/planner.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "cm/update/begin_decision.h"
#include "cm/update/ownership.h"
#include "cm/update/status_view.h"

namespace tandem::model {
namespace {

namespace umv2 = updatemanager::v2;

void Claim(cm::UmInfo& um, const std::string& component, const std::string& runs) {
  umv2::ComponentStatus& status = *um.last.add_components();
  status.set_component_id(component);
  status.set_component_type(component);
  status.set_version(runs);
  status.set_state(umv2::INSTALLED);
}

}  // namespace

const Planned& Planner::PlanOf(const PlanQuestion& question) {
  const auto [entry, is_new] = answers_.try_emplace(question);
  if (is_new) entry->second = Make(question);
  return entry->second;
}

Planned Planner::Make(const PlanQuestion& question) const {
  const std::string version = absl::StrCat(question.desired);
  std::map<std::string, cm::UmInfo> ums;
  cm::AcceptedDesired desired;
  cm::AcceptedRelease& release = desired.releases.emplace_back();
  for (size_t i = 0; i < ums_.size(); ++i) {
    const ModelUm& is = ums_[i];
    cm::UmInfo& um = ums[is.node_id];
    um.node.set_node_id(is.node_id);
    if (is.aos) um.node.set_profile(config::v1::AOS8);
    um.last.set_priority(is.priority);
    um.last.set_switches_boot(is.switches_boot);
    Claim(um, is.node_id, absl::StrCat(question.runs[i]));
    if (i + 1 == ums_.size() && question.claimed) Claim(um, ums_[0].node_id, version);
    // Nobody assigns anything to what is gone for good.
    if (question.gone[i]) continue;
    release::v1::ReleaseComponent& component = *release.release.add_components();
    component.set_component_id(is.node_id);
    component.set_component_type(is.node_id);
    component.set_version(version);
  }
  const cm::Ownership ownership(ums);
  std::vector<cm::PlanUm> plan_ums;
  plan_ums.reserve(ums.size());
  for (const auto& [node_id, um] : ums) plan_ums.push_back(cm::ToPlanUm(um, ownership));
  cm::BeginFacts facts{.has_desired = true, .readable = {}, .release_name = {}, .tried = {}};
  facts.plan = cm::MakePlan(desired, plan_ums, cm::Limits(), absl::ZeroDuration());
  Planned planned{.begins = cm::DecideBegin(facts).verdict == cm::BeginVerdict::kBegin, .participants = {}};
  if (planned.begins) planned.participants = facts.plan->participants;
  return planned;
}

}  // namespace tandem::model
