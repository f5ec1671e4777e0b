// A unit as a state, and everything that may happen to it next.
#ifndef TANDEM_TESTS_MODEL_UNIT_MODEL_H_
#define TANDEM_TESTS_MODEL_UNIT_MODEL_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/model/cm_pool.h"
#include "tests/model/explorer.h"
#include "tests/model/model_check.h"
#include "tests/model/planner.h"
#include "tests/model/um_node.h"

namespace tandem::model {

inline constexpr size_t kMostUms = 3;

// What is neither in CM's update nor in a UM.
struct Surroundings {
  uint32_t faults : 3 = 0;
  uint32_t people : 2 = 0;
  uint32_t unsafe_left : 2 = 0;
  // The conditions hold.
  uint32_t safe : 1 = 1;
  // What CM was told of them since it started and since it sent the last StartUpdate: 0 nothing, 1 that they do.
  uint32_t told : 2 = 0;
  uint32_t cm_up : 1 = 1;
  // The assignment that waits; 0: none.
  uint32_t desired : 2 = 0;
  // What the unit runs for good.
  uint32_t committed : 2 = 0;
  // Of what CM calls leftovers, or has given up: the unit may rest on several versions.
  uint32_t mixed_known : 1 = 0;
  // The last UM claims what the first one has; it may begin to, so often.
  uint32_t claimed : 1 = 0;
  uint32_t claims_left : 1 = 0;
  uint32_t spare : 14 = 0;
};
static_assert(sizeof(Surroundings) == 4);

struct UnitState {
  uint32_t cm = 0;
  Surroundings env;
  std::array<UmNode, kMostUms> um;
};
static_assert(sizeof(UnitState) == 32);

class UnitModel {
 public:
  using Out = std::vector<Edge<UnitState>>;

  explicit UnitModel(const ModelConfig& config);

  UnitState Initial();
  void Successors(const UnitState& state, Out& out, bool tell);

  // Nothing moves any more, and nothing waits.
  bool IsRest(const UnitState& state) const;
  // What is wrong with a state by itself, or nullptr.
  const char* BrokenIn(const UnitState& state) const;
  std::string Describe(const UnitState& state) const;
  size_t updates() const { return pool_.size(); }

 private:
  const cm::UnitUpdate& Update(const UnitState& state) const { return pool_.at(state.cm); }
  bool IsWired(const UmNode& node) const;
  bool LooksIdle(unsigned i, const UmNode& node) const;
  bool IsQuiet(const UnitState& state) const;
  // What CM decides of the assignment that waits, with everybody at rest.
  const Planned& PlanOf(const UnitState& state);
  bool IsRefused(const UnitState& state) const { return state.env.desired != 0 && state.env.claimed != 0; }

  // --- what may happen ---
  void UmSteps(const UnitState& state, unsigned i, Out& out);
  void JobSteps(const UnitState& state, unsigned i, Out& out);
  void CmSteps(const UnitState& state, Out& out);
  void IdleSteps(const UnitState& state, Out& out);
  void PeopleSteps(const UnitState& state, Out& out);
  void FaultSteps(const UnitState& state, Out& out);

  // --- how ---
  void AddEdge(Out& out, const UnitState& to, unsigned flags, const char* broken, std::string words);
  // The event that CM takes in `state`, done and, as a fault, durable but not done.
  void TakeEvent(const UnitState& state, const CmEvent& event, unsigned flags, std::string words, Out& out);
  unsigned Perform(UnitState& state, const CmStep& step, const char** broken, std::string* words);
  void Finish(UnitState& state, const CmStep& step) const;
  const char* CheckSend(const UnitState& state, const CmSend& send) const;
  const char* CheckPhase(const UnitState& before, const UnitState& after) const;
  void CrashCm(UnitState& state);
  void AfterJob(UnitState state, unsigned i, JobEnd end, unsigned flags, std::string words, Out& out);
  void Begin(UnitState& state, const char** broken, std::string* words);
  bool Spend(UnitState& state) const;
  std::string Word(unsigned i, std::string_view what) const;

  const ModelConfig config_;
  const unsigned count_;
  CmPool pool_;
  std::vector<UmBehaviour> behaviours_;
  Planner planner_;
  bool tell_ = false;
};

}  // namespace tandem::model

#endif  // TANDEM_TESTS_MODEL_UNIT_MODEL_H_
