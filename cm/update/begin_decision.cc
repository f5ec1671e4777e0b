#include "cm/update/begin_decision.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status/status.h"

namespace tandem::cm {
namespace {

// What does not run what the unit is committed to, such as a part that was replaced.
std::vector<std::string> Drifted(const Plan& plan) {
  std::vector<std::string> drifted;
  for (const Participant& participant : plan.participants) {
    for (const Target& target : participant.targets) {
      drifted.push_back(absl::StrCat(target.component_id, " of ", participant.node_id, " runs ",
                                     target.previous_version, " instead of ", target.version));
    }
  }
  return drifted;
}

// It was applied, but for these: what is behind now is what was left behind then, and has returned.
bool OnlyLeftBehind(const BeginFacts& facts) {
  if (!facts.plan.ok() || facts.plan->participants.empty()) return false;
  return std::ranges::all_of(facts.plan->participants, [&](const Participant& participant) {
    return std::ranges::all_of(participant.targets, [&](const Target& target) {
      return std::ranges::any_of(facts.left_behind, [&](const record::v1::LeftoverComponent& left) {
        return left.node_id() == participant.node_id && left.component_id() == target.component_id &&
               left.component_type() == target.component_type && left.version() == target.version;
      });
    });
  });
}

BeginDecision Rest(Hold hold, std::vector<std::string> who, std::string text) {
  return {.verdict = BeginVerdict::kRest, .hold = hold, .who = std::move(who), .text = std::move(text)};
}

BeginDecision Wait(Hold hold, std::vector<std::string> who, std::string text) {
  return {.verdict = BeginVerdict::kWait, .hold = hold, .who = std::move(who), .text = std::move(text)};
}

BeginDecision Refuse(Hold hold, const absl::Status& why) {
  return {.verdict = BeginVerdict::kRefuse, .hold = hold, .who = {}, .text = ToPersonText(why)};
}

BeginDecision DecideTried(const BeginFacts& facts) {
  if (facts.tried->outcome != Name(Outcome::kApplied)) {
    return Rest(Hold::kFailedHere, {},
                absl::StrCat("release ", facts.release_name, " failed here (", facts.tried->reason,
                             "); an assignment with a higher attempt tries it again"));
  }
  std::vector<std::string> drifted;
  if (facts.plan.ok()) drifted = Drifted(*facts.plan);
  if (drifted.empty()) return Rest(Hold::kApplied, {}, "");
  const std::string text =
      absl::StrCat(absl::StrJoin(drifted, ", "), "; an assignment with a higher attempt installs it");
  return Rest(Hold::kDrifted, std::move(drifted), text);
}

}  // namespace

// The order matters: what is not known yet is waited for before anything is judged by it.
BeginDecision DecideBegin(const BeginFacts& facts) {
  if (!facts.has_desired) return Rest(Hold::kNothingDesired, {}, "");
  if (facts.waits_for_ums) {
    return Wait(Hold::kUmsRegister, facts.unseen,
                absl::StrCat("waits for these UMs to register: ", absl::StrJoin(facts.unseen, ", ")));
  }
  if (!facts.readable.ok()) return Rest(Hold::kUnreadable, {}, ToPersonText(facts.readable));
  if (facts.tried.has_value() && facts.tried->outcome != Name(Outcome::kApplied)) return DecideTried(facts);
  if (!facts.leftovers.empty()) {
    return Wait(Hold::kLeftoverUms, facts.leftovers,
                absl::StrCat("waits for ", absl::StrJoin(facts.leftovers, ", "), ", still in an update that is over"));
  }
  if (facts.tried.has_value() && !OnlyLeftBehind(facts)) return DecideTried(facts);
  if (!facts.way_back.ok()) return Refuse(Hold::kForbidden, facts.way_back);
  if (!facts.requirements.ok()) {
    if (facts.unseen.empty()) return Refuse(Hold::kForbidden, facts.requirements);
    return Wait(Hold::kUnseenUms, facts.unseen,
                absl::StrCat("waits for ", absl::StrJoin(facts.unseen, ", "),
                             " to register, which may have what is missing: ", ToPersonText(facts.requirements)));
  }
  if (!facts.plan.ok()) return Refuse(Hold::kNoPlan, facts.plan.status());
  if (!facts.plan->missing.empty()) {
    return Wait(Hold::kNoOwner, facts.plan->missing,
                absl::StrCat("no UM owns ", absl::StrJoin(facts.plan->missing, ", "), "; waiting for one to register"));
  }
  if (!facts.unseen.empty() && facts.names_whole_types) {
    return Wait(Hold::kUnseenUms, facts.unseen,
                absl::StrCat("waits for ", absl::StrJoin(facts.unseen, ", "),
                             " to register: the release names every component of a type, and may mean theirs"));
  }
  return {.verdict = BeginVerdict::kBegin,
          .hold = Hold::kNothingDesired,
          .who = {},
          .text = "",
          .completes = facts.tried.has_value()};
}

}  // namespace tandem::cm
