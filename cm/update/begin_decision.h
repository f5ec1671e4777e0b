// Whether the desired state's update begins now, and if not, what holds it. Pure.
//
//   BeginDecision decision = DecideBegin(facts);
//   if (decision.verdict == BeginVerdict::kBegin) ...       // facts.plan->participants
#ifndef TANDEM_CM_UPDATE_BEGIN_DECISION_H_
#define TANDEM_CM_UPDATE_BEGIN_DECISION_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cm/update/machine/plan.h"
#include "cm/update/records/desired_store.h"

namespace tandem::cm {

// Why nothing begins.
enum class Hold {
  kNothingDesired,
  // Not every configured UM has reported since CM started, and there is still time to.
  kUmsRegister,
  kUnreadable,
  // These releases failed here; only a higher attempt tries them again.
  kFailedHere,
  // They were applied; `who` runs something else all the same.
  kApplied,
  kDrifted,
  kLeftoverUms,
  // No UM owns a component, or a UM that was never seen may own one, or what it runs may meet a requirement.
  kNoOwner,
  kUnseenUms,
  // The unit's rules, by what is installed now.
  kForbidden,
  kNoPlan,
};

// What DecideBegin() looks at.
struct BeginFacts {
  bool has_desired = false;
  // Not OK: its documents cannot be read.
  absl::Status readable;
  bool waits_for_ums = false;
  std::string release_name;
  std::optional<DesiredStore::Tried> tried;
  // UMs that are still in an update that is over.
  std::vector<std::string> leftovers;
  // Configured UMs that have not reported since CM started.
  std::vector<std::string> unseen;
  bool names_whole_types = false;
  // What had not applied when an update was closed as applied.
  std::vector<record::v1::LeftoverComponent> left_behind;
  // Floors and the rule against going back; then the requirements: by what is installed now.
  absl::Status way_back;
  absl::Status requirements;
  absl::StatusOr<Plan> plan = Plan();
};

enum class BeginVerdict {
  kBegin,
  // Nothing to do, and nothing to tell.
  kRest,
  // It is looked at again when the inventory changes, or as time goes by.
  kWait,
  // Not on this unit as it is now; looked at again when the inventory changes.
  kRefuse,
};

struct BeginDecision {
  BeginVerdict verdict = BeginVerdict::kRest;
  // Meaningless for kBegin.
  Hold hold = Hold::kNothingDesired;
  // UMs or components that it is about.
  std::vector<std::string> who;
  // For people; empty when there is nothing to say.
  std::string text;
  // It was applied, and begins for those whom it left behind.
  bool completes = false;
};

BeginDecision DecideBegin(const BeginFacts& facts);

}  // namespace tandem::cm

#endif  // TANDEM_CM_UPDATE_BEGIN_DECISION_H_
