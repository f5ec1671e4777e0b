// What CM makes of an assignment, by its real rules: who owns what, the plan, and whether it begins.
#ifndef TANDEM_TESTS_MODEL_PLANNER_H_
#define TANDEM_TESTS_MODEL_PLANNER_H_

#include <map>
#include <utility>
#include <vector>

#include "cm/update/machine/unit_update.h"
#include "tests/model/model_check.h"

namespace tandem::model {

struct PlanQuestion {
  // The version that is assigned to every UM that is not gone.
  unsigned desired = 0;
  // The last UM claims what the first one has, and that it runs what is assigned.
  bool claimed = false;
  // Of each UM.
  std::vector<unsigned> runs;
  std::vector<bool> gone;

  auto operator<=>(const PlanQuestion&) const = default;
};

struct Planned {
  bool begins = false;
  // What the update is made of, with nothing observed yet.
  std::vector<cm::Participant> participants;
};

// Remembers what it was asked; an answer stays where it is.
class Planner {
 public:
  explicit Planner(std::vector<ModelUm> ums) : ums_(std::move(ums)) {}

  const Planned& PlanOf(const PlanQuestion& question);

 private:
  Planned Make(const PlanQuestion& question) const;

  const std::vector<ModelUm> ums_;
  std::map<PlanQuestion, Planned> answers_;
};

}  // namespace tandem::model

#endif  // TANDEM_TESTS_MODEL_PLANNER_H_
