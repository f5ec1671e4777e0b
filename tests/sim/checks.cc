#include "tests/sim/checks.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/version/version.h"
#include "tests/sim/documents.h"
#include "tests/sim/unit.h"

namespace tandem::sim {
namespace {

constexpr absl::Duration kReactionTime = absl::Milliseconds(1500);

using cm::Phase;

constexpr char kCommit[] = "COMMIT";
constexpr char kAbort[] = "ABORT";
// Beyond the deadline: until somebody notices, and the way back has begun.
constexpr absl::Duration kTrialSlack = absl::Seconds(60);

// Words of this unit's own surroundings, which pass.
bool IsLocalTrouble(const std::string& reason) {
  return absl::StrContains(reason, "No space") || absl::StrContains(reason, "no space") ||
         absl::StrContains(reason, "input/output") || absl::StrContains(reason, "save the ");
}

bool HasFailed(const cm::UnitUpdate& update, const std::string& node_id) {
  return std::ranges::any_of(update.participants, [&](const cm::Participant& p) {
    return p.node_id == node_id && p.state == cm::UmState::kFailed;
  });
}

}  // namespace

void Checks::OnSend(Um& to, const updatemanager::v2::CMMessages& message) {
  cm::Coordinator* const coordinator = unit_.cm().coordinator();
  if (coordinator == nullptr) return;
  const cm::UnitUpdate& update = coordinator->update();
  const auto durable = unit_.cm().DurableUpdate();
  const std::string decision = durable.has_value() ? durable->decision() : "";
  const bool at_rest = update.phase == Phase::kIdle;
  const auto kind = message.CMMessage_case();
  const char* const name = kind == updatemanager::v2::CMMessages::kPrepareUpdate  ? "Prepare"
                           : kind == updatemanager::v2::CMMessages::kStartUpdate  ? "Start"
                           : kind == updatemanager::v2::CMMessages::kApplyUpdate  ? "Apply"
                           : kind == updatemanager::v2::CMMessages::kRevertUpdate ? "Revert"
                                                                                  : "Seal";
  unit_.world().Tell("CM sends ", name, " to ", to.name());
  if (!at_rest && durable.has_value() && durable->phase() != std::string(cm::Name(update.phase))) {
    unit_.Problem(absl::StrCat(name, " is sent in phase ", std::string(cm::Name(update.phase)), ", but ",
                               durable->phase(), " is durable"));
  }
  switch (kind) {
    case updatemanager::v2::CMMessages::kStartUpdate:
      return CheckStart(to, decision == kCommit);
    case updatemanager::v2::CMMessages::kApplyUpdate:
      // One that is left over applies what an older update has committed.
      if (!at_rest && decision != kCommit && !committed_.contains(to.RunningVersion())) {
        unit_.Problem(absl::StrCat("Apply for ", to.name(), " without COMMIT"));
      }
      return;
    case updatemanager::v2::CMMessages::kRevertUpdate:
      // What fell back may be prepared anew.
      if (!at_rest && decision == kCommit && !HasFailed(update, to.name())) {
        unit_.Problem(absl::StrCat("Revert for ", to.name(), " after COMMIT"));
      }
      return;
    case updatemanager::v2::CMMessages::kPrepareUpdate:
      if (!at_rest && decision == kAbort && !update.compensating && (unit_.campaign().tolerates & kKnownAbort) == 0) {
        unit_.Problem(absl::StrCat("Prepare for ", to.name(), " after ABORT"));
      }
      return;
    default:
      return;
  }
}

void Checks::CheckStart(Um& to, bool committed) {
  const cm::UnitUpdate& update = unit_.cm().coordinator()->update();
  if (update.phase == Phase::kReverting) unit_.Problem(absl::StrCat("Start for ", to.name(), " after ABORT"));
  for (const cm::Participant& participant : update.participants) {
    const um::UmStep step = unit_.ums().at(participant.node_id)->step();
    if (!committed && um::WireStateOf(step) == um::WireState::kIdle) {
      unit_.Problem(absl::StrCat("Start for ", to.name(), " before ", participant.node_id, " is PREPARED"));
    }
    if (participant.node_id != to.name() && (step == um::UmStep::kStarting || step == um::UmStep::kRebooting)) {
      unit_.Problem(absl::StrCat("Start for ", to.name(), " while ", participant.node_id, " is starting"));
    }
  }
  // Conditions are measured once a second, and a measurement takes a moment to become a command.
  if (unit_.campaign().needs_standstill && unit_.moving_for() > kReactionTime) {
    unit_.Problem(absl::StrCat("Start for ", to.name(), " while its precondition does not hold"));
  }
}

void Checks::OnPhase() {
  const cm::UnitUpdate& update = unit_.cm().coordinator()->update();
  if (update.phase != Phase::kCommitting || update.compensating) return;
  const SimAssignment* const assigned = unit_.FindAssignment(update.sequence, update.attempt);
  if (assigned == nullptr) return unit_.Problem("an update of no assignment is committed");
  committed_.insert(assigned->release.version);
  if (assigned->release.bad_health) unit_.Problem("a release whose signed probe fails is committed");
  const std::map<std::string, std::string> applied = AppliedVersions();
  for (const cm::Participant& participant : update.participants) {
    for (const cm::Target& target : participant.targets) {
      if (target.previous_version.empty() || CompareVersions(target.version, target.previous_version) >= 0) continue;
      bool ran_before = false;
      for (const Cloud::Told& told : unit_.cloud().told()) {
        const SimAssignment* const before = unit_.FindAssignment(told.sequence, told.attempt);
        ran_before = ran_before || (told.state == "applied" && before != nullptr &&
                                    before->release.Name() == assigned->release.Name());
      }
      if (!ran_before) {
        unit_.Problem(absl::StrCat(target.component_id, " goes from ", target.previous_version, " back to ",
                                   target.version, ", which nobody allowed"));
      }
    }
  }
}

void Checks::Always() {
  const absl::Duration now = unit_.world().now();
  if (now - looked_at_ < absl::Seconds(1)) return;
  looked_at_ = now;
  CheckTrialTime();
}

void Checks::CheckTrialTime() {
  std::optional<bool> decided;
  for (const auto& [node_id, um] : unit_.ums()) {
    if (!um->options().switches_boot) continue;
    bool undecided = um->OnTrial();
    if (undecided && !decided.has_value()) {
      const auto durable = unit_.cm().DurableUpdate();
      decided = durable.has_value() && (durable->decision() == kCommit || durable->compensating());
    }
    undecided = undecided && !*decided;
    if (!undecided) {
      on_trial_since_.erase(node_id);
      continue;
    }
    const auto since = on_trial_since_.try_emplace(node_id, unit_.world().now()).first->second;
    const absl::Duration allowed = unit_.cm().limits().trial_deadline + kTrialSlack;
    if (unit_.world().now() - since <= allowed) continue;
    unit_.Problem(absl::StrCat(node_id, " is on trial for longer than ", absl::FormatDuration(allowed)));
    on_trial_since_[node_id] = absl::InfiniteFuture() - absl::UnixEpoch();
  }
}

std::map<std::string, std::string> Checks::AppliedVersions() const {
  std::map<std::string, std::string> versions;
  for (const auto& [node_id, um] : unit_.ums()) versions[um->component()] = um->options().version;
  std::set<std::pair<uint64_t, uint32_t>> applied;
  for (const Cloud::Told& told : unit_.cloud().told()) {
    if (told.state == "applied") applied.insert({told.sequence, told.attempt});
  }
  for (const auto& [sequence, attempt] : applied) {
    const SimAssignment* const assignment = unit_.FindAssignment(sequence, attempt);
    if (assignment == nullptr) continue;
    for (const std::string& component : assignment->release.components) {
      versions[component] = assignment->release.version;
    }
  }
  return versions;
}

bool Checks::IsLeftover(const std::string& node_id) const {
  const auto committed = unit_.cm().DurableCommitted();
  return committed.has_value() &&
         std::ranges::any_of(committed->leftovers(), [&](const auto& left) { return left.node_id() == node_id; });
}

void Checks::CheckVersions(const std::string& word) {
  const std::map<std::string, std::string> expected = AppliedVersions();
  for (const auto& [node_id, um] : unit_.ums()) {
    const std::string runs = um->RunningVersion();
    if (runs == expected.at(um->component())) continue;
    // What would bring it forward is refused since the unit is configured for another hardware.
    if (word == "refused" && unit_.cm().config().hardware() != kUnitHardware && IsLeftover(node_id)) continue;
    unit_.Problem(absl::StrCat("at rest (", word, ") ", node_id, " runs ", runs.empty() ? "nothing whole" : runs,
                               " instead of ", expected.at(um->component())));
  }
}

std::string Checks::AtEnd(bool at_rest) {
  const auto& assigned = unit_.cloud().assigned();
  if (!assigned.has_value()) return "nothing assigned";
  std::string reason;
  const std::string word = unit_.cloud().LastWord(assigned->sequence, assigned->attempt, &reason);
  cm::Coordinator* const coordinator = unit_.cm().coordinator();
  const std::string phase(coordinator == nullptr ? "CM is down" : cm::Name(coordinator->update().phase));
  if (!at_rest) {
    std::string ums;
    for (const auto& [node_id, um] : unit_.ums()) {
      absl::StrAppend(&ums, ", ", node_id, " ", um->up() ? "" : "down ", um->connected() ? "" : "not connected ",
                      std::string(um::Name(um->step())), " ", um->RunningVersion());
    }
    const std::string why = coordinator == nullptr ? "" : coordinator->Status().reason();
    unit_.Problem(absl::StrCat("no rest: ", phase, " (", why, "), the cloud's last word is ",
                               word.empty() ? "none" : word, " (", reason, ")", ums));
    return "no rest";
  }
  if (word == "applied" && assigned->release.bad_health) unit_.Problem("a release that fails its probe is applied");
  if (word == "refused" && IsLocalTrouble(reason)) {
    unit_.Problem(absl::StrCat("a passing trouble of this unit is told as a refusal: ", reason));
  }
  CheckVersions(word);
  return word;
}

}  // namespace tandem::sim
