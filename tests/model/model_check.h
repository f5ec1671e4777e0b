// An exhaustive check of a unit in update: CM, two or three UMs and their bootloaders, on the real tables.
//
//   ModelResult result = CheckModel(config);
//   if (!result.violations.empty()) std::cout << result.violations[0].story;
//
// What is real: cm::Advance with its transitions and commands, the table of um/um_state.h, the boot record and policy
// of bootloader/core, who owns what, the plan and whether it begins. What is modelled, in a few lines each: the
// coordinator around Advance (um streams, delivery of artifacts, the conditions, what comes after an update), the
// plugin of a UM (two places for a version, a switch), a peer of Aos 8 (aos_steps.cc), processes, power, and time,
// which is a tick that may come at any point. Budgets are a few ticks long, and what is beyond them counts as equal; so
// the space is finite.
//
// Searched breadth first, so that the story of a violation is the shortest one. At any point, as long as the budget of
// faults lasts: CM ends before or after its step is durable; its record is damaged meanwhile; a step cannot be made
// durable; a UM ends before or after the effect of its job; the power of all is cut; a stream breaks with what is in
// flight; a message is repeated; a job fails once, or from now on always; a UM never comes back; a boot on trial fails;
// artifacts cannot be had; the gate fails. And as long as the budget of people lasts: an abort, a newer assignment,
// conditions that end, a component that a second UM claims.
//
// What must hold:
//   - in every state and step, the invariants of the architecture (properties.cc names them);
//   - from every state, rest can be reached without people and without further faults: Idle with everybody at rest, or
//     NeedsService, while no assignment waits but one that is refused for a component that two claim;
//   - no way without people and faults goes round in a circle on which PrepareUpdate or StartUpdate is sent, or any
//     command without time going by.
//
// One more fault or a third UM multiplies the states: TANDEM_MODEL_FAULTS=3 build/tests/model_check_test. A runner of
// altered tables calls CheckModel for each of QuickModels(); nothing here prints or ends the process.
#ifndef TANDEM_TESTS_MODEL_MODEL_CHECK_H_
#define TANDEM_TESTS_MODEL_MODEL_CHECK_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tandem::model {

struct ModelUm {
  std::string node_id;
  uint32_t priority = 0;
  bool switches_boot = false;
  // Its reboot ends CM, too.
  bool with_cm = false;
  // Behaves as the peers of Aos 8 do.
  bool aos = false;
  // CM fetches its artifacts before PrepareUpdate goes out.
  bool cm_fetches = false;
};

struct ModelConfig {
  std::string name;
  // At most three.
  std::vector<ModelUm> ums;
  int faults = 2;
  // Aborts and assignments.
  int people = 1;
  // How often the conditions end.
  int unsafe = 1;
  // A UM may fail from now on, or be gone for good.
  bool habits = true;
  // The newest copy of CM's record may be damaged; the one before tells who takes part.
  bool loses_record = false;
  // The last UM may claim what the first one has, once.
  bool claims = false;
  // Search ends here; a result that did not see everything says so.
  size_t max_states = 20'000'000;
  // After so many.
  size_t max_violations = 1;
};

struct Violation {
  std::string what;
  // How it came to it, one line a step.
  std::string story;
};

struct ModelResult {
  std::vector<Violation> violations;
  size_t states = 0;
  size_t transitions = 0;
  double seconds = 0;
  bool complete = true;
};

ModelResult CheckModel(const ModelConfig& config);

// Every configuration of the test.
std::vector<ModelConfig> AllModels();
// Small enough for a run per altered table: at most two seconds together.
std::vector<ModelConfig> QuickModels();

}  // namespace tandem::model

#endif  // TANDEM_TESTS_MODEL_MODEL_CHECK_H_
